"""A ticket: its states, who may reach it, and what each change does to it."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from mesh.errors import Kind, MeshError, invalid, refused


class Status(IntEnum):
    """State of a ticket, numbered as in the contracts."""

    WAITING = 1
    CALLED = 2
    SERVING = 3
    DONE = 4
    SKIPPED = 5
    NO_SHOW = 6
    CANCELLED = 7


class Priority(IntEnum):
    """Priority class, numbered as in the contracts."""

    LOW = 1
    NORMAL = 2
    HIGH = 3
    URGENT = 4


FINAL = frozenset({Status.DONE, Status.NO_SHOW, Status.CANCELLED})
"""States that a ticket never leaves."""
AT_COUNTER = frozenset({Status.CALLED, Status.SERVING})
"""States in which a counter holds the ticket."""
MOVES: Mapping[Status, frozenset[Status]] = {
    Status.WAITING: frozenset({Status.CANCELLED}),
    Status.CALLED: frozenset(
        {Status.SERVING, Status.SKIPPED, Status.NO_SHOW, Status.CANCELLED, Status.WAITING}
    ),
    Status.SERVING: frozenset({Status.DONE, Status.WAITING}),
    Status.SKIPPED: frozenset({Status.WAITING, Status.NO_SHOW, Status.CANCELLED}),
    Status.DONE: frozenset(),
    Status.NO_SHOW: frozenset(),
    Status.CANCELLED: frozenset(),
}
"""The transitions that staff may ask for. Only a call makes a ticket CALLED."""


@dataclass(frozen=True)
class Counter:
    """A counter at which patients are served."""

    id: str
    name: str


@dataclass(frozen=True)
class Service:
    """What a queue must know about its service, as told by the facility."""

    institution_id: str
    institution_name: str
    time_zone: str
    service_id: str
    service_name: str
    prefix: str
    service_minutes: int


@dataclass(frozen=True)
class Queue:
    """The queue of one service on one facility-local day."""

    id: int
    service: Service
    day: str
    served: int
    """Tickets served."""
    busy_ms: int
    """Rolling mean of the time from call to end of service; 0 when nobody was served."""
    last_called_number: str
    last_call_time: datetime.datetime | None

    @property
    def key(self) -> tuple[str, str]:
        """Facility and service: the queues of a service around midnight share it."""
        return self.service.institution_id, self.service.service_id


@dataclass(frozen=True)
class Ticket:
    """A queue ticket."""

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

    @property
    def open(self) -> bool:
        """Whether the ticket may still change."""
        return self.status not in FINAL


@dataclass(frozen=True)
class Change:
    """One change of a ticket."""

    status: Status
    """State after the change."""
    time: datetime.datetime
    actor: str
    """Account or service that made it."""
    counter: Counter | None = None
    """Counter that acted; None when none did."""
    reason: str = ""


@dataclass(frozen=True)
class Reach:
    """The tickets that a caller can reach; all others do not exist for them."""

    institution_id: str | None = None
    """Only tickets of this facility. None: of any."""
    patient_id: str | None = None
    """Only tickets of this patient. None: of anyone."""


def number_of(prefix: str, sequence: int) -> str:
    """The number as shown on boards, such as A-012."""
    return f"{prefix}-{sequence:03d}"


def _milliseconds(start: datetime.datetime, end: datetime.datetime) -> int:
    return max(0, round((end - start).total_seconds() * 1000))


def changed(ticket: Ticket, change: Change) -> Ticket:
    """The ticket after a change. Its times never go back.

    The change must be allowed: see `check_move` and `check_call`.
    """
    time = max(change.time, ticket.update_time)
    after = replace(ticket, status=change.status, version=ticket.version + 1, update_time=time)
    if change.status is Status.CALLED:
        wait_ms = ticket.wait_ms
        if wait_ms is None:
            wait_ms = _milliseconds(ticket.create_time, time)
        return replace(
            after, counter=change.counter, call_time=time, calls=ticket.calls + 1, wait_ms=wait_ms
        )
    if change.status is Status.SERVING:
        return replace(after, serve_time=time)
    if change.status is Status.WAITING:
        undone = ticket.status in AT_COUNTER
        return replace(
            after,
            counter=None,
            call_time=None,
            serve_time=None,
            calls=0,
            wait_ms=None if undone else ticket.wait_ms,
        )
    if change.status is Status.DONE:
        started = ticket.serve_time or time
        return replace(after, close_time=time, service_ms=_milliseconds(started, time))
    if change.status in FINAL:
        return replace(after, close_time=time)
    return after


def as_issued(ticket: Ticket) -> Ticket:
    """The ticket as it was before its first change."""
    return replace(
        ticket,
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
    )


def check_move(ticket: Ticket, status: Status, reason: str) -> None:
    """Refuses a transition that does not exist.

    Raises:
        MeshError: TRANSITION_NOT_ALLOWED; REASON_REQUIRED when a call is taken back without one.
    """
    if status not in MOVES[ticket.status]:
        raise _not_allowed(ticket)
    if status is Status.WAITING and ticket.status in AT_COUNTER and not reason.strip():
        raise invalid("reason", "say why the call is taken back", "REASON_REQUIRED")


def check_call(ticket: Ticket, counter: Counter, recalls: int) -> None:
    """Refuses a call that would take a patient from another counter or be one too many.

    Args:
        ticket: The ticket to call.
        counter: The counter that calls.
        recalls: How often a call may be repeated.

    Raises:
        MeshError: TRANSITION_NOT_ALLOWED, CALLED_BY_OTHER_COUNTER or RECALL_LIMIT.
    """
    if ticket.status is Status.WAITING:
        return
    if ticket.status is not Status.CALLED:
        raise _not_allowed(ticket)
    if ticket.counter is not None and ticket.counter.id != counter.id:
        raise refused("another counter called this ticket", "CALLED_BY_OTHER_COUNTER")
    if ticket.calls > recalls:
        raise refused(f"a call is repeated at most {recalls} times", "RECALL_LIMIT")


def _not_allowed(ticket: Ticket) -> MeshError:
    allowed = ",".join(status.name for status in sorted(MOVES[ticket.status]))
    return refused(
        f"a {ticket.status.name} ticket cannot do this",
        "TRANSITION_NOT_ALLOWED",
        **{"from": ticket.status.name, "allowed": allowed},
    )


def check_priority(priority: Priority, reason: str) -> None:
    """Refuses an URGENT ticket that nobody gave a reason for.

    Raises:
        MeshError: PRIORITY_REASON_REQUIRED.
    """
    if priority is Priority.URGENT and not reason.strip():
        raise invalid("priority_reason", "say why it is urgent", "PRIORITY_REASON_REQUIRED")


def active_ticket_exists(ticket_id: str) -> MeshError:
    """The error for a patient who is in this queue already."""
    return MeshError(
        "the patient has an open ticket of this service and day",
        Kind.ALREADY_EXISTS,
        "ACTIVE_TICKET_EXISTS",
        resource=("ticket", ticket_id),
    )


def queue_empty() -> MeshError:
    """The error for a call when nobody waits."""
    return MeshError("nobody waits", Kind.NOT_FOUND, "QUEUE_EMPTY")


def back_in(
    own: datetime.datetime, others: Sequence[datetime.datetime], places: int
) -> datetime.datetime:
    """From when waiting counts for a patient who comes back after being skipped.

    Args:
        own: From when it counted before.
        others: The same of those of the class who wait, oldest first.
        places: How many of them go first.
    """
    if not others:
        return own
    last = others[min(places, len(others)) - 1]
    return max(own, last + datetime.timedelta(microseconds=1))
