"""From a confirmed draft to a ticket: durable steps, each repeated under one key until it holds.

A registration goes CONFIRMED -> ACCOUNT_READY -> COMPLETED. Before each step a process leases the
row; the step's request_id is the registration's id, so that a step whose answer was lost, or that
two processes run after all (a lease that ran out during a pause), has one effect. The confirming
call waits for the steps as long as it can; they do not end with it.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from mesh.context import current_call, enter_call
from mesh.errors import Kind, MeshError
from mesh.logs import logger
from mesh.storage import Database
from ocr_svc.clients import Accounts, Queue
from ocr_svc.domain import Registration, State, is_permanent, pause_seconds
from ocr_svc.settings import OcrSettings
from ocr_svc.store import Repository, new_id

MAX_RUNNING = 16
"""Registrations that the background works on at the same time."""
LOOK_SECONDS = 0.1
"""How often a waiting call looks at what another process does."""


class Saga:
    """Carries registrations through their steps."""

    def __init__(
        self,
        settings: OcrSettings,
        database: Database,
        repository: Repository,
        accounts: Accounts,
        queue: Queue,
        clock: Callable[[], datetime],
    ) -> None:
        """Starts nothing yet; see `work` and `drive`."""
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._give_up = timedelta(minutes=settings.give_up_minutes)
        self._poll_seconds = settings.poll_seconds
        self._database = database
        self._repository = repository
        self._accounts = accounts
        self._queue = queue
        self._clock = clock
        self._running: dict[str, asyncio.Task[None]] = {}

    async def work(self) -> None:
        """Goes on with unfinished registrations, for ever; at start-up with those of before."""
        while True:
            room = MAX_RUNNING - len(self._running)
            if room > 0:
                due = await self._database.read(
                    partial(self._repository.due, now=self._clock(), limit=room)
                )
                for registration_id in due:
                    self._start(registration_id)
            await asyncio.sleep(self._poll_seconds)

    async def drive(self, registration_id: str, seconds: float) -> Registration:
        """Works on a registration until it is finished, put off, or the time is up.

        Returns:
            The registration as it is then. What is left goes on in the background.
        """
        end = time.monotonic() + seconds

        async def look() -> tuple[Registration, float]:
            found = await self._database.read(
                lambda session: self._repository.registration(session, registration_id)
            )
            return found, end - time.monotonic()

        while True:
            found, left = await look()
            if not found.is_unfinished():
                return found
            if found.is_leased(self._clock()) and registration_id not in self._running:
                if left <= 0:
                    return found
                await asyncio.sleep(min(LOOK_SECONDS, left))
                continue
            await asyncio.wait({self._start(registration_id)}, timeout=max(left, 0))
            found, left = await look()
            if left <= 0 or not found.is_leased(self._clock()):
                return found

    async def close(self) -> None:
        """Ends the running steps and gives their leases back."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _start(self, registration_id: str) -> asyncio.Task[None]:
        task = self._running.get(registration_id)
        if task is None:
            task = asyncio.create_task(self._run(registration_id))
            self._running[registration_id] = task
            task.add_done_callback(lambda _: self._running.pop(registration_id, None))
        return task

    async def _run(self, registration_id: str) -> None:
        call = current_call()
        if call is not None:
            # The trace of the confirming call stays; its deadline is not the saga's.
            enter_call(replace(call, deadline=None))
        owner = new_id()
        try:
            while await self._step(registration_id, owner):
                pass
        except asyncio.CancelledError:
            await self._note(self._repository.release, registration_id, owner)
            raise
        except MeshError as error:
            # The database: the lease runs out, and somebody goes on when it is back.
            logger().warning("registration waits", id=registration_id, reason=error.reason)

    async def _step(self, registration_id: str, owner: str) -> bool:
        """Does the next step. False when there is none, or none now."""
        now = self._clock()
        found = await self._database.write(
            lambda session: self._repository.claim(
                session, registration_id, owner, now, now + self._lease
            )
        )
        if found is None:
            return False
        try:
            if now - found.consent_time > self._give_up:
                await self._fail(found, owner, Kind.ABORTED, "REGISTRATION_TIMED_OUT")
                return False
            await self._advance(found, owner)
        except MeshError as error:
            if is_permanent(error.kind):
                await self._fail(found, owner, error.kind, error.reason)
            else:
                await self._put_off(found, owner, error.reason)
            return False
        except Exception as error:
            logger().error("registration step broke", id=found.id, exc_info=error)
            await self._put_off(found, owner, type(error).__name__)
            return False
        return True

    async def _advance(self, found: Registration, owner: str) -> None:
        repository = self._repository
        if found.state is State.CONFIRMED:
            identity = await self._database.read(
                lambda session: repository.identity(session, found.id)
            )
            user_id = await self._accounts.ensure_patient(found.id, identity)
            await self._note(repository.account_ready, found.id, owner, user_id)
        else:
            ticket = await self._queue.issue_ticket(
                found.id, found.institution_id, found.service_id, found.user_id, found.age_years
            )
            await self._note(repository.completed, found.id, owner, ticket)
            logger().info("registration completed", id=found.id)

    async def _fail(self, found: Registration, owner: str, kind: Kind, reason: str) -> None:
        await self._note(self._repository.failed, found.id, owner, kind, reason)
        logger().info("registration failed", id=found.id, reason=reason)

    async def _put_off(self, found: Registration, owner: str, reason: str) -> None:
        # Spread, so that what failed together does not come back together.
        pause = pause_seconds(found.attempts) * random.uniform(0.5, 1)  # noqa: S311  # nosec B311 # spreads retries
        next_time = self._clock() + timedelta(seconds=pause)
        await self._note(self._repository.put_off, found.id, owner, next_time)
        logger().warning(
            "registration put off", id=found.id, state=found.state.value, reason=reason
        )

    async def _note(self, change: Callable[..., None], *arguments: object) -> None:
        now = self._clock()
        await self._database.write(lambda session: change(session, *arguments, now))
