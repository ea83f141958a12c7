"""The audit trail as it is asked for: its head, filters, and the persons who were touched."""

import datetime
from dataclasses import dataclass

from mesh.errors import invalid

FIRST_MAC = "0" * 64
"""What stands before the first entry."""
MAX_POSITION = 2**63 - 1


@dataclass(frozen=True)
class Head:
    """Names the last entry of the trail."""

    position: int
    """Position of the last entry; 0 while there is none."""
    mac: str
    """HMAC of the last entry; FIRST_MAC while there is none."""


EMPTY = Head(0, FIRST_MAC)


@dataclass(frozen=True)
class Filter:
    """Selects entries. What is empty does not matter; what is given must all hold."""

    person_id: str = ""
    actor_id: str = ""
    institution_id: str = ""
    start: datetime.datetime | None = None
    """Not before this time."""
    end: datetime.datetime | None = None
    """Before this time."""


@dataclass(frozen=True)
class TouchedFilter:
    """Selects persons whose data were seen or changed in a window."""

    start: datetime.datetime
    """Not before this time."""
    end: datetime.datetime
    """Before this time."""
    actor_id: str = ""
    """Only what this account did; empty: everybody."""
    institution_id: str = ""
    """Only what belongs to this facility; empty: everything."""


@dataclass(frozen=True)
class Touched:
    """Describes a person whose data were seen or changed."""

    person_id: str
    accesses: int
    changes: int
    first: datetime.datetime
    last: datetime.datetime


def require_order(start: datetime.datetime | None, end: datetime.datetime | None) -> None:
    """Refuses a window that ends before it begins.

    Raises:
        MeshError: INVALID_ARGUMENT with reason TIME_RANGE_INVALID.
    """
    if start is not None and end is not None and end < start:
        raise invalid("end_time", "before start_time", "TIME_RANGE_INVALID")
