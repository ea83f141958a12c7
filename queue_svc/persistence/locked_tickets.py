"""Tickets under the locks that order all changes: a row a queue.

Every change locks the row of its queue first: numbers stay gap-free, two counters never get the
same ticket, and nobody is told that a queue is empty while a ticket is on its way in. Several
changes may share a transaction; `finish` writes what they have in common.
"""

import datetime
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from mesh.contract.access_scope import AccessScope
from mesh.encryption.field_cipher import FieldCipher
from mesh.errors import MeshError, StatusCode, not_found
from queue_svc.domain import tickets as domain
from queue_svc.domain.days import service_day
from queue_svc.domain.estimates import rolling_mean
from queue_svc.domain.order import Waiting
from queue_svc.domain.rules import Rules
from queue_svc.domain.states import SERVED, Priority, Status
from queue_svc.domain.tickets import Change, ChangeLogEntry, Counter, Service, ServiceKey, Ticket
from queue_svc.persistence.change_log import ChangeLogWriter
from queue_svc.persistence.mapping import (
    CHANGING,
    TICKET,
    new_queue,
    queue_of,
    state_values,
    ticket_of,
)
from queue_svc.persistence.models import QueueRow
from queue_svc.persistence.query_base import Query
from queue_svc.persistence.ticket_queries import TicketQueries
from queue_svc.persistence.waiting_lists import WaitingListProjection

ONE = select(TICKET).where(TICKET.c.id == bindparam("of"))
GUARDED = (
    update(TICKET)
    .where(TICKET.c.id == bindparam("of"), TICKET.c.version == bindparam("at"))
    .values({name: bindparam(name) for name in CHANGING})
)
"""A change of a ticket that names the version it changes."""


class QueueLocks:
    """Locks queues for one unit of work, each once and until the end."""

    def __init__(self, session: Session) -> None:
        """Locks in `session`."""
        self._session = session
        self._held: dict[int, QueueRow] = {}

    def joined(self, service: Service, now: datetime.datetime) -> QueueRow:
        """Locks the queue that a service's next ticket joins, and gives it the newest facts."""
        query = _today(select(QueueRow), service, now).with_for_update()
        queue = self._session.scalar(query)
        if queue is None:
            queue = self.hold(self.ensured(service, now))
        self._held[queue.id] = queue
        for name, value in vars(service).items():
            if getattr(queue, name) != value:
                setattr(queue, name, value)
        return queue

    def ensured(self, service: Service, now: datetime.datetime) -> int:
        """Returns the queue of a service's today, and makes it when it is missing."""
        query = _today(select(QueueRow.id), service, now)
        found = self._session.scalar(query)
        if found is not None:
            return found
        day = service_day(now, service.time_zone)
        values = new_queue(service, day, now)
        if self._session.get_bind().dialect.name == "sqlite":
            self._session.execute(sqlite.insert(QueueRow).values(values).on_conflict_do_nothing())
        else:
            # Not INSERT IGNORE: it keeps a shared lock, and two that want more deadlock.
            self._session.execute(
                mysql.insert(QueueRow).values(values).on_duplicate_key_update(day=day)
            )
        return self._session.scalars(query).one()

    def hold(self, queue_id: int) -> QueueRow:
        """Locks a queue's row until the end of the transaction."""
        if queue_id not in self._held:
            self._held[queue_id] = self._session.get_one(
                QueueRow, queue_id, with_for_update=True, populate_existing=True
            )
        return self._held[queue_id]


def _today(query: Query, service: Service, now: datetime.datetime) -> Query:
    return query.where(
        QueueRow.institution_id == service.institution_id,
        QueueRow.service_id == service.service_id,
        QueueRow.day == service_day(now, service.time_zone),
    )


