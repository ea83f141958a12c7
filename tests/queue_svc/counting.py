"""Random days of tickets, and their numbers counted again."""

from __future__ import annotations

import datetime
from collections import Counter as Bag
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from queue_svc.domain.quantiles import bucket_of
from queue_svc.domain.states import FINAL, SERVED, Priority, Status, targets
from queue_svc.domain.tickets import Change, Counter, Prediction, Queue, Ticket, changed
from tests.queue_svc.samples import QUEUE, a_ticket

S = Status
MORNING = datetime.datetime(2026, 3, 2, 1, 30, tzinfo=datetime.UTC)
"""08:30 in Jakarta, so that half an hour later it is another hour."""
COUNTERS = [Counter(f"c{number}", f"Loket {number}") for number in (1, 2, 3)]
Key = tuple[int, Priority, str]
"""Hour, priority and counter."""
Numbers = dict[Key, dict[str, int]]
"""Counts that are not 0, with the number of measured times by kind and bucket."""


@dataclass(frozen=True)
class Step:
    """One change that a test makes."""

    before: Ticket | None
    after: Ticket


def new_ticket(
    identifier: str = "t",
    queue: Queue = QUEUE,
    created: datetime.datetime = MORNING,
    priority: Priority = Priority.NORMAL,
    prediction: Prediction | None = None,
) -> Ticket:
    return replace(
        a_ticket(),
        id=identifier,
        queue=queue,
        priority=priority,
        create_time=created,
        queue_time=created,
        update_time=created,
        prediction=prediction,
    )


def change(
    ticket: Ticket, minutes: float, status: Status, counter: Counter = COUNTERS[0]
) -> Ticket:
    """The ticket after a change, so many minutes after the one before."""
    time = ticket.update_time + datetime.timedelta(minutes=minutes)
    return changed(ticket, Change(status, time, "a", counter))


def reclassed(ticket: Ticket, priority: Priority) -> Ticket:
    return changed(ticket, Change(S.WAITING, ticket.update_time, "a", priority=priority))


@st.composite
def walks(draw: st.DrawFn, queue: Queue = QUEUE) -> list[Step]:
    """Changes of some tickets of a queue as rules allow them, in one order."""
    predictions = st.none() | st.builds(
        Prediction, st.integers(0, 5_400_000), st.integers(0, 5_400_000)
    )
    tickets = [
        new_ticket(
            f"t{number}",
            queue,
            MORNING + datetime.timedelta(minutes=draw(st.integers(0, 90))),
            draw(st.sampled_from(Priority)),
            draw(predictions),
        )
        for number in range(draw(st.integers(1, 4)))
    ]
    steps = [Step(None, ticket) for ticket in tickets]
    for _ in range(draw(st.integers(0, 25))):
        index = draw(st.integers(0, len(tickets) - 1))
        before = tickets[index]
        if not before.open:
            continue
        seconds = draw(st.integers(0, 4000))
        moves = sorted(targets(before.status))
        if before.status is S.WAITING and draw(st.booleans()):
            after = reclassed(before, draw(st.sampled_from(Priority)))
        else:
            # A counter that holds a ticket keeps it: no other one may act.
            counter = before.counter or draw(st.sampled_from(COUNTERS))
            after = change(before, seconds / 60, draw(st.sampled_from(moves)), counter)
        steps.append(Step(before, after))
        tickets[index] = after
    return steps


def recounted(steps: list[Step]) -> Numbers:
    """The numbers as they follow from how the tickets are in the end, and were issued."""
    found: dict[Key, Bag[str]] = {}
    issued = {step.after.id: step.after for step in steps if step.before is None}
    final = {step.after.id: step.after for step in steps}
    for identifier, ticket in final.items():
        zone = ZoneInfo(ticket.queue.service.time_zone)
        first = issued[identifier]
        place = first.create_time.astimezone(zone).hour, first.priority, ""
        found.setdefault(place, Bag())["issued"] += 1
        counter = ticket.counter.id if ticket.counter else ""
        if ticket.wait_ms is not None:
            wait = datetime.timedelta(milliseconds=ticket.wait_ms)
            place = (ticket.create_time + wait).astimezone(zone).hour, ticket.priority, counter
            bag = found.setdefault(place, Bag())
            bag["called"] += 1
            bag["wait_ms"] += ticket.wait_ms
            bag["within_standard"] += wait <= datetime.timedelta(hours=1)
            bag[f"WAIT {bucket_of(ticket.wait_ms)}"] += 1
            if ticket.prediction is not None:
                predicted = datetime.timedelta(milliseconds=ticket.prediction.wait_ms)
                error = abs(predicted - wait)
                bag["compared"] += 1
                bag["within_ten_minutes"] += error <= datetime.timedelta(minutes=10)
                bag["under_upper_bound"] += ticket.wait_ms <= ticket.prediction.high_ms
                bag[f"ERROR {bucket_of(error // datetime.timedelta(milliseconds=1))}"] += 1
        if ticket.status in FINAL:
            assert ticket.close_time is not None
            place = ticket.close_time.astimezone(zone).hour, ticket.priority, counter
            bag = found.setdefault(place, Bag())
            bag[ticket.status.name.lower()] += 1
            if ticket.status in SERVED:
                assert ticket.service_ms is not None
                bag["service_ms"] += ticket.service_ms
                bag[f"SERVICE {bucket_of(ticket.service_ms)}"] += 1
    return without_zeros(found)


def without_zeros(found: dict[Key, Bag[str]]) -> Numbers:
    kept = {
        key: {name: count for name, count in bag.items() if count} for key, bag in found.items()
    }
    return {key: bag for key, bag in kept.items() if bag}
