"""Durable steps: each is repeated under one key until it succeeds, whatever ends in between.

Before each step a process leases the row; the step's request_id comes from the row, so that a step
whose answer was lost, or that two processes run after all (a lease that ran out during a pause),
has one effect. A call that begins the steps waits for them as long as it can; they do not end with
it.
"""

import asyncio
import random
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy.orm import Session

from mesh.background import run_periodically
from mesh.clock import Clock
from mesh.contract.call import current_call, enter_call
from mesh.errors import MeshError
from mesh.observability.logs import logger
from mesh.persistence.database import Database
from mesh.workflow.leases import Item, LeaseRepository

__all__ = [
    "WorkflowRunner",
    "pause_seconds",
]

MAX_RUNNING = 16
"""Rows of one table that the background works on at the same time."""
POLL_OTHERS_SECONDS = 0.1
"""How often a waiting call reads what another process does."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
Result = TypeVar("Result")


def pause_seconds(attempts: int) -> float:
    """Returns how long a step waits after so many tries that failed, before it is spread."""
    return float(min(FIRST_PAUSE_SECONDS * 2 ** min(attempts, 10), LONGEST_PAUSE_SECONDS))


class WorkflowRunner(ABC, Generic[Item]):
    """Carries the rows of a table through their steps."""

    name: ClassVar[str]
    """What a row is, for the log."""

    def __init__(
        self,
        database: Database,
        open_leases: Callable[[Session], LeaseRepository[Any, Item]],
        clock: Clock,
        *,
        lease_seconds: float,
        poll_seconds: float,
    ) -> None:
        """Starts nothing yet; see `run` and `run_until`.

        Args:
            database: Holds the table.
            open_leases: Opens the table in a unit of work.
            clock: Gives the time.
            lease_seconds: How long a process keeps a row to itself: more than one step may take.
            poll_seconds: How often unfinished rows are looked for.
        """
        self._database = database
        self._open_leases = open_leases
        self._clock = clock
        self._lease = timedelta(seconds=lease_seconds)
        self._poll_seconds = poll_seconds
        self._running: dict[str, asyncio.Task[None]] = {}

    @abstractmethod
    async def _run_step(self, item: Item, owner: str) -> bool:
        """Does the next step and writes its result; returns False when it was the last one for now.

        Raises:
            MeshError: The step failed; see `_handle_refusal`.
        """

    async def _handle_refusal(self, item: Item, owner: str, error: MeshError) -> None:
        """Decides what a refusal means; unless a workflow knows better, the step is tried again."""
        await self._reschedule(item, owner, error.reason)

    async def run(self) -> None:
        """Goes on with unfinished rows, for ever; at start-up with those of before."""
        await run_periodically(self._start_due, self._poll_seconds)

    async def run_until(self, item_id: str, seconds: float) -> Item:
        """Works on a row until it is finished, rescheduled, or the time is up.

        Returns:
            The row as it is then. What is left goes on in the background.
        """
        end = time.monotonic() + seconds
        while True:
            item = await self._read(item_id)
            left = end - time.monotonic()
            if not item.is_unfinished():
                return item
            if item.is_leased(self._clock()) and item_id not in self._running:
                if left <= 0:
                    return item
                await asyncio.sleep(min(POLL_OTHERS_SECONDS, left))
                continue
            await asyncio.wait({self._start(item_id)}, timeout=max(left, 0))
            item = await self._read(item_id)
            if time.monotonic() >= end or not item.is_leased(self._clock()):
                return item

    async def run_for_call(self, item_id: str, reserve_seconds: float) -> Item:
        """Works on a row as `run_until`, as long as the call in progress can wait.

        Args:
            item_id: The row.
            reserve_seconds: Kept back from the call's deadline for its answer.
        """
        call = current_call()
        left = call.remaining_seconds() if call is not None else None
        return await self.run_until(item_id, (left or 0.0) - reserve_seconds)

    async def close(self) -> None:
        """Ends the running steps and gives their leases back."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _read(self, item_id: str) -> Item:
        return await self._database.read(lambda session: self._open_leases(session).get(item_id))

    async def _write(self, change: Callable[[LeaseRepository[Any, Item]], Result]) -> Result:
        return await self._database.write(lambda session: change(self._open_leases(session)))

    async def _start_due(self) -> None:
        room = MAX_RUNNING - len(self._running)
        if room <= 0:
            return
        due = await self._database.read(
            lambda session: self._open_leases(session).due(self._clock(), room)
        )
        for item_id in due:
            self._start(item_id)

    def _start(self, item_id: str) -> asyncio.Task[None]:
        task = self._running.get(item_id)
        if task is None:
            task = asyncio.create_task(self._run_steps(item_id))
            self._running[item_id] = task
            task.add_done_callback(lambda _: self._running.pop(item_id, None))
        return task

    async def _run_steps(self, item_id: str) -> None:
        call = current_call()
        if call is not None:
            # The trace of the calling call stays; its deadline is not that of the steps.
            enter_call(replace(call, deadline=None))
        owner = str(uuid.uuid4())
        try:
            while await self._claim_and_run_step(item_id, owner):
                pass
        except asyncio.CancelledError:
            await self._write(lambda leases: leases.release(item_id, owner, self._clock()))
            raise
        except MeshError as error:
            # The database: the lease runs out, and somebody goes on when it is back.
            logger().warning(f"{self.name} waits", id=item_id, reason=error.reason)

    async def _claim_and_run_step(self, item_id: str, owner: str) -> bool:
        """Does the next step; returns False when there is none, or none now."""
        now = self._clock()
        item = await self._write(
            lambda leases: leases.claim(item_id, owner, now, now + self._lease)
        )
        if item is None:
            return False
        try:
            return await self._run_step(item, owner)
        except MeshError as error:
            await self._handle_refusal(item, owner, error)
        except Exception as error:
            logger().error(f"{self.name} step broke", id=item.id, exc_info=error)
            await self._reschedule(item, owner, type(error).__name__)
        return False

    async def _reschedule(self, item: Item, owner: str, reason: str) -> None:
        # Spread, so that what failed together does not come back together.
        pause = pause_seconds(item.attempts) * random.uniform(0.5, 1)  # noqa: S311  # nosec B311 # spreads retries
        now = self._clock()
        next_time = now + timedelta(seconds=pause)
        await self._write(lambda leases: leases.reschedule(item.id, owner, next_time, now))
        logger().warning(f"{self.name} rescheduled", id=item.id, state=item.state, reason=reason)
