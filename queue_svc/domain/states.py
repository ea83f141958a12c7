"""The states of a ticket and the one table of the changes that exist."""

from collections.abc import Mapping
from enum import IntEnum


class Status(IntEnum):
    """Names the state of a ticket, numbered as in the contracts."""

    WAITING = 1
    CALLED = 2
    SERVING = 3
    DONE = 4
    SKIPPED = 5
    NO_SHOW = 6
    CANCELLED = 7
    TRANSFERRED = 8


class Priority(IntEnum):
    """Names a priority, numbered as in the contracts."""

    LOW = 1
    NORMAL = 2
    HIGH = 3
    URGENT = 4


class PriorityReason(IntEnum):
    """Says why a ticket has its priority, numbered as in the contracts."""

    NONE = 0
    ELDERLY = 1
    PREGNANT = 2
    DISABLED = 3
    REFERRAL = 4
    STAFF = 5


class ServiceKind(IntEnum):
    """Says what a service does, numbered as in the contracts."""

    REGISTRATION = 1
    CLINIC = 2
    PHARMACY = 3
    OTHER = 4


class TicketEventType(IntEnum):
    """Says what happened to a ticket: the types of events, numbered as in the contracts."""

    ISSUED = 1
    CALLED = 2
    UPDATED = 3
    CANCELLED = 4
    RECALLED = 5
    STARTED = 6
    DONE = 7
    SKIPPED = 8
    RETURNED = 9
    NO_SHOW = 10
    UNDONE = 11
    TRANSFERRED = 12


TRANSITIONS: Mapping[tuple[Status, Status], TicketEventType] = {
    (Status.WAITING, Status.CALLED): TicketEventType.CALLED,
    (Status.WAITING, Status.CANCELLED): TicketEventType.CANCELLED,
    (Status.CALLED, Status.CALLED): TicketEventType.RECALLED,
    (Status.CALLED, Status.SERVING): TicketEventType.STARTED,
    (Status.CALLED, Status.SKIPPED): TicketEventType.SKIPPED,
    (Status.CALLED, Status.NO_SHOW): TicketEventType.NO_SHOW,
    (Status.CALLED, Status.CANCELLED): TicketEventType.CANCELLED,
    (Status.CALLED, Status.WAITING): TicketEventType.UNDONE,
    (Status.SERVING, Status.DONE): TicketEventType.DONE,
    (Status.SERVING, Status.TRANSFERRED): TicketEventType.TRANSFERRED,
    (Status.SERVING, Status.WAITING): TicketEventType.UNDONE,
    (Status.SKIPPED, Status.WAITING): TicketEventType.RETURNED,
    (Status.SKIPPED, Status.NO_SHOW): TicketEventType.NO_SHOW,
    (Status.SKIPPED, Status.CANCELLED): TicketEventType.CANCELLED,
}
"""Every change of state that exists, and what it is called."""
FINAL = frozenset(Status) - {source for source, _ in TRANSITIONS}
"""States that a ticket never leaves."""
AT_COUNTER = frozenset({Status.CALLED, Status.SERVING})
"""States in which a counter holds the ticket."""
SERVED = frozenset({Status.DONE, Status.TRANSFERRED})
"""States in which service has ended well."""


def targets(source: Status) -> frozenset[Status]:
    """Returns the states that a ticket may go to from a state."""
    return frozenset(target for start, target in TRANSITIONS if start is source)
