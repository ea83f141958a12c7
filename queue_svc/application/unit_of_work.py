"""Units of work on tickets: each query and change opens what it works with."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.orm import Session

from mesh import unit_of_work
from mesh.contract.access_scope import AccessScope
from mesh.encryption.field_cipher import FieldCipher
from mesh.persistence.database import Database
from queue_svc.domain.rules import Rules
from queue_svc.persistence.facility_queries import FacilityQueries
from queue_svc.persistence.patient_tickets import PatientTickets
from queue_svc.persistence.ticket_queries import TicketQueries
from queue_svc.persistence.ticket_repository import TicketRepository
from queue_svc.persistence.waiting_lists import WaitingListProjection

Args = ParamSpec("Args")
Result = TypeVar("Result")


class UnitsOfWork(unit_of_work.UnitsOfWork[Session]):
    """Opens what a unit of work reads or writes with."""

    def __init__(
        self,
        database: Database,
        rules: Rules,
        cipher: FieldCipher,
        waiting_lists: WaitingListProjection,
    ) -> None:
        """Opens nothing yet.

        Args:
            database: Holds the tickets.
            rules: What the rules depend on.
            cipher: Encrypts reasons.
            waiting_lists: Who waits.
        """
        super().__init__(database)
        self._rules = rules
        self._cipher = cipher
        self._waiting_lists = waiting_lists

    async def read_tickets(
        self,
        scope: AccessScope,
        query: Callable[Concatenate[TicketQueries, Args], Result],
        *args: Args.args,
        **named: Args.kwargs,
    ) -> Result:
        """Runs a query of the tickets that exist for a caller; further arguments go to it."""
        return await self._database.read(
            lambda session: query(
                TicketQueries(session, scope, self._rules, self._cipher, self._waiting_lists),
                *args,
                **named,
            )
        )

    async def read_facility(
        self,
        institution_id: str,
        query: Callable[Concatenate[FacilityQueries, Args], Result],
        *args: Args.args,
        **named: Args.kwargs,
    ) -> Result:
        """Runs a query of one facility; the policy has seen to it that the caller may."""
        scope = AccessScope(institution_id=institution_id)
        return await self._database.read(
            lambda session: query(
                FacilityQueries(session, scope, self._rules, self._cipher, self._waiting_lists),
                *args,
                **named,
            )
        )

    async def read_patient(
        self,
        query: Callable[Concatenate[PatientTickets, Args], Result],
        *args: Args.args,
        **named: Args.kwargs,
    ) -> Result:
        """Runs a query of one person's tickets, wherever they were issued."""
        return await self._database.read(
            lambda session: query(self.patient_tickets(session), *args, **named)
        )

    def open(self, session: Session) -> Session:
        return session

    def patient_tickets(self, session: Session) -> PatientTickets:
        """Opens the tickets of persons in a unit of work."""
        return PatientTickets(
            session, AccessScope(), self._rules, self._cipher, self._waiting_lists
        )

    def ticket_repository(self, session: Session) -> TicketRepository:
        """Opens the tickets for changes in a unit of work; each change sets its own scope."""
        return TicketRepository(
            session, AccessScope(), self._rules, self._cipher, self._waiting_lists
        )
