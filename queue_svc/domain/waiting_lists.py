"""Who waits in the queues of a service: what one queue has come to, and several as one list."""

import datetime
from bisect import bisect_left, insort
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from queue_svc.domain.days import seconds_until
from queue_svc.domain.estimates import (
    ARRIVAL_WINDOW_SECONDS,
    WaitingList,
    arrival_rates,
    service_seconds,
)
from queue_svc.domain.order import Waiting, rates_of
from queue_svc.domain.rules import Rules
from queue_svc.domain.states import Priority, TicketEventType
from queue_svc.domain.tickets import Queue, Ticket


@dataclass
class QueueSnapshot:
    """Holds the waiting tickets of one queue at one revision."""

    revision: int
    by_priority: dict[Priority, list[Waiting]] = field(
        default_factory=lambda: {priority: [] for priority in Priority}
    )
    places: dict[str, Waiting] = field(default_factory=dict)
    arrivals: dict[Priority, list[float]] = field(
        default_factory=lambda: {priority: [] for priority in Priority}
    )
    """When tickets were issued, by their priority now, oldest first."""
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
            members = self.by_priority[old.priority]
            del members[bisect_left(members, old)]
        if waiting is not None:
            self.places[ticket_id] = waiting
            insort(self.by_priority[waiting.priority], waiting)

    def arrive(self, ticket_id: str, priority: Priority, moment: float) -> None:
        """Counts an arrival, once, for the priority that the ticket has now."""
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
        """Takes the call of a counter."""
        self.counters[counter_id] = max(moment, self.counters.get(counter_id, 0.0))


def merged_list(
    queues: Sequence[Queue],
    snapshots: Sequence[QueueSnapshot],
    rules: Rules,
    now: datetime.datetime,
) -> WaitingList:
    """Returns the waiting list of a service's queues around midnight.

    Args:
        queues: The queues, the older day first.
        snapshots: What each has come to.
        rules: What the rules depend on.
        now: The moment of the next call.
    """
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
        by_priority=_classes(snapshots),
        rates=rates_of(newest.service),
        now=moment,
        service_seconds=service_seconds(newest),
        counters=max(1, len(counters)),
        arrival_rates=arrival_rates(arrivals, moment, min(since, default=moment)),
        open_seconds=seconds_until(now, newest.service.time_zone, newest.service.closes),
        last_called_number=max(queues, key=last_call).last_called_number,
    )


def _classes(snapshots: Collection[QueueSnapshot]) -> Mapping[Priority, Sequence[Waiting]]:
    if len(snapshots) == 1:
        (only,) = snapshots
        return {priority: tuple(members) for priority, members in only.by_priority.items()}
    return {
        priority: sorted(one for snapshot in snapshots for one in snapshot.by_priority[priority])
        for priority in Priority
    }


def waiting_of(ticket: Ticket) -> Waiting:
    """Returns a waiting ticket as far as the order depends on it."""
    return Waiting(ticket.queue_time.timestamp(), ticket.sequence, ticket.id, ticket.priority)


def last_call(queue: Queue) -> datetime.datetime:
    """Returns when a queue was last called from; long ago when never."""
    return queue.last_call_time or datetime.datetime.min.replace(tzinfo=datetime.UTC)
