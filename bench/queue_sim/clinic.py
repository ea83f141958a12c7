"""A clinic in simpy: traffic of a day, counters that call with the production pick."""

import math
import random
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import simpy

from queue_svc.domain.order import Rates, Waiting, pick
from queue_svc.domain.states import Priority

Choose = Callable[[Iterable[Waiting], float], Waiting | None]
"""Who of the heads of the priorities is called at a moment: a discipline."""

SHARES = {Priority.URGENT: 0.05, Priority.HIGH: 0.15, Priority.NORMAL: 0.60, Priority.LOW: 0.20}
"""Priority mix: an assumption, with few URGENT and some elderly, pregnant or disabled as HIGH."""
HOURLY = (1.5, 1.6, 1.2, 0.8, 0.5, 0.4)
"""Arrivals by hour as a multiple of the mean: most come in the first three hours of the morning."""
NOT_SHOWN_SECONDS = 60.0
"""How long a counter waits for a patient who does not come."""


@dataclass(frozen=True)
class Clinic:
    """What a day is like."""

    counters: int = 3
    service_seconds: float = 300.0
    """Mean; lognormal."""
    spread: float = 0.5
    """Standard deviation of the logarithm of the service time."""
    load: float = 0.95
    """Work that comes as a share of what the counters can do while the clinic is open."""
    not_shown: float = 0.05
    """Share of the called who are not there."""

    @property
    def open_seconds(self) -> float:
        """From the first to the last moment at which patients arrive."""
        return 3600.0 * len(HOURLY)

    @property
    def patients(self) -> float:
        """Mean number a day."""
        busy = (1 - self.not_shown) * self.service_seconds + self.not_shown * NOT_SHOWN_SECONDS
        return self.load * self.counters * self.open_seconds / busy


class Patient(NamedTuple):
    """One who comes, with what chance decided beforehand, the same for each discipline."""

    waiting: Waiting
    busy_seconds: float
    """How long a counter is busy with this patient."""
    shows: bool


def day(clinic: Clinic, seed: int) -> list[Patient]:
    """Patients of a day from time 0 in order of arrival: a Poisson process of changing rate."""
    chance = random.Random(seed)  # noqa: S311 - repeatable
    mean_log = math.log(clinic.service_seconds) - clinic.spread**2 / 2
    kinds, weights = list(SHARES), list(SHARES.values())
    peak = max(HOURLY) * len(HOURLY) / sum(HOURLY) * clinic.patients / clinic.open_seconds
    patients: list[Patient] = []
    moment = 0.0
    while (moment := moment + chance.expovariate(peak)) < clinic.open_seconds:
        if chance.random() > HOURLY[int(moment // 3600)] / max(HOURLY):
            continue
        kind = chance.choices(kinds, weights)[0]
        busy, shows = chance.lognormvariate(mean_log, clinic.spread), True
        if chance.random() < clinic.not_shown:
            busy, shows = NOT_SHOWN_SECONDS, False
        number = len(patients) + 1
        patients.append(Patient(Waiting(moment, number, str(number), kind), busy, shows))
    return patients


def first_come(heads: Iterable[Waiting], now: float) -> Waiting | None:
    """The oldest of all."""
    return min(heads, default=None)


def by_rates(rates: Rates) -> Choose:
    """The production pick."""
    return lambda heads, now: pick(heads, rates, now)


STRICT = by_rates(Rates(high=1e12, normal=1e6, low=1.0))
"""A priority goes before all lower ones: rates so far apart that the time waited does not count."""


class Watcher:
    """Looks on; the base sees nothing."""

    def joined(self, patient: Patient, room: "Room") -> None:
        """A patient has taken a number and waits."""

    def called(self, patient: Patient, counter: int, now: float) -> None:
        """A counter has called a patient."""

    def finished(self, patient: Patient) -> None:
        """A counter is free again."""


@dataclass
class Room:
    """Who waits, and who was called when."""

    by_priority: dict[Priority, list[Waiting]] = field(
        default_factory=lambda: {kind: [] for kind in Priority}
    )
    calls: dict[str, float] = field(default_factory=dict)
    """Moment of the call by ticket, in the order of the calls."""
    person_seconds: float = 0.0
    """People who wait, summed over time."""
    changed: float = 0.0
    """When somebody joined or was called last."""

    @property
    def size(self) -> int:
        """How many wait."""
        return sum(map(len, self.by_priority.values()))

    def tick(self, now: float) -> None:
        """Counts the time since the last change."""
        self.person_seconds += self.size * (now - self.changed)
        self.changed = now


def simulate(
    patients: list[Patient], counters: int, choose: Choose, watcher: Watcher | None = None
) -> Room:
    """Serves everyone, as long as it takes.

    Args:
        patients: In order of arrival.
        counters: Counters, none of which is idle while somebody waits.
        choose: The discipline.
        watcher: Told of each event.
    """
    watcher = watcher or Watcher()
    world, room = simpy.Environment(), Room()
    by_id = {one.waiting.id: one for one in patients}
    idle: list[simpy.Event] = []

    def arrivals() -> Generator[Any, Any, None]:
        for one in patients:
            yield world.timeout(one.waiting.queue_time - world.now)
            room.tick(world.now)
            room.by_priority[one.waiting.priority].append(one.waiting)
            watcher.joined(one, room)
            if idle:
                idle.pop().succeed()

    def counter(number: int) -> Generator[Any, Any, None]:
        while True:
            heads = [members[0] for members in room.by_priority.values() if members]
            chosen = choose(heads, world.now)
            if chosen is None:
                idle.append(world.event())
                yield idle[-1]
                continue
            room.tick(world.now)
            room.by_priority[chosen.priority].pop(0)
            room.calls[chosen.id] = world.now
            patient = by_id[chosen.id]
            watcher.called(patient, number, world.now)
            yield world.timeout(patient.busy_seconds)
            watcher.finished(patient)

    world.process(arrivals())
    for number in range(counters):
        world.process(counter(number))
    world.run()
    return room
