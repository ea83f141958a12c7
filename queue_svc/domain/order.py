"""The order of calling: URGENT first, the rest by priority that accumulates while they wait.

score = rate(priority) x time waited (Kleinrock 1964; Stanford, Taylor, Ziedins 2014). Within a
priority the oldest has the highest score, so the heads of the four are enough to pick from.
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from queue_svc.domain.states import Priority
from queue_svc.domain.tickets import Service

ACCUMULATING = (Priority.HIGH, Priority.NORMAL, Priority.LOW)
"""The priorities that compete by score. The earlier one wins a tie."""


@dataclass(frozen=True)
class Rates:
    """Says how fast priority accumulates; only the proportions count."""

    high: float = 4.0
    normal: float = 2.0
    low: float = 1.0

    def of(self, priority: Priority) -> float:
        """Returns the rate of a priority. URGENT is above the others: its rate orders itself."""
        if priority is Priority.HIGH:
            return self.high
        return self.low if priority is Priority.LOW else self.normal


class Waiting(NamedTuple):
    """Names someone who waits, for the order of calling. The smallest of a priority is its head."""

    queue_time: float
    """From when waiting counts, in seconds since the epoch (UTC)."""
    sequence: int
    """Order of issue, for equal times."""
    id: str
    priority: Priority


Block = tuple[Priority, int, int, int]
"""Neighbours of one priority called without a break: the priority, the index of the first of them
in it, how many they are, and how many of any are called before them. A plain tuple for speed."""


def pick(heads: Iterable[Waiting], rates: Rates, now: float) -> Waiting | None:
    """Returns who is called next; None when nobody waits.

    Args:
        heads: The oldest of each priority.
        rates: How fast priority accumulates.
        now: The moment of the call, in seconds since the epoch.
    """

    def rank(one: Waiting) -> tuple[bool, float, Priority, float, int]:
        score = rates.of(one.priority) * max(0.0, now - one.queue_time)
        # Not the time waited: before a clock that was put back nobody has waited, and the numbers
        # of two days do not compare.
        return one.priority is Priority.URGENT, score, one.priority, -one.queue_time, -one.sequence

    return max(heads, key=rank, default=None)


def calling_order(
    by_priority: Mapping[Priority, Sequence[Waiting]], rates: Rates, now: float, pace_seconds: float
) -> Iterator[Waiting]:
    """Returns those who wait in the order in which they will be called if nobody else comes.

    Runs the pick of the real calls into the future: a later HIGH overtakes an earlier LOW only when
    its score passes before the LOW's turn comes.

    Args:
        by_priority: Everyone who waits, each priority oldest first.
        rates: How fast priority accumulates.
        now: The moment of the next call, in seconds since the epoch.
        pace_seconds: Expected time between two calls.
    """
    for priority, first, size, _ in calling_blocks(by_priority, rates, now, pace_seconds):
        yield from by_priority[priority][first : first + size]


def calling_blocks(
    by_priority: Mapping[Priority, Sequence[Waiting]],
    rates: Rates,
    now: float,
    pace_seconds: float,
    grain: int | None = None,
) -> Iterator[Block]:
    """Returns the calling order as blocks, in order.

    Args:
        by_priority: Everyone who waits, each priority oldest first.
        rates: How fast priority accumulates.
        now: The moment of the next call, in seconds since the epoch.
        pace_seconds: Expected time between two calls.
        grain: None: exact. Else, whoever comes after 2 x grain others is called together with
            some who follow, up to 1/grain of those called before, so that the steps grow with the
            logarithm of the queue.
    """
    called = len(by_priority.get(Priority.URGENT, ()))
    if called:
        yield Priority.URGENT, 0, called, 0
    # Lists of floats and indexes, no objects: the loop runs once for each call to come.
    kinds = [kind for kind in ACCUMULATING if by_priority.get(kind)]
    speeds = [rates.of(kind) for kind in kinds]
    members = [by_priority[kind] for kind in kinds]
    taken = [0] * len(kinds)
    heads = [oldest_first[0][0] for oldest_first in members]
    while len(kinds) > 1:
        moment = now + called * pace_seconds
        best, top = 0, -1.0
        for index, head in enumerate(heads):
            score = speeds[index] * (moment - head) if head < moment else 0.0
            if score > top:
                best, top = index, score
        oldest_first, first = members[best], taken[best]
        size = 1
        if grain is not None and called >= 2 * grain:
            size = min(called // grain, len(oldest_first) - first)
        yield kinds[best], first, size, called
        called += size
        taken[best] = first + size
        if first + size < len(oldest_first):
            heads[best] = oldest_first[first + size][0]
        else:
            for column in (kinds, speeds, members, taken, heads):
                del column[best]
    if kinds:
        yield kinds[0], taken[0], len(members[0]) - taken[0], called


def rates_of(service: Service) -> Rates:
    """Returns how fast priority grows in the queues of a service."""
    return Rates(service.rate_high, service.rate_normal, service.rate_low)


def back_in(
    own: datetime.datetime, others: Sequence[datetime.datetime], places: int
) -> datetime.datetime:
    """Returns from when waiting counts for a patient who comes back: later than before.

    Args:
        own: From when it counted before.
        others: The same of those of the same priority who wait, oldest first.
        places: How many of them go first.
    """
    last = others[min(places, len(others)) - 1] if others else own
    return max(own, last) + datetime.timedelta(microseconds=1)
