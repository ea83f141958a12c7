"""From a confirmed draft to a ticket: CONFIRMED -> ACCOUNT_READY -> COMPLETED, in durable steps."""

from datetime import datetime, timedelta

from mesh.clock import Clock
from mesh.errors import MeshError, StatusCode, failed_precondition
from mesh.observability.logs import logger
from mesh.persistence.database import Database
from mesh.workflow.runner import WorkflowRunner
from ocr_svc.adapters.accounts import Accounts
from ocr_svc.adapters.queue import Queue
from ocr_svc.application.unit_of_work import UnitOfWork, UnitsOfWork
from ocr_svc.domain.registration import Registration, State, is_permanent


class RegistrationWorkflow(WorkflowRunner[Registration]):
    """Carries registrations through their steps."""

    name = "registration"

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
        give_up_minutes: float,
    ) -> None:
        """Starts nothing yet; see `run` and `run_for_call`.

        Args:
            database: Holds the registrations.
            units: Opens them.
            accounts: Finds or makes the account.
            queue: Issues the ticket.
            clock: Gives the time.
            lease_seconds: How long a process keeps a registration to itself.
            poll_seconds: How often unfinished ones are looked for.
            give_up_minutes: When one that cannot be finished fails.
        """
        super().__init__(
            database,
            lambda session: units.open(session).registrations,
            clock,
            lease_seconds=lease_seconds,
            poll_seconds=poll_seconds,
        )
        self._units = units
        self._accounts = accounts
        self._queue = queue
        self._give_up = timedelta(minutes=give_up_minutes)

    async def _run_step(self, item: Registration, owner: str) -> bool:
        if self._clock() - item.consent_time > self._give_up:
            await self._fail(item, owner, StatusCode.ABORTED, "REGISTRATION_TIMED_OUT")
            return False
        if item.state is State.CONFIRMED:
            identity = await self._units.read(lambda unit: unit.registrations.identity(item.id))
            user_id = await self._accounts.ensure_patient(item.id, identity, item.institution_id)
            await self._units.write(set_account, item.id, owner, user_id, self._clock())
            return True
        ticket = await self._queue.issue_ticket(
            item.id, item.institution_id, item.service_id, item.user_id, item.age_years
        )
        now = self._clock()
        await self._units.write(
            lambda unit: unit.registrations.complete(item.id, owner, ticket, now)
        )
        logger().info("registration completed", id=item.id)
        return False

    async def _handle_refusal(self, item: Registration, owner: str, error: MeshError) -> None:
        if is_permanent(error.kind):
            await self._fail(item, owner, error.kind, error.reason)
        else:
            await super()._handle_refusal(item, owner, error)

    async def _fail(self, item: Registration, owner: str, kind: StatusCode, reason: str) -> None:
        now = self._clock()
        await self._units.write(
            lambda unit: unit.registrations.fail(item.id, owner, kind, reason, now)
        )
        logger().info("registration failed", id=item.id, reason=reason)


def set_account(
    unit: UnitOfWork, registration_id: str, owner: str, user_id: str, now: datetime
) -> None:
    """Writes the account of a registration.

    Raises:
        MeshError: ACCOUNT_ERASED: an erasure that was accepted since the account was found closes
            it.
    """
    if unit.erasures.of_patient(user_id) is not None:
        raise failed_precondition("the account is being erased; register again", "ACCOUNT_ERASED")
    unit.registrations.set_account(registration_id, owner, user_id, now)
