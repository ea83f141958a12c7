"""Who waits for each service, kept in memory and brought up to date from the queues' histories.

A queue's `revision` counts its changes, so a snapshot knows what it has missed: reading a waiting
list costs what has changed since, not what waits. Snapshots are per process and hold nothing that
the database does not.
"""

import datetime
import threading
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from cachetools import LRUCache
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from queue_svc.domain.days import active_days, seconds_until
from queue_svc.domain.estimates import (
    ARRIVAL_WINDOW_SECONDS,
    WaitingList,
    arrival_rates,
    service_seconds,
)
from queue_svc.domain.order import Waiting, rates_of
from queue_svc.domain.rules import Rules
from queue_svc.domain.states import Priority, Status, TicketEventType
from queue_svc.domain.tickets import ChangeLogEntry, Queue, Service, ServiceKey, Ticket
from queue_svc.persistence.mapping import CHANGE, TICKET, queue_of
from queue_svc.persistence.models import QueueRow, TicketRow

MAX_SNAPSHOTS = 500
"""Queues that are kept; the one that was used longest ago goes first."""
CATCH_UP = 2000
"""Changes that are replayed; who has missed more reads the whole queue."""
CALLS = frozenset({TicketEventType.CALLED, TicketEventType.RECALLED})
RECENT = 2000
"""Changes among which open counters are looked for: a day's history is not read for them."""


@dataclass
class _Snapshot:
    """The waiting tickets of one queue at one revision."""

    revision: int
    classes: dict[Priority, list[Waiting]] = field(
        default_factory=lambda: {priority: [] for priority in Priority}
    )
    places: dict[str, Waiting] = field(default_factory=dict)
    arrivals: dict[Priority, list[float]] = field(
        default_factory=lambda: {priority: [] for priority in Priority}
    )
    """When tickets were issued, by their class now, oldest first."""
    arrived: dict[str, tuple[float, Priority]] = field(default_factory=dict)
    """The same by ticket, oldest first."""
    since: float | None = None
    """When the first ticket was issued; None when there was none."""
    counters: dict[str, float] = field(default_factory=dict)
    """Last call of each counter."""

    def place(self, ticket_id: str, waiting: Waiting | None) -> None:
        """Puts a ticket where it belongs now; None: it does not wait."""
        old = self.places.pop(ticket_id, None)
        if old is not None:
            members = self.classes[old.priority]
            del members[bisect_left(members, old)]
        if waiting is not None:
            self.places[ticket_id] = waiting
            insort(self.classes[waiting.priority], waiting)

    def arrive(self, ticket_id: str, priority: Priority, moment: float) -> None:
        """Counts an arrival, once, for the class that the ticket has now."""
        known = self.arrived.get(ticket_id)
        if known is not None:
            moment = known[0]
            times = self.arrivals[known[1]]
            del times[bisect_left(times, moment)]
        self.arrived[ticket_id] = moment, priority
        insort(self.arrivals[priority], moment)
        if self.since is None:
            self.since = moment

    def forget(self, before: float) -> None:
        """Drops the arrivals before a moment."""
        for ticket_id in list(takewhile(lambda one: self.arrived[one][0] < before, self.arrived)):
            del self.arrived[ticket_id]
        for times in self.arrivals.values():
            del times[: bisect_left(times, before)]

    def change(
        self,
        ticket_id: str,
        act: TicketEventType,
        priority: Priority,
        time: datetime.datetime,
        waiting: Waiting | None,
    ) -> None:
        """Follows a change of a ticket; `waiting` says where it stands now."""
        if act is TicketEventType.ISSUED or (
            act is TicketEventType.UPDATED and ticket_id in self.arrived
        ):
            self.arrive(ticket_id, priority, time.timestamp())
        self.place(ticket_id, waiting)

    def call(self, counter_id: str, moment: float) -> None:
        """Notes the call of a counter."""
        self.counters[counter_id] = max(moment, self.counters.get(counter_id, 0.0))