class LockedTickets(TicketQueries):
    """Changes the tickets that exist for one caller, each under the lock of its queue."""

    def __init__(
        self,
        session: Session,
        scope: AccessScope,
        rules: Rules,
        cipher: FieldCipher,
        waiting_lists: WaitingListProjection,
    ) -> None:
        """Works in `session`; see `TicketQueries`."""
        super().__init__(session, scope, rules, cipher, waiting_lists)
        # A queue's row is written once, at the end, however many changes it has seen.
        session.autoflush = False
        self._change_log = ChangeLogWriter(session, cipher)
        self._locks = QueueLocks(session)
        self._queue_ids: dict[object, Sequence[int]] = {}
        self.calls_expected = 1
        """Calls of the next patient that the unit of work may make."""
        self._fronts: dict[int, dict[Priority, deque[Waiting]]] = {}

    @property
    def made(self) -> Sequence[tuple[ChangeLogEntry, Ticket]]:
        """Returns what happened in this unit of work, in order, and each ticket after it."""
        return self._change_log.made

    def finish(self) -> None:
        """Writes what the changes of the unit of work have in common. Nothing comes after it."""
        self._change_log.flush()
        self._session.flush()

    def _locked_queues(self, service_key: ServiceKey, days: Collection[str]) -> dict[int, QueueRow]:
        key = self.scope, service_key, tuple(days)
        if key not in self._queue_ids:
            query = self._of_facility(select(QueueRow.id), service_key[0], days, service_key[1])
            self._queue_ids[key] = self._session.scalars(query.order_by(QueueRow.id)).all()
        return {queue_id: self._locks.hold(queue_id) for queue_id in self._queue_ids[key]}

    def _queue_of(self, ticket_id: str) -> int:
        queue_id = self._session.scalar(
            self._visible(select(TICKET.c.queue_id)).where(TICKET.c.id == ticket_id)
        )
        if queue_id is None:
            raise not_found("ticket", ticket_id)
        return int(queue_id)

    def _locked(self, ticket_id: str) -> tuple[Ticket, QueueRow]:
        """Locks a ticket's queue, then reads the ticket, in this order as everywhere."""
        queue = self._locks.hold(self._queue_of(ticket_id))
        row = self._session.execute(ONE, {"of": ticket_id}).one()
        return ticket_of(row, queue_of(queue)), queue

    def _front(self, queue_id: int) -> dict[Priority, deque[Waiting]]:
        """Returns the first who wait of each priority, enough for the calls of the unit of work."""
        front = self._fronts.get(queue_id)
        if front is None:
            front = {priority: deque() for priority in Priority}
            for row in self._heads([queue_id], self.calls_expected):
                one = Waiting(
                    row.queue_time.timestamp(), row.sequence, row.id, Priority(row.priority)
                )
                front[one.priority].append(one)
        return front

    def _change(self, ticket: Ticket, queue: QueueRow, change: Change) -> Ticket:
        time = max(change.time, queue.last_change_time)
        after = domain.changed(ticket, replace(change, time=time))
        if after.status is Status.CALLED:
            queue.last_called_number, queue.last_call_time = after.number, after.update_time
        if after.status in SERVED and after.call_time is not None:
            busy_ms = domain.milliseconds(after.call_time, after.update_time)
            queue.busy_ms = rolling_mean(queue.busy_ms, queue.served, busy_ms)
            queue.served += 1
        values = {"of": ticket.id, "at": ticket.version, **state_values(after)}
        if self._session.execute(GUARDED, values).rowcount != 1:  # type: ignore[attr-defined]
            raise MeshError("the ticket changed meanwhile", StatusCode.ABORTED, "VERSION_CONFLICT")
        self._record(ticket, after, queue, change.actor, change.reason, acting=change.counter)
        return replace(after, queue=queue_of(queue))

    def _record(
        self,
        before: Ticket | None,
        after: Ticket,
        queue: QueueRow,
        actor: str,
        reason: str,
        acting: Counter | None = None,
    ) -> None:
        self._fronts.pop(queue.id, None)
        self._change_log.record(before, after, queue, actor, reason, acting)
