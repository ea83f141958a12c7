"""Who is called next."""

import datetime
import random
import statistics
from collections import defaultdict

import pytest

from queue_svc.domain.order import Rates, Waiting, calling_order, pick
from queue_svc.domain.tickets import Priority

NOW = datetime.datetime(2026, 3, 2, 2, 0, tzinfo=datetime.UTC)
RATES = Rates()
P = Priority


def someone(priority: Priority, waited_minutes: float, sequence: int = 1) -> Waiting:
    queue_time = NOW - datetime.timedelta(minutes=waited_minutes)
    return Waiting(f"{priority.name}{sequence}", priority, queue_time, sequence)


@pytest.mark.parametrize(
    ("heads", "first"),
    [
        ([(P.URGENT, 0), (P.HIGH, 600)], P.URGENT),
        ([(P.HIGH, 10), (P.NORMAL, 19)], P.HIGH),
        ([(P.HIGH, 10), (P.NORMAL, 21)], P.NORMAL),
        ([(P.HIGH, 10), (P.LOW, 41), (P.NORMAL, 19)], P.LOW),
        ([(P.LOW, 0), (P.NORMAL, 0), (P.HIGH, 0)], P.HIGH),
    ],
)
def test_score_is_rate_times_waiting(heads: list[tuple[Priority, float]], first: Priority) -> None:
    chosen = pick([someone(*one) for one in heads], RATES, NOW)
    assert chosen is not None
    assert chosen.priority is first


def test_nobody_waits() -> None:
    assert pick([], RATES, NOW) is None


def test_equal_times_go_by_number() -> None:
    line = [someone(P.NORMAL, 5, sequence) for sequence in (3, 1, 2)]
    order = calling_order(line, RATES, NOW, 60)
    assert [one.sequence for one in order] == [1, 2, 3]


def test_the_order_looks_into_the_future() -> None:
    # At this moment LOW leads by a little; HIGH gains three times as fast and passes.
    line = [someone(P.NORMAL, 30), someone(P.LOW, 21), someone(P.HIGH, 5)]
    names = [one.priority for one in calling_order(line, RATES, NOW, 60)]
    assert names == [P.NORMAL, P.HIGH, P.LOW]
    assert [one.priority for one in calling_order(line, RATES, NOW, 1)] == [P.NORMAL, P.LOW, P.HIGH]


def test_the_order_is_that_of_the_calls() -> None:
    chance = random.Random(7)
    line = [someone(chance.choice(list(P)), chance.uniform(0, 200), n) for n in range(200)]
    order = calling_order(line, RATES, NOW, 90)
    moment = NOW
    for expected in order:
        assert pick(line, RATES, moment) == expected
        line.remove(expected)
        moment += datetime.timedelta(seconds=90)
    assert not line


def simulate(rates: Rates, seed: int) -> dict[Priority, list[float]]:
    """Waits in minutes at load .95: arrivals and services at random, one counter.

    At every call the one with the highest score goes first, whoever waits.
    """
    chance = random.Random(seed)
    shares = {P.URGENT: 0.02, P.HIGH: 0.15, P.NORMAL: 0.63, P.LOW: 0.2}
    arrivals, moment = [], 0.0
    for number in range(4000):
        moment += chance.expovariate(0.095)
        (kind,) = chance.choices(list(shares), list(shares.values()))
        start = NOW + datetime.timedelta(minutes=moment)
        arrivals.append(Waiting(str(number), kind, start, number))
    waits: dict[Priority, list[float]] = defaultdict(list)
    lines: dict[Priority, list[Waiting]] = defaultdict(list)
    now = NOW
    while arrivals or any(lines.values()):
        if not any(lines.values()):
            now = max(now, arrivals[0].queue_time)
        while arrivals and arrivals[0].queue_time <= now:
            lines[arrivals[0].priority].append(arrivals.pop(0))
        heads = [line[0] for line in lines.values() if line]
        chosen = pick(heads, rates, now)
        assert chosen is not None
        lines[chosen.priority].remove(chosen)
        waits[chosen.priority].append((now - chosen.queue_time).total_seconds() / 60)
        now += datetime.timedelta(minutes=chance.expovariate(0.1))
    return waits


def test_nobody_starves() -> None:
    waits = simulate(RATES, seed=3)
    assert statistics.mean(waits[P.URGENT]) < 15
    means = [statistics.mean(waits[kind]) for kind in (P.HIGH, P.NORMAL, P.LOW)]
    assert means == sorted(means)
    # Whoever comes after 3/4 of a LOW's wait cannot overtake it: its wait is bounded by the load,
    # never many times that of the classes above it.
    assert max(waits[P.LOW]) < 4.5 * max(waits[P.HIGH])
    strict = simulate(Rates(high=1e6, normal=1e3, low=1), seed=3)
    assert max(strict[P.LOW]) > 1.3 * max(waits[P.LOW])
