"""What must hold in the database of the queue service at any time, counted again from its rows."""

from __future__ import annotations

import datetime
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, Row, Select, select
from sqlalchemy.engine import Connection

from queue_svc.persistence.models import ChangeRow, QueueRow, RollupRow, RollupSampleRow, TicketRow

WAITING, CALLED, SERVING, DONE, SKIPPED, NO_SHOW, CANCELLED, TRANSFERRED = range(1, 9)
ACTS = {
    (None, WAITING): 1,
    (WAITING, CALLED): 2,
    (WAITING, WAITING): 3,
    (WAITING, CANCELLED): 4,
    (CALLED, CANCELLED): 4,
    (SKIPPED, CANCELLED): 4,
    (CALLED, CALLED): 5,
    (CALLED, SERVING): 6,
    (SERVING, DONE): 7,
    (CALLED, SKIPPED): 8,
    (SKIPPED, WAITING): 9,
    (CALLED, NO_SHOW): 10,
    (SKIPPED, NO_SHOW): 10,
    (CALLED, WAITING): 11,
    (SERVING, WAITING): 11,
    (SERVING, TRANSFERRED): 12,
}
"""Every change that exists, from state to state, and its number among the events."""
CLOSED = {DONE: "done", NO_SHOW: "no_show", CANCELLED: "cancelled", TRANSFERRED: "transferred"}
COUNTS = (
    *("issued", "called", "done", "no_show", "cancelled", "transferred", "within_standard"),
    *("wait_ms", "service_ms", "compared", "within_ten_minutes", "under_upper_bound"),
)
WAIT, SERVICE, ERROR = 1, 2, 3
Rows = Sequence[Row[Any]]
Numbers = dict[tuple[int, int, str], dict[str | tuple[int, int], int]]
"""By hour, priority and counter: counts, and how many times of a kind are in a bucket; no zeros."""


@dataclass
class Book:
    """One queue with all that belongs to it."""

    queue: Row[Any]
    tickets: Rows
    """By sequence."""
    changes: Rows
    """By revision."""
    rollups: Rows
    samples: Rows

    @property
    def key(self) -> tuple[str, str]:
        """Service and day."""
        return self.queue.service_id, self.queue.day


def books(engine: Engine, institution_id: str | None = None) -> list[Book]:
    """The queues of a facility, or of all, as they are committed."""
    queue, ticket, change = QueueRow.__table__, TicketRow.__table__, ChangeRow.__table__
    chosen = select(queue).order_by(queue.c.id)
    if institution_id is not None:
        chosen = chosen.where(queue.c.institution_id == institution_id)
    with engine.connect() as connection:
        queues = connection.execute(chosen).all()
        ids = [row.id for row in queues]
        tickets = _by_queue(
            connection, ids, select(ticket).order_by(ticket.c.sequence), ticket.c.queue_id
        )
        changes = _by_queue(
            connection, ids, select(change).order_by(change.c.revision), change.c.queue_id
        )
        numbers = [
            _by_queue(connection, ids, select(table), table.c.queue_id)
            for table in (RollupRow.__table__, RollupSampleRow.__table__)
        ]
    return [
        Book(row, tickets[row.id], changes[row.id], numbers[0][row.id], numbers[1][row.id])
        for row in queues
    ]


def _by_queue(
    connection: Connection, ids: Collection[int], query: Select[Any], column: Any
) -> dict[int, list[Row[Any]]]:
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(query.where(column.in_(ids))):
        found[row.queue_id].append(row)
    return found


def check(book: Book) -> None:
    """Fails when something of a queue does not fit together."""
    check_numbers(book)
    check_history(book)
    for ticket in book.tickets:
        changes = [one for one in book.changes if one.ticket_id == ticket.id]
        check_ticket(ticket, sorted(changes, key=lambda one: one.version))
    assert summed(book) == recounted(book)


def check_numbers(book: Book) -> None:
    """Numbers have no gap, and nobody is twice in the queue."""
    queue = book.queue
    assert [one.sequence for one in book.tickets] == list(range(1, queue.last_number + 1))
    assert [one.number for one in book.tickets] == [
        f"{queue.prefix}-{sequence:03d}" for sequence in range(1, queue.last_number + 1)
    ]
    held = [one.patient_id for one in book.tickets if one.status not in CLOSED]
    assert len(held) == len(set(held))
    for one in book.tickets:
        assert one.open_patient_id == (None if one.status in CLOSED else one.patient_id)


