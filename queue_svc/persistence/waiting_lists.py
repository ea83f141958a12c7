"""Who waits for each service, kept in memory and brought up to date from the queues' histories.

A queue's `revision` counts its changes, so a snapshot knows what it has missed: reading a waiting
list costs what has changed since, not what waits. Snapshots are per process and hold nothing that
the database does not.
"""

import datetime
import threading
from collections import defaultdict
from collections.abc import Iterable

from cachetools import LRUCache
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from queue_svc.domain.days import active_days
from queue_svc.domain.estimates import ARRIVAL_WINDOW_SECONDS, WaitingList
from queue_svc.domain.order import Waiting
from queue_svc.domain.rules import Rules
from queue_svc.domain.states import Priority, Status, TicketEventType
from queue_svc.domain.tickets import ChangeLogEntry, Service, ServiceKey, Ticket
from queue_svc.domain.waiting_lists import QueueSnapshot, merged_list, waiting_of
from queue_svc.persistence.mapping import CHANGE, TICKET, queue_of
from queue_svc.persistence.models import QueueRow, TicketRow

MAX_SNAPSHOTS = 500
"""Queues that are kept; the one that was used longest ago goes first."""
CATCH_UP = 2000
"""Changes that are replayed; who has missed more reads the whole queue."""
CALLS = frozenset({TicketEventType.CALLED, TicketEventType.RECALLED})
RECENT = 2000
"""Changes among which open counters are looked for: a day's history is not read for them."""


class WaitingListProjection:
    """Keeps the waiting lists of all services that this process was asked about."""

    def __init__(self, rules: Rules) -> None:
        """Starts without a snapshot."""
        self._rules = rules
        self._snapshots: LRUCache[int, QueueSnapshot] = LRUCache(MAX_SNAPSHOTS)
        # Units of work run in threads.
        self._lock = threading.Lock()

    def read(
        self, session: Session, services: Iterable[Service], now: datetime.datetime
    ) -> dict[ServiceKey, WaitingList]:
        """Returns the waiting lists of services as committed: not for a session that has written.

        Args:
            session: Where missed changes are read.
            services: The services; one without a queue has none.
            now: The moment of the next call.
        """
        wanted = {
            (service.institution_id, service.service_id, day)
            for service in services
            for day in active_days(now, service.time_zone, self._rules.carry_hours)
        }
        if not wanted:
            return {}
        key = tuple_(QueueRow.institution_id, QueueRow.service_id, QueueRow.day)
        rows = session.scalars(select(QueueRow).where(key.in_(wanted)).order_by(QueueRow.day)).all()
        groups: dict[ServiceKey, list[QueueRow]] = defaultdict(list)
        for row in rows:
            groups[row.institution_id, row.service_id].append(row)
        with self._lock:
            return {
                key: merged_list(
                    [queue_of(row) for row in days],
                    [self._refreshed(session, row, now) for row in days],
                    self._rules,
                    now,
                )
                for key, days in groups.items()
            }

    def committed(self, changes: Iterable[tuple[ChangeLogEntry, Ticket]]) -> None:
        """Takes what this process has just committed, so that it need not be read.

        What does not follow what is known here is read with the next list.
        """
        with self._lock:
            for entry, ticket in changes:
                snapshot = self._snapshots.get(entry.queue_id)
                if snapshot is not None and snapshot.revision == entry.revision - 1:
                    snapshot.revision = entry.revision
                    waiting = waiting_of(ticket) if ticket.waits else None
                    snapshot.change(ticket.id, entry.act, ticket.priority, entry.time, waiting)
                    if entry.act in CALLS and entry.counter is not None:
                        snapshot.call(entry.counter.id, entry.time.timestamp())

    def load_uncached(
        self, session: Session, service: Service, now: datetime.datetime
    ) -> WaitingList | None:
        """Returns the waiting list of one service, read whole: also for a session that has written.

        Args:
            session: The unit of work.
            service: The service.
            now: The moment of the next call.
        """
        rows = session.scalars(
            select(QueueRow)
            .where(
                QueueRow.institution_id == service.institution_id,
                QueueRow.service_id == service.service_id,
                QueueRow.day.in_(active_days(now, service.time_zone, self._rules.carry_hours)),
            )
            .order_by(QueueRow.day)
        ).all()
        if not rows:
            return None
        return merged_list(
            [queue_of(row) for row in rows],
            [self._load(session, row, now) for row in rows],
            self._rules,
            now,
        )

    def _refreshed(self, session: Session, row: QueueRow, now: datetime.datetime) -> QueueSnapshot:
        snapshot = self._snapshots.get(row.id)
        if snapshot is None or row.revision - snapshot.revision > CATCH_UP:
            snapshot = self._snapshots[row.id] = self._load(session, row, now)
        elif row.revision > snapshot.revision:
            _catch_up(session, row.id, snapshot)
        return snapshot

    def _load(self, session: Session, row: QueueRow, now: datetime.datetime) -> QueueSnapshot:
        snapshot = QueueSnapshot(row.revision)
        ticket = TICKET.c
        waiting = select(ticket.id, ticket.priority, ticket.queue_time, ticket.sequence).where(
            ticket.queue_id == row.id, ticket.status == Status.WAITING
        )
        for identifier, priority, queue_time, sequence in session.execute(waiting):
            one = Waiting(queue_time.timestamp(), sequence, identifier, Priority(priority))
            snapshot.places[identifier] = one
            snapshot.by_priority[one.priority].append(one)
        for members in snapshot.by_priority.values():
            members.sort()
        window = datetime.timedelta(seconds=ARRIVAL_WINDOW_SECONDS)
        arrivals = (
            select(ticket.id, ticket.priority, ticket.create_time)
            .where(ticket.queue_id == row.id, ticket.create_time >= now - window)
            .order_by(ticket.create_time)
        )
        for identifier, priority, create_time in session.execute(arrivals):
            snapshot.arrive(identifier, Priority(priority), create_time.timestamp())
        first = session.scalar(
            select(ticket.create_time).where(ticket.queue_id == row.id, ticket.sequence == 1)
        )
        snapshot.since = None if first is None else first.timestamp()
        change = CHANGE.c
        calls = select(change.counter_id, change.time).where(
            change.queue_id == row.id,
            change.revision > row.revision - RECENT,
            change.act.in_(CALLS),
            change.time >= now - self._rules.counter_window,
        )
        for counter_id, call_time in session.execute(calls):
            snapshot.call(counter_id, call_time.timestamp())
        return snapshot


def _catch_up(session: Session, queue_id: int, snapshot: QueueSnapshot) -> None:
    change, ticket = CHANGE.c, TICKET.c
    missed = (
        select(
            change.revision,
            change.act,
            change.time,
            change.counter_id,
            ticket.id,
            ticket.status,
            ticket.priority.label("class_now"),
            ticket.queue_time,
            ticket.sequence,
        )
        .join(TicketRow, ticket.id == change.ticket_id)
        .where(change.queue_id == queue_id, change.revision > snapshot.revision)
        .order_by(change.revision)
    )
    for row in session.execute(missed):
        snapshot.revision = row.revision
        priority = Priority(row.class_now)
        waiting = None
        if row.status == Status.WAITING:
            waiting = Waiting(row.queue_time.timestamp(), row.sequence, row.id, priority)
        snapshot.change(row.id, TicketEventType(row.act), priority, row.time, waiting)
        if row.act in CALLS and row.counter_id is not None:
            snapshot.call(row.counter_id, row.time.timestamp())
