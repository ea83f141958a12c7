"""From a confirmed draft to a ticket: CONFIRMED -> ACCOUNT_READY -> COMPLETED, in durable steps."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from mesh.errors import MeshError, StatusCode, failed_precondition
from mesh.observability.logs import logger
from mesh.persistence.database import Database
from ocr_svc.adapters.clients import Accounts, Queue
from ocr_svc.domain.registration import Registration, State, is_permanent
from ocr_svc.persistence.erasures import Erasures
from ocr_svc.persistence.registrations import Repository
from ocr_svc.settings import OcrSettings
from ocr_svc.workflows.step_runner import WorkflowRunner


class Saga(WorkflowRunner[Registration]):
    """Carries registrations through their steps."""

    what = "registration"

    def __init__(
        self,
        settings: OcrSettings,
        database: Database,
        repository: Repository,
        erasures: Erasures,
        accounts: Accounts,
        queue: Queue,
        clock: Callable[[], datetime],
    ) -> None:
        """Starts nothing yet; see `work` and `drive`."""
        super().__init__(settings, database, repository, clock)
        self._give_up = timedelta(minutes=settings.give_up_minutes)
        self._repository = repository
        self._erasures = erasures
        self._accounts = accounts
        self._queue = queue

    async def _run_step(self, found: Registration, owner: str) -> bool:
        repository = self._repository
        if self._clock() - found.consent_time > self._give_up:
            await self._fail(found, owner, StatusCode.ABORTED, "REGISTRATION_TIMED_OUT")
            return False
        if found.state is State.CONFIRMED:
            identity = await self._database.read(
                lambda session: repository.identity(session, found.id)
            )
            user_id = await self._accounts.ensure_patient(found.id, identity, found.institution_id)
            await self._note(self._account_ready, found.id, owner, user_id)
            return True
        ticket = await self._queue.issue_ticket(
            found.id, found.institution_id, found.service_id, found.user_id, found.age_years
        )
        await self._note(repository.completed, found.id, owner, ticket)
        logger().info("registration completed", id=found.id)
        return False

    def _account_ready(
        self, session: Session, registration_id: str, owner: str, user_id: str, now: datetime
    ) -> None:
        # An erasure that was accepted since the account was found closes it.
        if self._erasures.of(session, user_id) is not None:
            raise failed_precondition(
                "the account is being erased; register again", "ACCOUNT_ERASED"
            )
        self._repository.account_ready(session, registration_id, owner, user_id, now)

    async def _refused(self, found: Registration, owner: str, error: MeshError) -> None:
        if is_permanent(error.kind):
            await self._fail(found, owner, error.kind, error.reason)
        else:
            await super()._refused(found, owner, error)

    async def _fail(self, found: Registration, owner: str, kind: StatusCode, reason: str) -> None:
        await self._note(self._repository.failed, found.id, owner, kind, reason)
        logger().info("registration failed", id=found.id, reason=reason)
