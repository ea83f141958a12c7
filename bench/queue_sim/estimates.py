"""What patients are told at the moment they take a number, against what they then wait."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bench.queue_sim.clinic import Clinic, Patient, Room, Watcher
from queue_svc.domain.estimates import (
    Wait,
    WaitingList,
    arrival_rates,
    rolling_mean,
    service_seconds,
)
from queue_svc.domain.order import Rates
from queue_svc.domain.rules import Rules
from queue_svc.domain.states import Priority
from queue_svc.domain.tickets import Queue, Service

CONFIGURED_MINUTES = 6
"""Service time that the facility has set: a guess, 20 % above the truth."""
SERVICE = Service("", "", "UTC", "", "", "A", CONFIGURED_MINUTES)


class Told(NamedTuple):
    """What one patient could be told, in seconds."""

    id: str
    priority: Priority
    wait: Wait
    fixed: float
    """10 minutes x everyone who waits."""
    plain: float
    """Everyone who waits x service time / open counters, whatever their priority."""


@dataclass
class Teller(Watcher):
    """Keeps what the service knows, and asks the production `WaitingList` at each arrival."""

    clinic: Clinic
    rates: Rates
    told: list[Told] = field(default_factory=list)
    queue: Queue = field(default_factory=lambda: Queue(1, SERVICE, "", 0, 0, "", None))
    arrivals: dict[Priority, list[float]] = field(
        default_factory=lambda: {kind: [] for kind in Priority}
    )
    last_calls: dict[int, float] = field(default_factory=dict)
    """By counter."""

    def joined(self, patient: Patient, room: Room) -> None:
        mine = patient.waiting
        now = mine.queue_time
        self.arrivals[mine.priority].append(now)
        recently = now - Rules().counter_window.total_seconds()
        line = WaitingList(
            by_priority=room.by_priority,
            rates=self.rates,
            now=now,
            service_seconds=service_seconds(self.queue),
            counters=max(1, sum(call >= recently for call in self.last_calls.values())),
            arrival_rates=arrival_rates(
                self.arrivals, now, min(times[0] for times in self.arrivals.values() if times)
            ),
            open_seconds=self.clinic.open_seconds - now,
            last_called_number="",
        )
        wait = line.wait(mine.id)
        assert wait is not None
        others = room.size - 1
        plain = others * line.pace_seconds
        self.told.append(Told(mine.id, mine.priority, wait, 600.0 * others, plain))

    def called(self, patient: Patient, counter: int, now: float) -> None:
        self.last_calls[counter] = now

    def finished(self, patient: Patient) -> None:
        if patient.shows:
            served, busy_ms = self.queue.served, round(patient.busy_seconds * 1000)
            mean = rolling_mean(self.queue.busy_ms, served, busy_ms)
            self.queue = replace(self.queue, served=served + 1, busy_ms=mean)
