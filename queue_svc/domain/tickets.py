"""A ticket: where it stands, and what each change does to it."""

import datetime
from dataclasses import dataclass, replace

from queue_svc.domain.states import (
    AT_COUNTER,
    FINAL,
    SERVED,
    TRANSITIONS,
    Priority,
    PriorityReason,
    ServiceKind,
    Status,
    TicketEventType,
)

LONGEST_MS = 2**31 - 1
"""Longest time that is kept, some 25 days: what a column of 32 bits holds. A ticket that was
forgotten may be closed later than that."""
ServiceKey = tuple[str, str]
"""Facility and service."""


@dataclass(frozen=True)
class Counter:
    """Names a counter at which patients are served."""

    id: str
    name: str


@dataclass(frozen=True)
class Service:
    """Holds what a queue must know about its service, as told by the facility."""

    institution_id: str
    institution_name: str
    time_zone: str
    service_id: str
    service_name: str
    prefix: str
    service_minutes: int
    kind: ServiceKind = ServiceKind.CLINIC
    rate_high: float = 4.0
    """How fast the priority of HIGH grows while waiting; only the proportions count."""
    rate_normal: float = 2.0
    rate_low: float = 1.0
    standard_minutes: int = 60
    """The wait that should not be passed."""
    opens: str = ""
    """When it opens, facility-local, HH:MM. Empty: it is always open."""
    closes: str = ""
    """When it closes, facility-local, HH:MM. Empty: it is always open."""

    @property
    def key(self) -> tuple[str, str]:
        """Returns facility and service."""
        return self.institution_id, self.service_id


@dataclass(frozen=True)
class Queue:
    """Describes the queue of one service on one facility-local day."""

    id: int
    service: Service
    day: str
    served: int
    """Tickets served."""
    busy_ms: int
    """Rolling mean of the time from call to end of service; 0 when nobody was served."""
    last_called_number: str
    last_call_time: datetime.datetime | None
    waiting: int = 0
    """Tickets that wait."""

    @property
    def key(self) -> tuple[str, str]:
        """Returns facility and service: the queues of a service around midnight share it."""
        return self.service.key


@dataclass(frozen=True)
class Prediction:
    """Holds the wait that a patient was told with the ticket."""

    wait_ms: int
    high_ms: int
    """Upper end of the range that was shown."""


@dataclass(frozen=True)
class Ticket:
    """Describes a ticket as it is at one version."""

    id: str
    queue: Queue
    sequence: int
    number: str
    patient_id: str
    priority: Priority
    status: Status
    version: int
    calls: int
    """Calls since the patient waited last."""
    queue_time: datetime.datetime
    """From when waiting counts."""
    create_time: datetime.datetime
    update_time: datetime.datetime
    call_time: datetime.datetime | None = None
    serve_time: datetime.datetime | None = None
    close_time: datetime.datetime | None = None
    counter: Counter | None = None
    wait_ms: int | None = None
    """From issue to first call; kept for sums."""
    service_ms: int | None = None
    """From start to end of service; kept for sums."""
    journey_id: str = ""
    """The visit; it begins with a ticket of its own."""
    arrive_time: datetime.datetime | None = None
    """When the visit began."""
    priority_reason: PriorityReason = PriorityReason.NONE
    """Why the ticket has its priority."""
    previous_id: str = ""
    """The ticket from which the patient was sent here; empty on the first one."""
    next_id: str = ""
    """The ticket to which the patient was sent; empty unless TRANSFERRED."""
    prediction: Prediction | None = None

    @property
    def open(self) -> bool:
        """Returns whether the ticket may still change."""
        return self.status not in FINAL

    @property
    def returned(self) -> bool:
        """Returns whether the patient came back after being skipped."""
        return self.queue_time > self.create_time

    @property
    def waits(self) -> bool:
        """Returns whether the ticket is in a waiting list."""
        return self.status is Status.WAITING


