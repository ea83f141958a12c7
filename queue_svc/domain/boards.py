"""What a board shows of a service."""

import datetime
from dataclasses import dataclass

from queue_svc.domain.states import Status
from queue_svc.domain.tickets import Queue


@dataclass(frozen=True)
class Called:
    """Describes a call as a board shows it."""

    ticket_id: str
    number: str
    counter_name: str
    status: Status
    call_time: datetime.datetime
    calls: int


@dataclass(frozen=True)
class ServiceBoard:
    """Describes one service on a board: queues of the active days, and calls, last one first."""

    queues: tuple[Queue, ...]
    current: tuple[Called, ...]
    """Tickets that a counter holds."""
    earlier: tuple[Called, ...]
    """Calls before those."""
