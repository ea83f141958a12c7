"""The order of calling: URGENT first, the rest by priority that accumulates while they wait.

score = rate(class) x time waited (Kleinrock 1964; Stanford, Taylor, Ziedins 2014). Within a class
the oldest has the highest score, so the heads of the four classes are enough to pick from.
"""

import datetime
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from queue_svc.domain.tickets import Priority


@dataclass(frozen=True)
class Rates:
    """How fast priority accumulates; only the proportions count."""

    high: float = 4.0
    normal: float = 2.0
    low: float = 1.0

    def of(self, priority: Priority) -> float:
        """The rate of a class. URGENT stands above the others, so its rate only orders itself."""
        if priority is Priority.HIGH:
            return self.high
        return self.low if priority is Priority.LOW else self.normal


@dataclass(frozen=True)
class Waiting:
    """Someone who waits, as far as the order depends on it."""

    id: str
    priority: Priority
    queue_time: datetime.datetime
    """From when waiting counts."""
    sequence: int
    """Order of issue, for equal times."""

    @property
    def age(self) -> tuple[datetime.datetime, int]:
        """What orders a class, smallest first."""
        return self.queue_time, self.sequence


def pick(heads: Iterable[Waiting], rates: Rates, now: datetime.datetime) -> Waiting | None:
    """Who is called next.

    Args:
        heads: The oldest of each class.
        rates: How fast priority accumulates.
        now: The moment of the call.
    """

    def rank(one: Waiting) -> tuple[bool, float, Priority, float, int]:
        waited = max(0.0, (now - one.queue_time).total_seconds())
        score = rates.of(one.priority) * waited
        return one.priority is Priority.URGENT, score, one.priority, waited, -one.sequence

    return max(heads, key=rank, default=None)


def calling_order(
    waiting: Iterable[Waiting], rates: Rates, now: datetime.datetime, pace_seconds: float
) -> list[Waiting]:
    """Those who wait in the order in which they will be called if nobody else comes.

    Runs the pick of the real calls into the future: a later HIGH overtakes an earlier LOW only when
    its score passes before the LOW's turn comes.

    Args:
        waiting: Everyone who waits.
        rates: How fast priority accumulates.
        now: The moment of the next call.
        pace_seconds: Expected time between two calls.
    """
    classes: dict[Priority, deque[Waiting]] = defaultdict(deque)
    for one in sorted(waiting, key=lambda one: one.age):
        classes[one.priority].append(one)
    order: list[Waiting] = []
    step = datetime.timedelta(seconds=pace_seconds)
    moment = now
    while True:
        heads = [line[0] for line in classes.values() if line]
        chosen = pick(heads, rates, moment)
        if chosen is None:
            return order
        order.append(classes[chosen.priority].popleft())
        moment += step