@dataclass(frozen=True)
class Change:
    """Describes one change of a ticket."""

    status: Status
    """State after the change."""
    time: datetime.datetime
    actor: str
    """Account or service that made it."""
    counter: Counter | None = None
    """Counter that acted; None when none did."""
    reason: str = ""
    priority: Priority | None = None
    """The new priority; None: it stays."""
    next_id: str = ""
    """The ticket to which the patient is sent; empty unless TRANSFERRED."""


@dataclass(frozen=True)
class TicketChange:
    """Holds one change as it was written down."""

    act: TicketEventType
    version: int
    """Version after it, as is the priority."""
    priority: Priority
    change: Change


@dataclass(frozen=True)
class ChangeLogEntry:
    """Holds one entry of a queue's change log. It names nobody."""

    queue_id: int
    revision: int
    """Place in the change log, from 1, without gap."""
    act: TicketEventType
    ticket_id: str
    number: str
    journey_id: str
    institution_id: str
    service_id: str
    day: str
    status: Status
    """State after it, as are the priority and the version."""
    priority: Priority
    version: int
    waiting: int
    """Tickets of the queue that wait after it."""
    time: datetime.datetime
    counter: Counter | None


def number_of(prefix: str, sequence: int) -> str:
    """Returns the number as shown on boards, such as A-012."""
    return f"{prefix}-{sequence:03d}"


def milliseconds(start: datetime.datetime, end: datetime.datetime) -> int:
    """Returns the time between two moments; never negative, and at most LONGEST_MS."""
    return min(LONGEST_MS, max(0, round((end - start).total_seconds() * 1000)))


def changed(ticket: Ticket, change: Change) -> Ticket:
    """Returns the ticket after a change. Its times never go back.

    The change must be allowed: see `queue_svc.domain.checks`.
    """
    time = max(change.time, ticket.update_time)
    after = replace(ticket, status=change.status, version=ticket.version + 1, update_time=time)
    if change.priority is not None:
        return replace(after, priority=change.priority, priority_reason=PriorityReason.STAFF)
    if change.status is Status.CALLED:
        return _called(after, change.counter)
    if change.status is Status.SERVING:
        return replace(after, serve_time=time)
    if change.status is Status.WAITING:
        # A call that is taken back takes its wait along, unless that was of an earlier call.
        first = ticket.status in AT_COUNTER and not ticket.returned
        wait_ms = None if first else ticket.wait_ms
        return replace(
            after, counter=None, call_time=None, serve_time=None, calls=0, wait_ms=wait_ms
        )
    return _closed(after, change) if change.status in FINAL else after


def _called(ticket: Ticket, counter: Counter | None) -> Ticket:
    wait_ms = ticket.wait_ms
    if wait_ms is None:
        wait_ms = milliseconds(ticket.create_time, ticket.update_time)
    return replace(
        ticket,
        counter=counter,
        call_time=ticket.update_time,
        calls=ticket.calls + 1,
        wait_ms=wait_ms,
    )


def _closed(ticket: Ticket, change: Change) -> Ticket:
    time = ticket.update_time
    if ticket.status not in SERVED:
        return replace(ticket, close_time=time)
    service_ms = milliseconds(ticket.serve_time or time, time)
    return replace(ticket, close_time=time, service_ms=service_ms, next_id=change.next_id)


def event_type_of(before: Ticket | None, after: Ticket) -> TicketEventType:
    """Returns what made a ticket what it is.

    Args:
        before: The ticket before; None when it is new.
        after: The ticket after.
    """
    if before is None:
        return TicketEventType.ISSUED
    return TRANSITIONS.get((before.status, after.status), TicketEventType.UPDATED)


def as_issued(ticket: Ticket, priority: Priority | None = None) -> Ticket:
    """Returns the ticket as it was before its first change.

    Args:
        ticket: The ticket now.
        priority: Its priority at issue; None when it never changed.
    """
    return replace(
        ticket,
        priority=ticket.priority if priority is None else priority,
        status=Status.WAITING,
        version=1,
        calls=0,
        update_time=ticket.create_time,
        call_time=None,
        serve_time=None,
        close_time=None,
        counter=None,
        wait_ms=None,
        service_ms=None,
        next_id="",
    )
