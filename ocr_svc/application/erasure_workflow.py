"""From an accepted erasure to its end, in durable steps; see `ocr_svc.domain.erasure.State`.

No refusal is final: who was promised an erasure gets it, however long it takes.
"""

from datetime import datetime

from mesh.clock import Clock
from mesh.observability.logs import logger
from mesh.persistence.database import Database
from mesh.workflow.runner import WorkflowRunner
from ocr_svc.adapters.accounts import Accounts
from ocr_svc.adapters.queue import Queue
from ocr_svc.application.unit_of_work import UnitOfWork, UnitsOfWork
from ocr_svc.domain.erasure import Erasure, State


class ErasureWorkflow(WorkflowRunner[Erasure]):
    """Carries erasures through their steps."""

    name = "erasure"

    def __init__(
        self,
        database: Database,
        units: UnitsOfWork,
        accounts: Accounts,
        queue: Queue,
        clock: Clock,
        *,
        lease_seconds: float,
        poll_seconds: float,
    ) -> None:
        """Starts nothing yet; see `run`, `wake_retained` and `run_for_call`.

        Args:
            database: Holds the erasures.
            units: Opens them.
            accounts: Erases the account.
            queue: Erases the tickets.
            clock: Gives the time.
            lease_seconds: How long a process keeps an erasure to itself.
            poll_seconds: How often unfinished ones are looked for.
        """
        super().__init__(
            database,
            lambda session: units.open(session).erasures,
            clock,
            lease_seconds=lease_seconds,
            poll_seconds=poll_seconds,
        )
        self._units = units
        self._accounts = accounts
        self._queue = queue

    async def wake_retained(self) -> None:
        """Makes erasures due when the time of keeping is over."""
        now = self._clock()
        await self._units.write(lambda unit: unit.erasures.wake_retained(now))

    async def _run_step(self, item: Erasure, owner: str) -> bool:
        if item.state is State.ACCOUNT_ERASED:
            await self._queue.erase(item.key, item.user_id)
            await self._units.write(complete_erasure, item, owner, self._clock())
            logger().info("erasure completed", id=item.id)
            return False
        kept = item.retain_time if item.state is State.ACCEPTED else None
        await self._accounts.erase(item.key, item.user_id, kept)
        now = self._clock()
        if kept is not None:
            await self._units.write(lambda unit: unit.erasures.set_retained(item.id, owner, now))
            logger().info("erasure waits for the end of the retention", id=item.id)
            return False
        await self._units.write(lambda unit: unit.erasures.set_account_erased(item.id, owner, now))
        return True


def complete_erasure(unit: UnitOfWork, erasure: Erasure, owner: str, now: datetime) -> None:
    """Takes the person out of the registrations and out of the erasure itself."""
    if unit.erasures.complete(erasure.id, owner, erasure.user_id, now):
        unit.registrations.erase_patient(erasure.user_id)
