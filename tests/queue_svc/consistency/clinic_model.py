"""A clinic as the rules say it must be, kept apart from the service that it is compared with."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from tests.queue_svc.ledger import (
    ACTS,
    CALLED,
    DONE,
    SERVING,
    SKIPPED,
    TRANSFERRED,
    WAITING,
)

UTC_HOURS = 7
"""The facility is in Jakarta."""
CARRY_HOURS = 6
RECALLS = 3
PLACES_BACK = 3
URGENT = 4
RATES = {1: 1, 2: 2, 3: 4}
TICK = datetime.timedelta(microseconds=1)
Refused = tuple[str, str]
"""Code and reason of an error."""
NOT_ALLOWED = "FAILED_PRECONDITION", "TRANSITION_NOT_ALLOWED"
EMPTY = "NOT_FOUND", "QUEUE_EMPTY"
PRESENT = "ALREADY_EXISTS", "ACTIVE_TICKET_EXISTS"


@dataclass
class QueueDay:
    """The queue of one service and day."""

    last_change: datetime.datetime
    numbers: int = 0
    changes: int = 0


@dataclass
class Patient:
    """A ticket."""

    id: str
    patient: str
    service: int
    day: str
    sequence: int
    priority: int
    queue_time: datetime.datetime
    status: int = WAITING
    version: int = 1
    calls: int = 0
    counter: int | None = None

    @property
    def open(self) -> bool:
        return self.status in (WAITING, CALLED, SERVING, SKIPPED)


@dataclass
class Clinic:
    """All tickets of a facility, and what the rules say of the next request."""

    now: datetime.datetime
    tickets: list[Patient] = field(default_factory=list)
    queues: dict[tuple[int, str], QueueDay] = field(default_factory=dict)

    def day(self) -> str:
        return (self.now + datetime.timedelta(hours=UTC_HOURS)).date().isoformat()

    def days(self) -> list[str]:
        local = self.now + datetime.timedelta(hours=UTC_HOURS)
        before = (local.date() - datetime.timedelta(days=1)).isoformat()
        return [before, self.day()] if local.hour < CARRY_HOURS else [self.day()]

    def waiting(self, service: int) -> list[Patient]:
        """Who can be called."""
        return [
            one
            for one in self.tickets
            if one.service == service and one.day in self.days() and one.status == WAITING
        ]

    def those(self, status: int) -> list[Patient]:
        return [one for one in self.tickets if one.status == status]

    def present(self, service: int, patient: str) -> bool:
        return any(
            (one.service, one.day, one.patient) == (service, self.day(), patient) and one.open
            for one in self.tickets
        )

    def following(self, service: int, without: Sequence[str] = ()) -> list[str]:
        """Who may be called next: more than one only when their scores differ by microseconds."""
        waiting = [one for one in self.waiting(service) if one.id not in without]
        urgent = [one for one in waiting if one.priority == URGENT]
        if urgent:
            return [min(urgent, key=lambda one: (one.queue_time, one.sequence)).id]
        waiting.sort(key=lambda one: (-one.priority, one.queue_time, one.sequence))
        heads = [next(same) for _, same in groupby(waiting, key=lambda one: one.priority)]
        best = max((self._score(one) for one in heads), default=0)
        near = [one for one in heads if best - self._score(one) <= 8]
        exact = all(not one.queue_time.microsecond for one in near)
        return [one.id for one in (near[:1] if exact else near)]

    def order(self, service: int, count: int) -> set[str] | None:
        """Who is called by so many calls at one moment; None when microseconds decide."""
        found: list[str] = []
        while len(found) < count:
            following = self.following(service, found)
            if len(following) > 1:
                return None
            if not following:
                break
            found += following
        return set(found)

    def _score(self, one: Patient) -> int:
        waited = max(datetime.timedelta(0), self.now - one.queue_time)
        return RATES[one.priority] * (waited // TICK)

    def issued(
        self,
        identifier: str,
        patient: str,
        service: int,
        priority: int,
        after: Patient | None = None,
    ) -> Patient:
        """A new ticket; one that a transfer made is not older than what was done before."""
        queue = self._queue(service)
        queue.numbers += 1
        queue.changes += 1
        queue.last_change = max(queue.last_change, self.now)
        if after is not None:
            queue.last_change = max(
                queue.last_change, self.queues[after.service, after.day].last_change
            )
        made = Patient(
            identifier, patient, service, self.day(), queue.numbers, priority, queue.last_change
        )
        self.tickets.append(made)
        return made

    def _queue(self, service: int) -> QueueDay:
        return self.queues.setdefault((service, self.day()), QueueDay(self.now))

    def move_refused(self, one: Patient, status: int, reason: str) -> Refused | None:
        if status in (CALLED, TRANSFERRED) or one.status == status == WAITING:
            return NOT_ALLOWED
        if (one.status, status) not in ACTS:
            return NOT_ALLOWED
        if one.status in (CALLED, SERVING) and status == WAITING and not reason:
            return "INVALID_ARGUMENT", "REASON_REQUIRED"
        return None

    def call_refused(self, one: Patient, counter: int) -> Refused | None:
        if one.status == WAITING:
            return None
        if one.status != CALLED:
            return NOT_ALLOWED
        if one.counter != counter:
            return "FAILED_PRECONDITION", "CALLED_BY_OTHER_COUNTER"
        return ("FAILED_PRECONDITION", "RECALL_LIMIT") if one.calls > RECALLS else None

    def transfer_refused(self, one: Patient, service: int) -> Refused | None:
        if one.status != SERVING:
            return NOT_ALLOWED
        if one.service == service:
            return "INVALID_ARGUMENT", "SAME_SERVICE"
        return PRESENT if self.present(service, one.patient) else None

    def priority_refused(self, one: Patient, priority: int, reason: str) -> Refused | None:
        if one.status != WAITING:
            return "FAILED_PRECONDITION", "TICKET_NOT_WAITING"
        if priority == URGENT and not reason:
            return "INVALID_ARGUMENT", "PRIORITY_REASON_REQUIRED"
        return None

    def moved(self, one: Patient, status: int, counter: int | None = None) -> None:
        """Makes a change that is allowed."""
        if (one.status, status) == (SKIPPED, WAITING):
            same = sorted(
                other.queue_time
                for other in self.tickets
                if (other.service, other.day, other.priority, other.status)
                == (one.service, one.day, one.priority, WAITING)
            )
            last = same[min(PLACES_BACK, len(same)) - 1] if same else one.queue_time
            one.queue_time = max(one.queue_time, last) + TICK
        if status == CALLED:
            one.calls, one.counter = one.calls + 1, counter
        if status == WAITING:
            one.calls, one.counter = 0, None
        one.status = status
        self.touched(one)

    def touched(self, one: Patient) -> None:
        one.version += 1
        queue = self.queues[one.service, one.day]
        queue.changes += 1
        queue.last_change = max(queue.last_change, self.now)

    def finished(self, service: int, counter: int) -> None:
        """Ends what a counter serves."""
        for one in self.tickets:
            mine = one.service == service and one.day in self.days() and one.counter == counter
            if mine and one.status == SERVING:
                self.moved(one, DONE)
