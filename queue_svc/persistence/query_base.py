"""What all queries share: the scope of their caller."""

import datetime
from collections.abc import Collection, Sequence
from typing import Any, TypeVar

from sqlalchemy import Row, Select, bindparam, select, union_all
from sqlalchemy.orm import Session

from mesh.contract.access_scope import AccessScope
from mesh.encryption.field_cipher import FieldCipher
from queue_svc.domain.days import active_days
from queue_svc.domain.rules import Rules
from queue_svc.domain.states import Priority, Status
from queue_svc.domain.tickets import Queue
from queue_svc.persistence.mapping import TICKET, queue_of
from queue_svc.persistence.models import QueueRow
from queue_svc.persistence.waiting_lists import WaitingListProjection

Query = TypeVar("Query", bound=Select[*tuple[Any, ...]])
HEADS = union_all(
    *(
        select(
            select(
                *(TICKET.c.id, TICKET.c.queue_id, TICKET.c.priority),
                *(TICKET.c.queue_time, TICKET.c.sequence, TICKET.c.create_time),
            )
            .where(
                TICKET.c.queue_id == bindparam("queue_id"),
                TICKET.c.status == Status.WAITING,
                TICKET.c.priority == priority,
            )
            .order_by(TICKET.c.queue_time, TICKET.c.sequence)
            .limit(bindparam("most"))
            .subquery()
        )
        for priority in Priority
    )
)
"""The oldest waiting tickets of a queue and priority; built once, which costs more than asking."""


class QueryBase:
    """Reads what exists for one caller, in one unit of work."""

    def __init__(
        self,
        session: Session,
        scope: AccessScope,
        rules: Rules,
        cipher: FieldCipher,
        waiting_lists: WaitingListProjection,
    ) -> None:
        """Works in `session`.

        Args:
            session: The unit of work.
            scope: Which tickets exist for the caller.
            rules: What the rules depend on.
            cipher: Hides reasons.
            waiting_lists: Who waits.
        """
        self._session = session
        self.scope = scope
        self._rules = rules
        self._cipher = cipher
        self._waiting_lists = waiting_lists

    def active_days(self, time_zone: str, now: datetime.datetime) -> tuple[str, ...]:
        """Returns the days of a zone whose tickets are called now, the older one first."""
        return active_days(now, time_zone, self._rules.carry_hours)

    def _visible(self, query: Query) -> Query:
        query = query.join(QueueRow, QueueRow.id == TICKET.c.queue_id)
        if self.scope.institution_id is not None:
            query = query.where(QueueRow.institution_id == self.scope.institution_id)
        if self.scope.account_id is not None:
            query = query.where(TICKET.c.patient_id == self.scope.account_id)
        return query

    def _queue_rows(
        self, institution_id: str, days: Collection[str], service_id: str = ""
    ) -> Sequence[QueueRow]:
        query = self._of_facility(select(QueueRow), institution_id, days, service_id)
        return self._session.scalars(query.order_by(QueueRow.day, QueueRow.id)).all()

    def _of_facility(
        self, query: Query, institution_id: str, days: Collection[str], service_id: str
    ) -> Query:
        query = query.where(QueueRow.institution_id == institution_id, QueueRow.day.in_(days))
        if service_id:
            query = query.where(QueueRow.service_id == service_id)
        if self.scope.institution_id is not None:
            query = query.where(QueueRow.institution_id == self.scope.institution_id)
        return query

    def _queues(
        self, institution_id: str, days: Collection[str], service_id: str = ""
    ) -> list[Queue]:
        return [queue_of(row) for row in self._queue_rows(institution_id, days, service_id)]

    def _heads(self, queue_ids: Collection[int], most: int = 1) -> Sequence[Row[Any]]:
        """Returns the oldest waiting tickets of each priority and queue."""
        return [
            row
            for queue_id in queue_ids
            for row in self._session.execute(HEADS, {"queue_id": queue_id, "most": most})
        ]
