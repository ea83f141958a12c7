"""What a patient can be told: how many go first, and how long that takes."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from queue_svc.domain.order import Rates, Waiting, calling_blocks, calling_order
from queue_svc.domain.states import Priority
from queue_svc.domain.tickets import Queue

PRIOR_WEIGHT = 5
"""Served patients that the configured service time counts for: the first tickets stay sane."""
WINDOW = 20
"""Served patients that the rolling mean remembers."""
ARRIVAL_WINDOW_SECONDS = 3600.0
"""Arrivals of this time say how many more will come."""
SHORTEST_WINDOW_SECONDS = 900.0
"""A queue that has just begun is taken to be this old: two who come together are no rush."""
FADE_SECONDS = 5400.0
"""How fast the expected arrivals fade: a peak passes. Chosen by simulation (bench.queue_sim): a
peak that lasts until closing tells LOW an hour too much, half an hour tells it too little."""
RESIDUAL = 0.5
"""Share of the pace until the next counter is free when all are busy, by simulation."""
GRAIN = 600
"""The first 2 x GRAIN places are exact, those after them to within 1 %: see `calling_blocks`."""
NEWEST = 64
"""Last of each priority that are found without an index of all."""
ROUNDING_SECONDS = 300
MOST_ROUNDS = 100
"""Most rounds until a wait has settled to the second."""


def rolling_mean(mean: int, served: int, value: int) -> int:
    """Returns the mean after one more value; the share of older ones fades.

    Args:
        mean: The mean so far.
        served: How many values came before.
        value: The new one.
    """
    return mean + round((value - mean) / (min(served, WINDOW - 1) + 1))


def service_seconds(queue: Queue) -> float:
    """Returns the time that a patient takes: the rolling mean, shrunk to the configured one."""
    seen = min(queue.served, WINDOW)
    configured = queue.service.service_minutes * 60
    return (PRIOR_WEIGHT * configured + seen * queue.busy_ms / 1000) / (PRIOR_WEIGHT + seen)


def arrival_rates(
    arrivals: Mapping[Priority, Sequence[float]], now: float, since: float
) -> Mapping[Priority, float]:
    """Returns how many of each priority came per second lately.

    Args:
        arrivals: Times of issue in seconds since the epoch, oldest first. Those before the window
            do not count.
        now: The moment.
        since: When the first ticket of the queue was issued.
    """
    window = min(ARRIVAL_WINDOW_SECONDS, max(SHORTEST_WINDOW_SECONDS, now - since))
    return {
        priority: (len(times) - bisect_left(times, now - window)) / window
        for priority, times in arrivals.items()
    }


DAY_SECONDS = 24 * 3600.0


class Wait(NamedTuple):
    """Says how long a patient will wait."""

    expected_seconds: int
    low_seconds: int
    """Lower end of the range to show, in whole 5 minutes."""
    high_seconds: int
    """Upper end of the range to show, in whole 5 minutes."""

    @classmethod
    def around(cls, expected: float) -> "Wait":
        """Returns the wait with its range: from 0.7 of it to 1.5 of it and 5 minutes.

        Args:
            expected: Expected seconds. More than a day is said as a day.
        """
        expected = min(expected, DAY_SECONDS)
        low = math.floor(0.7 * expected / ROUNDING_SECONDS)
        high = math.ceil((1.5 * expected + 300) / ROUNDING_SECONDS)
        return cls(round(expected), low * ROUNDING_SECONDS, high * ROUNDING_SECONDS)


@dataclass(frozen=True)
class WaitingList:
    """Holds everyone who waits for one service at one moment."""

    by_priority: Mapping[Priority, Sequence[Waiting]]
    """Each priority oldest first."""
    rates: Rates
    now: float
    """In seconds since the epoch."""
    service_seconds: float
    """Expected time that a patient takes."""
    counters: int
    """Counters that called recently, at least 1."""
    arrival_rates: Mapping[Priority, float]
    """Further arrivals expected per second."""
    open_seconds: float | None
    """Until the service closes, when the last of them can arrive. None: it is always open."""
    last_called_number: str
    """Empty when nobody was called."""

    @property
    def pace_seconds(self) -> float:
        """Returns the expected time between two calls."""
        return self.service_seconds / self.counters

    @cached_property
    def order(self) -> list[str]:
        """Returns tickets in the order of their calls if nobody else comes. Exact."""
        order = calling_order(self.by_priority, self.rates, self.now, self.pace_seconds)
        return [one.id for one in order]

    def joining(self, newcomers: Sequence[Waiting]) -> "WaitingList":
        """Returns the same list with new tickets at the end of their priorities."""
        by_priority = dict(self.by_priority)
        for kind in {one.priority for one in newcomers}:
            new = [one for one in newcomers if one.priority is kind]
            by_priority[kind] = [*by_priority.get(kind, ()), *new]
        return replace(self, by_priority=by_priority)

    def ahead(self, ticket_id: str) -> int | None:
        """Returns people who wait and will be called before this ticket; None unless it waits here.

        Exact for the first 1,000 places; beyond them within 1 % of the place.
        """
        place = self._place(ticket_id)
        return None if place is None else self._ahead(*place)

    def wait(self, ticket_id: str) -> Wait | None:
        """Returns how long this ticket will wait; None unless it waits here.

        People ahead, and those expected to come later and overtake, at the pace of the counters.
        """
        place = self._place(ticket_id)
        if place is None:
            return None
        priority, index = place
        waited = max(0.0, self.now - self.by_priority[priority][index].queue_time)
        return Wait.around(self._expected(priority, waited, self._ahead(priority, index)))

    def _expected(self, priority: Priority, waited: float, ahead: int) -> float:
        """Returns the expected seconds: the smallest wait that leaves time for all who go first.

        Who arrives after a time a passes before the wait W is over when
        rate' x (W - a) > rate x (waited + W), so a priority with the higher rate' overtakes for
        W - (waited + W) x rate / rate' seconds, URGENT for W.
        """
        # While somebody else waits, no counter is free.
        busy = sum(map(len, self.by_priority.values())) > 1
        base = (ahead + RESIDUAL * busy) * self.pace_seconds
        closing = math.inf if self.open_seconds is None else max(0.0, self.open_seconds)
        overtaking = [
            (arrivals * self.pace_seconds, self._share(priority, other))
            for other, arrivals in self.arrival_rates.items()
            if other > priority
        ]
        wait = base
        for _ in range(MOST_ROUNDS):
            longer = base
            for load, share in overtaking:
                during = min(closing, max(0.0, wait - share * (waited + wait)))
                longer += load * FADE_SECONDS * -math.expm1(-during / FADE_SECONDS)
            if longer - wait < 1:
                break
            wait = longer
        return wait

    def _share(self, priority: Priority, other: Priority) -> float:
        """Returns the rate of a priority as a share of the rate of another, at most 1."""
        if other is Priority.URGENT:
            return 0.0
        faster = self.rates.of(other)
        return min(1.0, self.rates.of(priority) / faster) if faster > 0 else 1.0

    def _ahead(self, priority: Priority, index: int) -> int:
        """Returns people called before the one at an index of a priority."""
        members, (firsts, called) = self.by_priority[priority], self._blocks[priority]
        at = bisect_right(firsts, index) - 1
        within = index - firsts[at]
        if not within or at + 1 == len(firsts):
            return called[at] + within
        # Those of a block are not really neighbours: by their times, others come between them.
        start, end = members[firsts[at]].queue_time, members[firsts[at + 1]].queue_time
        share = (members[index].queue_time - start) / (end - start) if end > start else 1.0
        return called[at] + round(share * (called[at + 1] - called[at]))

    @cached_property
    def _blocks(self) -> Mapping[Priority, tuple[list[int], list[int]]]:
        """Returns by priority where each of its blocks begins, and how many are called before."""
        blocks: dict[Priority, tuple[list[int], list[int]]] = {kind: ([], []) for kind in Priority}
        pace = self.pace_seconds
        for kind, first, _, before in calling_blocks(
            self.by_priority, self.rates, self.now, pace, grain=GRAIN
        ):
            firsts, called = blocks[kind]
            firsts.append(first)
            called.append(before)
        return blocks

    def _place(self, ticket_id: str) -> tuple[Priority, int] | None:
        return self._newest.get(ticket_id) or self._all.get(ticket_id)

    @cached_property
    def _newest(self) -> Mapping[str, tuple[Priority, int]]:
        """Returns priority and index of the last tickets: whoever asks first has just joined."""
        return self._index(NEWEST)

    @cached_property
    def _all(self) -> Mapping[str, tuple[Priority, int]]:
        return self._index(max(map(len, self.by_priority.values()), default=0))

    def _index(self, last: int) -> Mapping[str, tuple[Priority, int]]:
        return {
            members[index].id: (priority, index)
            for priority, members in self.by_priority.items()
            for index in range(max(0, len(members) - last), len(members))
        }
