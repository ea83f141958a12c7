"""Durable steps: each is repeated under one key until it holds, whatever ends in between.

Before each step a process leases the row; the step's request_id comes from the row, so that a step
whose answer was lost, or that two processes run after all (a lease that ran out during a pause),
has one effect. A call that begins the steps waits for them as long as it can; they do not end with
it.
"""

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Generic

from mesh.contract.call import current_call, enter_call
from mesh.errors import MeshError
from mesh.observability.logs import logger
from mesh.persistence.database import Database
from ocr_svc.domain.registration import pause_seconds
from ocr_svc.persistence.leases import Item, Leases
from ocr_svc.persistence.registrations import new_id
from ocr_svc.settings import OcrSettings

MAX_RUNNING = 16
"""Rows of one table that the background works on at the same time."""
LOOK_SECONDS = 0.1
"""How often a waiting call looks at what another process does."""


class WorkflowRunner(ABC, Generic[Item]):
    """Carries the rows of a table through their steps."""

    what: ClassVar[str]
    """What a row is, for the log."""

    def __init__(
        self,
        settings: OcrSettings,
        database: Database,
        leases: Leases[Any, Item],
        clock: Callable[[], datetime],
    ) -> None:
        """Starts nothing yet; see `work` and `run_until`."""
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._poll_seconds = settings.poll_seconds
        self._database = database
        self._leases = leases
        self._clock = clock
        self._running: dict[str, asyncio.Task[None]] = {}

    @abstractmethod
    async def _run_step(self, found: Item, owner: str) -> bool:
        """Does the next step and notes it. False when that was the last one for now.

        Raises:
            MeshError: The step did not come about; see `_refused`.
        """

    async def _refused(self, found: Item, owner: str, error: MeshError) -> None:
        """Says what a refusal means: unless a table knows better, the step is tried again."""
        await self._put_off(found, owner, error.reason)

    async def work(self) -> None:
        """Goes on with unfinished rows, for ever; at start-up with those of before."""
        while True:
            room = MAX_RUNNING - len(self._running)
            if room > 0:
                due = await self._database.read(
                    partial(self._leases.due, now=self._clock(), limit=room)
                )
                for item_id in due:
                    self._start(item_id)
            await asyncio.sleep(self._poll_seconds)

    async def run_until(self, item_id: str, seconds: float) -> Item:
        """Works on a row until it is finished, put off, or the time is up.

        Returns:
            The row as it is then. What is left goes on in the background.
        """
        end = time.monotonic() + seconds

        async def look() -> tuple[Item, float]:
            found = await self._database.read(lambda session: self._leases.get(session, item_id))
            return found, end - time.monotonic()

        while True:
            found, left = await look()
            if not found.is_unfinished():
                return found
            if found.is_leased(self._clock()) and item_id not in self._running:
                if left <= 0:
                    return found
                await asyncio.sleep(min(LOOK_SECONDS, left))
                continue
            await asyncio.wait({self._start(item_id)}, timeout=max(left, 0))
            found, left = await look()
            if left <= 0 or not found.is_leased(self._clock()):
                return found

    async def close(self) -> None:
        """Ends the running steps and gives their leases back."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _start(self, item_id: str) -> asyncio.Task[None]:
        task = self._running.get(item_id)
        if task is None:
            task = asyncio.create_task(self._run(item_id))
            self._running[item_id] = task
            task.add_done_callback(lambda _: self._running.pop(item_id, None))
        return task

    async def _run(self, item_id: str) -> None:
        call = current_call()
        if call is not None:
            # The trace of the calling call stays; its deadline is not that of the steps.
            enter_call(replace(call, deadline=None))
        owner = new_id()
        try:
            while await self._step(item_id, owner):
                pass
        except asyncio.CancelledError:
            await self._note(self._leases.release, item_id, owner)
            raise
        except MeshError as error:
            # The database: the lease runs out, and somebody goes on when it is back.
            logger().warning(f"{self.what} waits", id=item_id, reason=error.reason)

    async def _step(self, item_id: str, owner: str) -> bool:
        """Does the next step. False when there is none, or none now."""
        now = self._clock()
        found = await self._database.write(
            lambda session: self._leases.claim(session, item_id, owner, now, now + self._lease)
        )
        if found is None:
            return False
        try:
            return await self._run_step(found, owner)
        except MeshError as error:
            await self._refused(found, owner, error)
        except Exception as error:
            logger().error(f"{self.what} step broke", id=found.id, exc_info=error)
            await self._put_off(found, owner, type(error).__name__)
        return False

    async def _put_off(self, found: Item, owner: str, reason: str) -> None:
        # Spread, so that what failed together does not come back together.
        pause = pause_seconds(found.attempts) * random.uniform(0.5, 1)  # noqa: S311  # nosec B311 # spreads retries
        next_time = self._clock() + timedelta(seconds=pause)
        await self._note(self._leases.reschedule, found.id, owner, next_time)
        logger().warning(f"{self.what} put off", id=found.id, state=found.state, reason=reason)

    async def _note(self, change: Callable[..., None], *arguments: object) -> None:
        now = self._clock()
        await self._database.write(lambda session: change(session, *arguments, now))