def check_history(book: Book) -> None:
    """Revisions have no gap, times never go back, and each entry says how many wait."""
    queue = book.queue
    assert [one.revision for one in book.changes] == list(range(1, queue.revision + 1))
    times = [one.time for one in book.changes]
    assert times == sorted(times)
    assert not times or times[-1] <= queue.last_change_time
    waits: dict[str, bool] = {}
    for one in book.changes:
        waits[one.ticket_id] = one.status == WAITING
        assert one.waiting == sum(waits.values())
    assert set(waits) == {one.id for one in book.tickets}
    assert queue.waiting == sum(one.status == WAITING for one in book.tickets)


def check_ticket(ticket: Row[Any], changes: Rows) -> None:
    """A ticket is what its changes made of it, and each of them exists in the rules."""
    assert [one.version for one in changes] == list(range(1, ticket.version + 1))
    before = None
    for one in changes:
        status = None if before is None else before.status
        assert ACTS[status, one.status] == one.act
        assert one.actor
        if status == one.status == CALLED and before is not None:
            assert one.counter_id == before.counter_id
        assert (one.counter_id is not None) or one.status not in (CALLED, SERVING)
        before = one
    assert [one.revision for one in changes] == sorted(one.revision for one in changes)
    last = changes[-1]
    assert (last.status, last.priority) == (ticket.status, ticket.priority)
    assert last.time == ticket.update_time
    assert changes[0].time == ticket.create_time
    assert ticket.arrive_time <= ticket.create_time <= ticket.queue_time
    passed = [ticket.create_time, ticket.call_time, ticket.serve_time, ticket.close_time]
    known = [one for one in passed if one is not None]
    assert known == sorted(known)
    assert (ticket.close_time is not None) == (ticket.status in CLOSED)
    for duration in (ticket.wait_ms, ticket.service_ms, ticket.predicted_ms):
        assert duration is None or duration >= 0


def summed(book: Book) -> Numbers:
    """The numbers as they are kept."""
    found: dict[tuple[int, int, str], Counter[str | tuple[int, int]]] = defaultdict(Counter)
    for row in book.rollups:
        key = row.hour, row.priority, row.counter_id
        found[key].update({name: getattr(row, name) for name in COUNTS})
    for row in book.samples:
        # Not row.count, which is a method of tuples.
        values = row._mapping
        found[row.hour, row.priority, row.counter_id][row.sample, row.bucket] += values["count"]
    return _without_zeros(found)


def recounted(book: Book) -> Numbers:
    """The numbers as the tickets say that they must be."""
    zone = ZoneInfo(book.queue.time_zone)
    found: dict[tuple[int, int, str], Counter[str | tuple[int, int]]] = defaultdict(Counter)
    first = {one.ticket_id: one.priority for one in book.changes if one.version == 1}

    def part(
        moment: datetime.datetime, priority: int, counter: str
    ) -> Counter[str | tuple[int, int]]:
        return found[moment.astimezone(zone).hour, priority, counter]

    for one in book.tickets:
        part(one.create_time, first[one.id], "")["issued"] += 1
        counter = one.counter_id or ""
        if one.wait_ms is not None:
            moment = one.create_time + datetime.timedelta(milliseconds=one.wait_ms)
            called = part(moment, one.priority, counter)
            called["called"] += 1
            called["wait_ms"] += one.wait_ms
            called["within_standard"] += one.wait_ms <= book.queue.standard_minutes * 60_000
            called[WAIT, _bucket(one.wait_ms)] += 1
            if one.predicted_ms is not None:
                error = abs(one.wait_ms - one.predicted_ms)
                called["compared"] += 1
                called["within_ten_minutes"] += error <= 600_000
                called["under_upper_bound"] += one.wait_ms <= one.predicted_high_ms
                called[ERROR, _bucket(error)] += 1
        if one.status in CLOSED:
            end = part(one.close_time, one.priority, counter)
            end[CLOSED[one.status]] += 1
            if one.service_ms is not None:
                end["service_ms"] += one.service_ms
                end[SERVICE, _bucket(one.service_ms)] += 1
    return _without_zeros(found)


def _bucket(milliseconds: int) -> int:
    return 0 if milliseconds < 1 else 1 + math.ceil(math.log(milliseconds, 1.01 / 0.99))


def _without_zeros(
    found: dict[tuple[int, int, str], Counter[str | tuple[int, int]]],
) -> Numbers:
    kept = {
        key: {name: count for name, count in bag.items() if count} for key, bag in found.items()
    }
    return {key: bag for key, bag in kept.items() if bag}