class WaitingListProjection:
    """The waiting lists of all services that this process was asked about."""

    def __init__(self, rules: Rules) -> None:
        """Starts without a snapshot."""
        self._rules = rules
        self._snapshots: LRUCache[int, _Snapshot] = LRUCache(MAX_SNAPSHOTS)
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
                key: _merged(
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
        return _merged(
            [queue_of(row) for row in rows],
            [self._load(session, row, now) for row in rows],
            self._rules,
            now,
        )

    def _refreshed(self, session: Session, row: QueueRow, now: datetime.datetime) -> _Snapshot:
        snapshot = self._snapshots.get(row.id)
        if snapshot is None or row.revision - snapshot.revision > CATCH_UP:
            snapshot = self._snapshots[row.id] = self._load(session, row, now)
        elif row.revision > snapshot.revision:
            _catch_up(session, row.id, snapshot)
        return snapshot

    def _load(self, session: Session, row: QueueRow, now: datetime.datetime) -> _Snapshot:
        snapshot = _Snapshot(row.revision)
        ticket = TICKET.c
        waiting = select(ticket.id, ticket.priority, ticket.queue_time, ticket.sequence).where(
            ticket.queue_id == row.id, ticket.status == Status.WAITING
        )
        for identifier, priority, queue_time, sequence in session.execute(waiting):
            one = Waiting(queue_time.timestamp(), sequence, identifier, Priority(priority))
            snapshot.places[identifier] = one
            snapshot.classes[one.priority].append(one)
        for members in snapshot.classes.values():
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


def _catch_up(session: Session, queue_id: int, snapshot: _Snapshot) -> None:
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


def _merged(
    queues: Sequence[Queue], snapshots: Sequence[_Snapshot], rules: Rules, now: datetime.datetime
) -> WaitingList:
    """Merges the queues of a service around midnight, the older day first."""
    moment = now.timestamp()
    newest = queues[-1]
    for snapshot in snapshots:
        snapshot.forget(moment - ARRIVAL_WINDOW_SECONDS)
    arrivals: Mapping[Priority, Sequence[float]] = snapshots[-1].arrivals
    if len(snapshots) > 1:
        arrivals = {
            priority: sorted(time for snapshot in snapshots for time in snapshot.arrivals[priority])
            for priority in Priority
        }
    opened = moment - rules.counter_window.total_seconds()
    counters = {
        counter
        for snapshot in snapshots
        for counter, called in snapshot.counters.items()
        if called >= opened
    }
    since = [snapshot.since for snapshot in snapshots if snapshot.since is not None]
    return WaitingList(
        classes=_classes(snapshots),
        rates=rates_of(newest.service),
        now=moment,
        service_seconds=service_seconds(newest),
        counters=max(1, len(counters)),
        arrival_rates=arrival_rates(arrivals, moment, min(since, default=moment)),
        open_seconds=seconds_until(now, newest.service.time_zone, newest.service.closes),
        last_called_number=max(queues, key=last_call).last_called_number,
    )


def _classes(snapshots: Collection[_Snapshot]) -> Mapping[Priority, Sequence[Waiting]]:
    if len(snapshots) == 1:
        (only,) = snapshots
        return {priority: tuple(members) for priority, members in only.classes.items()}
    return {
        priority: sorted(one for snapshot in snapshots for one in snapshot.classes[priority])
        for priority in Priority
    }


def waiting_of(ticket: Ticket) -> Waiting:
    """Returns a waiting ticket as far as the order depends on it."""
    return Waiting(ticket.queue_time.timestamp(), ticket.sequence, ticket.id, ticket.priority)


def last_call(queue: Queue) -> datetime.datetime:
    """Returns when a queue was last called from; long ago when never."""
    return queue.last_call_time or datetime.datetime.min.replace(tzinfo=datetime.UTC)
