"""What queueing theory says the simulator must show; each check can fail.

The queue is M/M/c: Poisson arrivals, exponential services, run for long at a constant load.
"""

import math
import random
import statistics
from collections.abc import Mapping

from bench.queue_sim.clinic import SHARES, Choose, Patient, by_rates, first_come, simulate
from bench.table import Row
from queue_svc.domain.order import Rates, Waiting
from queue_svc.domain.states import Priority

COUNTERS = 3
LOAD = 0.9
HEAVY_LOAD = 0.98
NO_URGENT = {Priority.HIGH: 0.25, Priority.NORMAL: 0.5, Priority.LOW: 0.25}


def erlang_wait(counters: int, load: float) -> float:
    """Mean wait of M/M/c in services (Erlang C).

    Args:
        counters: c.
        load: Share of the time that a counter is busy, below 1.
    """
    offered = counters * load
    full = offered**counters / math.factorial(counters) / (1 - load)
    some = sum(offered**busy / math.factorial(busy) for busy in range(counters))
    return full / (full + some) / counters / (1 - load)


def kleinrock_waits(mean: float, load: float, rates: Rates) -> dict[Priority, float]:
    """Mean waits of the priorities of `NO_URGENT` with accumulating priority (Kleinrock 1964).

    Args:
        mean: Mean wait of first come, first served.
        load: Share of the time that a counter is busy, below 1.
        rates: How fast priority accumulates.
    """
    waits: dict[Priority, float] = {}
    for kind in sorted(NO_URGENT):
        mine = rates.of(kind)
        lower = sum(
            load * NO_URGENT[other] * wait * (1 - rates.of(other) / mine)
            for other, wait in waits.items()
        )
        higher = sum(
            load * share * (1 - mine / rates.of(other))
            for other, share in NO_URGENT.items()
            if other > kind
        )
        waits[kind] = (mean - lower) / (1 - higher)
    return waits


def traffic(number: int, load: float, shares: Mapping[Priority, float], seed: int) -> list[Patient]:
    """Poisson arrivals for `COUNTERS` counters; exponential services with mean 1."""
    chance = random.Random(seed)  # noqa: S311 - repeatable
    kinds, weights = list(shares), list(shares.values())
    patients, moment = [], 0.0
    for sequence in range(number):
        moment += chance.expovariate(load * COUNTERS)
        kind = chance.choices(kinds, weights)[0]
        one = Waiting(moment, sequence, str(sequence), kind)
        patients.append(Patient(one, chance.expovariate(1.0), shows=True))
    return patients


def waits_of(patients: list[Patient], calls: Mapping[str, float]) -> dict[Priority, list[float]]:
    """Waits by priority, URGENT first."""
    waits: dict[Priority, list[float]] = {kind: [] for kind in sorted(Priority, reverse=True)}
    for one in patients:
        mine = one.waiting
        waits[mine.priority].append(calls[mine.id] - mine.queue_time)
    return waits


def check(number: int, seed: int) -> list[Row]:
    """Compares long runs with the theory.

    Args:
        number: Patients of each run.
        seed: Of the traffic.
    """
    return [*_first_come(number, seed), *_conservation(number, seed), *_kleinrock(number, seed)]


def _off(measured: float, expected: float) -> float:
    """Difference in percent."""
    return abs(measured / expected - 1) * 100


def _mean(patients: list[Patient], choose: Choose) -> float:
    calls = simulate(patients, COUNTERS, choose).calls
    return statistics.fmean(calls[one.waiting.id] - one.waiting.queue_time for one in patients)


def _first_come(number: int, seed: int) -> list[Row]:
    patients = traffic(number, LOAD, SHARES, seed)
    room = simulate(patients, COUNTERS, first_come)
    mean = statistics.fmean(room.calls[one.waiting.id] - one.waiting.queue_time for one in patients)
    expected = erlang_wait(COUNTERS, LOAD)
    note = f"{mean:.2f} against {expected:.2f} services"
    # The rate that was set, not the one that was drawn; the drawn one differs by chance.
    waiting, little = room.person_seconds / room.changed, LOAD * COUNTERS * mean
    people = f"{waiting:.2f} wait, rate x wait is {little:.2f}"
    return [
        Row("mean wait against Erlang C, load .9", _off(mean, expected), "%", 8, False, note),
        Row("Little's law", _off(waiting, little), "%", 2, False, people),
    ]


def _conservation(number: int, seed: int) -> list[Row]:
    # Services are as long in all priorities, so the sum of load x wait is the mean over everyone.
    patients = traffic(number, LOAD, SHARES, seed)
    base = _mean(patients, first_come)
    mine = _mean(patients, by_rates(Rates()))
    strict = _mean(patients, by_rates(Rates(high=1e12, normal=1e6, low=1.0)))
    worst = max(_off(mine, base), _off(strict, base))
    note = f"FIFO {base:.2f}, 4:2:1 {mine:.2f}, strict {strict:.2f} services"
    return [Row("conservation of load x wait across disciplines", worst, "%", 5, False, note)]


def _kleinrock(number: int, seed: int) -> list[Row]:
    rows = []
    for load in (LOAD, HEAVY_LOAD):
        patients = traffic(number, load, NO_URGENT, seed)
        every = waits_of(patients, simulate(patients, COUNTERS, by_rates(Rates())).calls)
        waits = {kind: statistics.fmean(every[kind]) for kind in NO_URGENT}
        # Measured against the mean of the run itself, which chance moves more than the shares.
        mean = sum(NO_URGENT[kind] * wait for kind, wait in waits.items())
        expected = kleinrock_waits(mean, load, Rates())
        worst = max(_off(wait, expected[kind]) for kind, wait in waits.items())
        shares = ", ".join(f"{kind.name} {wait / mean:.2f}" for kind, wait in waits.items())
        name = f"waits by priority against Kleinrock, load {load:g}"
        rows.append(Row(name, worst, "%", 5, False, f"of the mean: {shares}"))
    ratio = waits[Priority.LOW] / waits[Priority.HIGH]
    rows.append(Row(f"LOW / HIGH wait at load {HEAVY_LOAD:g}, towards 4", ratio, "x", 3.5))
    return rows
