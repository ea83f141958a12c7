"""The rules of an erasure: whether it may begin, how long data are kept, what happens next."""

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mesh.errors import MeshError, failed_precondition


class State(StrEnum):
    """Says how far an erasure has come.

    ACCEPTED -> ACCOUNT_ERASED -> ERASED when nothing must be kept; otherwise
    ACCEPTED -> RETAINED, and when the time is over -> DUE -> ACCOUNT_ERASED -> ERASED. What was
    done begins again when a backup has brought the data back.
    """

    ACCEPTED = "ACCEPTED"
    RETAINED = "RETAINED"
    DUE = "DUE"
    ACCOUNT_ERASED = "ACCOUNT_ERASED"
    ERASED = "ERASED"


UNFINISHED = (State.ACCEPTED, State.DUE, State.ACCOUNT_ERASED)
"""States with a step to do. RETAINED has none: nothing can touch what the law wants kept, until
`ErasureRepository.wake_retained` finds that its time is over."""


@dataclass(frozen=True)
class Erasure:
    """Holds the erasure of one person's data."""

    id: str
    user_id: str
    """Whose data. Empty once they are gone."""
    create_time: datetime.datetime
    retain_time: datetime.datetime | None
    """Until when the law wants the data to be kept. None: they are not kept."""
    state: State = State.ACCEPTED
    attempts: int = 0
    """Tries of the present step that came to nothing."""
    lease_until: datetime.datetime | None = None
    round: int = 0
    """How often it began again, because a backup had brought the data back."""

    @property
    def key(self) -> str:
        """Returns the request_id of every step: a step that is repeated has no second effect.

        Another one each round: the services remember a key for a day, and what they did then is
        undone.
        """
        return str(uuid.uuid5(uuid.UUID(self.id), str(self.round))) if self.round else self.id

    def is_unfinished(self) -> bool:
        """Returns whether a step can be done now."""
        return self.state in UNFINISHED

    def is_leased(self, now: datetime.datetime) -> bool:
        """Returns whether a process works on it."""
        return self.is_unfinished() and self.lease_until is not None and self.lease_until > now


@dataclass(frozen=True)
class Visits:
    """Holds what an erasure must know of a person's tickets."""

    open_tickets: Sequence[str] = ()
    """Identifiers of tickets that are not closed."""
    last_served_time: datetime.datetime | None = None
    """When the person was last served. None: never."""


def require_closed(visits: Visits) -> None:
    """Refuses to begin while the person stands in a queue.

    Raises:
        MeshError: OPEN_TICKETS, with one of the tickets.
    """
    if visits.open_tickets:
        error = failed_precondition(
            "a ticket of the person is open: close it first", "OPEN_TICKETS"
        )
        error.resource = ("ticket", visits.open_tickets[0])
        raise error


def registration_running() -> MeshError:
    """Returns the error for a person whose registration is still on its way to a ticket."""
    return failed_precondition("a registration of the person is running", "REGISTRATION_RUNNING")


def retain_time(
    visits: Visits, retention: datetime.timedelta, now: datetime.datetime
) -> datetime.datetime | None:
    """Returns until when the data are kept; None when they need not be.

    Args:
        visits: The person's tickets.
        retention: How long after the last visit the law wants them kept.
        now: The moment.
    """
    if visits.last_served_time is None:
        return None
    end = visits.last_served_time + retention
    return end if end > now else None
