"""From an accepted erasure to its end, in durable steps; see `ocr_svc.domain.erasure.State`.

No refusal is final: who was promised an erasure gets it, however long it takes.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from mesh.observability.logs import logger
from mesh.persistence.database import Database
from ocr_svc.adapters.clients import Accounts, Queue
from ocr_svc.domain.erasure import Erasure, State
from ocr_svc.persistence.erasures import Erasures
from ocr_svc.settings import OcrSettings
from ocr_svc.workflows.step_runner import WorkflowRunner


class ErasureSaga(WorkflowRunner[Erasure]):
    """Carries erasures through their steps."""

    what = "erasure"

    def __init__(
        self,
        settings: OcrSettings,
        database: Database,
        erasures: Erasures,
        accounts: Accounts,
        queue: Queue,
        clock: Callable[[], datetime],
    ) -> None:
        """Starts nothing yet; see `work`, `keep_waking` and `drive`."""
        super().__init__(settings, database, erasures, clock)
        # A patient may have hundreds of tickets to be taken out of: that step has 10 s.
        self._lease *= 2
        self._purge_seconds = settings.purge_seconds
        self._erasures = erasures
        self._accounts = accounts
        self._queue = queue

    async def keep_waking(self) -> None:
        """Makes erasures due when the time of keeping is over, for ever."""
        while True:
            await self._note(self._erasures.wake)
            await asyncio.sleep(self._purge_seconds)

    async def _run_step(self, found: Erasure, owner: str) -> bool:
        if found.state is State.ACCOUNT_ERASED:
            await self._queue.erase(found.key, found.user_id)
            await self._note(self._erasures.erased, found.id, owner, found.user_id)
            logger().info("erasure completed", id=found.id)
            return False
        kept = found.retain_time if found.state is State.ACCEPTED else None
        await self._accounts.erase(found.key, found.user_id, kept)
        if kept is not None:
            await self._note(self._erasures.retained, found.id, owner)
            logger().info("erasure waits for the end of the retention", id=found.id)
            return False
        await self._note(self._erasures.account_erased, found.id, owner)
        return True
