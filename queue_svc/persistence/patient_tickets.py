"""The tickets of one person, for the copy and the erasure that the person asked for."""

import datetime
import uuid
from collections import defaultdict
from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, and_, delete, or_, select, update

from mesh.contract.pagination import decode_token, encode_token
from mesh.errors import MeshError, failed_precondition, invalid
from queue_svc.domain.states import FINAL, PriorityReason
from queue_svc.domain.tickets import Ticket, TicketChange
from queue_svc.persistence.mapping import CHANGE, TICKET
from queue_svc.persistence.models import IDEMPOTENCY, ChangeRow
from queue_svc.persistence.ticket_queries import TicketQueries

CHUNK = 500
"""Identifiers in one statement."""


class PatientTickets(TicketQueries):
    """Reads and erases the tickets of one person, wherever they were issued."""

    def page(self, patient_id: str, token: str, size: int) -> tuple[list[Ticket], str]:
        """Returns tickets in any state, newest first, and the token of the next page.

        Raises:
            MeshError: PAGE_TOKEN_INVALID.
        """
        condition: ColumnElement[bool] = TICKET.c.patient_id == patient_id
        if (position := decode_token(token, 2)) is not None:
            condition = and_(condition, _after(*position))
        query = (
            select(TICKET.c.id)
            .where(condition)
            .order_by(TICKET.c.create_time.desc(), TICKET.c.id.desc())
            .limit(size + 1)
        )
        identifiers = list(self._session.scalars(query))
        found = self.by_ids(identifiers[:size])
        if len(identifiers) <= size:
            return found, ""
        return found, encode_token(found[-1].create_time.isoformat(), found[-1].id)

    def histories(self, ticket_ids: Collection[str]) -> dict[str, list[TicketChange]]:
        """Returns what happened to tickets, oldest first, by ticket."""
        query = (
            select(ChangeRow).where(ChangeRow.ticket_id.in_(ticket_ids)).order_by(ChangeRow.version)
        )
        found: dict[str, list[TicketChange]] = defaultdict(list)
        for row in self._session.scalars(query):
            found[row.ticket_id].append(self._recorded(row))
        return found

    def erase(self, patient_id: str, answer_scopes: Collection[str]) -> list[str]:
        """Takes the person out of their tickets.

        Each visit gets a name of its own in place of the account: its tickets still belong
        together, and no two visits do. The priority reason goes, and so do texts of reasons.
        Versions, times and revisions stay, so that no snapshot of a queue has to be read again.

        Args:
            patient_id: The person's account.
            answer_scopes: Scopes of the idempotency table whose answers went to the person alone:
                they are forgotten.

        Returns:
            The tickets.

        Raises:
            MeshError: OPEN_TICKETS, with one of them; nothing happens then.
        """
        rows = self._session.execute(
            select(TICKET.c.id, TICKET.c.journey_id, TICKET.c.status).where(
                TICKET.c.patient_id == patient_id
            )
        ).all()
        for row in rows:
            if row.status not in FINAL:
                raise _open(row.id)
        visits: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            visits[row.journey_id].append(row.id)
        for ticket_ids in visits.values():
            self._rename(patient_id, ticket_ids)
        identifiers = [row.id for row in rows]
        for start in range(0, len(identifiers), CHUNK):
            chunk = identifiers[start : start + CHUNK]
            self._session.execute(
                update(CHANGE)
                .where(CHANGE.c.ticket_id.in_(chunk), CHANGE.c.reason.is_not(None))
                .values(reason=None)
            )
        self._forget_answers(answer_scopes)
        return identifiers

    def _rename(self, patient_id: str, ticket_ids: Sequence[str]) -> None:
        nobody = str(uuid.uuid4())
        self._session.execute(
            # Why may tell of a pregnancy or a disability; statistics need the priority alone.
            update(TICKET)
            .where(TICKET.c.id.in_(ticket_ids))
            .values(patient_id=nobody, ground=PriorityReason.NONE)
        )
        # Who takes or cancels a ticket at home acts as the account.
        self._session.execute(
            update(CHANGE)
            .where(CHANGE.c.ticket_id.in_(ticket_ids), CHANGE.c.actor == patient_id)
            .values(actor=nobody)
        )

    def _forget_answers(self, scopes: Collection[str]) -> None:
        self._session.execute(delete(IDEMPOTENCY).where(IDEMPOTENCY.c.scope.in_(scopes)))


def _after(moment: str, ticket_id: str) -> ColumnElement[bool]:
    """Returns what comes after a ticket in the order of `page`."""
    try:
        time = datetime.datetime.fromisoformat(moment)
    except ValueError as error:
        raise invalid("page_token", "not a token of ours", "PAGE_TOKEN_INVALID") from error
    return or_(
        TICKET.c.create_time < time,
        and_(TICKET.c.create_time == time, TICKET.c.id < ticket_id),
    )


def _open(ticket_id: str) -> MeshError:
    error = failed_precondition("a ticket of the patient is open: close it first", "OPEN_TICKETS")
    error.resource = ("ticket", ticket_id)
    return error
