"""What a patient can be told: how many go first, and how long that takes."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from queue_svc.domain.order import Rates, Waiting, calling_order
from queue_svc.domain.tickets import Queue, Status, Ticket

PRIOR_WEIGHT = 5
"""Served patients that the configured service time counts for: the first tickets stay sane."""
WINDOW = 20
"""Served patients that the rolling mean remembers."""


def rolling_mean(mean: int, served: int, value: int) -> int:
    """The mean after one more value; the share of older ones fades.

    Args:
        mean: The mean so far.
        served: How many values came before.
        value: The new one.
    """
    return mean + round((value - mean) / (min(served, WINDOW - 1) + 1))


def service_seconds(queue: Queue) -> float:
    """Expected time that a patient takes: the rolling mean, shrunk to the configured one."""
    seen = min(queue.served, WINDOW)
    configured = queue.service.service_minutes * 60
    return (PRIOR_WEIGHT * configured + seen * queue.busy_ms / 1000) / (PRIOR_WEIGHT + seen)


@dataclass(frozen=True)
class Line:
    """Everyone who waits for one service at one moment."""

    waiting: tuple[Waiting, ...]
    rates: Rates
    now: datetime.datetime
    service_seconds: float
    """Expected time that a patient takes."""
    counters: int
    """Counters that called recently, at least 1."""
    last_called_number: str
    """Empty when nobody was called."""

    @cached_property
    def order(self) -> list[str]:
        """Tickets in the order in which they will be called."""
        pace = self.service_seconds / self.counters
        return [one.id for one in calling_order(self.waiting, self.rates, self.now, pace)]

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {identifier: place for place, identifier in enumerate(self.order)}

    def ahead(self, ticket: Ticket) -> int:
        """People who will be called before this patient; 0 unless the ticket waits."""
        return self._places.get(ticket.id, 0)

    def wait_seconds(self, ticket: Ticket) -> int | None:
        """Expected wait; None unless the ticket waits in this line."""
        if ticket.status is not Status.WAITING or ticket.id not in self._places:
            return None
        return round(self.ahead(ticket) * self.service_seconds / self.counters)
