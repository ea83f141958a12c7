"""Queues of the first schema are brought up to date: histories, visits, numbers; and back."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from alembic import command
from mediq.queue.v1 import live_service_pb2 as live_requests
from mediq.queue.v1 import report_service_pb2 as report_requests
from mediq.queue.v1 import ticket_service_pb2 as ticket_requests
from sqlalchemy import Engine, inspect, text

from mesh.encryption.field_cipher import FieldCipher
from mesh.persistence.database import make_engine
from mesh.persistence.migrations import config_for, upgrade
from tests.queue_svc import ledger
from tests.queue_svc.conftest import DONE as TICKET_DONE
from tests.queue_svc.conftest import MORNING, Place, World, uid, world_of
from tests.queue_svc.conftest import SERVING as TICKET_SERVING
from tests.queue_svc.ledger import (
    CALLED,
    CANCELLED,
    DONE,
    NO_SHOW,
    SERVING,
    SKIPPED,
    WAITING,
)
from tests.support.backends.databases import on_empty
from tests.support.mesh import Mesh

pytestmark = on_empty
OLD = "94e5f4ad733a"
C, S = CALLED, SERVING
VISITS: list[tuple[int, list[tuple[int, int]]]] = [
    (2, []),
    (4, []),
    (2, [(C, 3)]),
    (3, [(C, 4), (C, 6), (C, 7)]),
    (1, [(C, 70), (S, 71)]),
    (2, [(C, 5), (S, 6), (DONE, 16)]),
    (2, [(C, 61), (S, 62), (DONE, 63)]),
    (3, [(C, 8), (SKIPPED, 9)]),
    (2, [(C, 9), (SKIPPED, 10), (NO_SHOW, 50)]),
    (2, [(C, 10), (NO_SHOW, 14)]),
    (1, [(CANCELLED, 30)]),
    (2, [(C, 11), (CANCELLED, 12)]),
    (2, [(C, 12), (SKIPPED, 13), (CANCELLED, 20)]),
    (2, [(C, 13), (WAITING, 14)]),
    (2, [(C, 14), (S, 15), (WAITING, 17), (C, 90), (S, 91), (DONE, 99)]),
    (3, [(C, 15), (SKIPPED, 16), (WAITING, 40)]),
    (3, [(C, 16), (SKIPPED, 17), (WAITING, 41), (C, 42), (S, 42), (DONE, 44)]),
]
"""Priority, and changes of state with their minute after nine o'clock; the issue is before."""


def stored(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


@dataclass
class Old:
    """Rows as the first version of the service wrote them."""

    place: Place
    cipher: FieldCipher
    tickets: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)

    def ticket(
        self, queue_id: int, sequence: int, priority: int, steps: list[tuple[int, int]]
    ) -> None:
        create = MORNING + datetime.timedelta(seconds=10 * sequence, microseconds=sequence)
        ticket: dict[str, Any] = {
            **{"id": uid(), "queue_id": queue_id, "sequence": sequence},
            **{"number": f"A-{sequence:03d}", "patient_id": uid(), "priority": priority},
            **{"status": WAITING, "version": 1, "calls": 0},
            **dict.fromkeys(("queue_time", "create_time", "update_time"), create),
            **dict.fromkeys(("call_time", "serve_time", "close_time"), None),
            **dict.fromkeys(("counter_id", "counter_name", "wait_ms", "service_ms"), None),
        }
        self.record(ticket, create)
        for status, minute in steps:
            self.step(ticket, status, MORNING + datetime.timedelta(minutes=minute))
        closed = ticket["status"] in ledger.CLOSED
        ticket["open_patient_id"] = None if closed else ticket["patient_id"]
        self.tickets.append(ticket)

    def step(self, ticket: dict[str, Any], status: int, time: datetime.datetime) -> None:
        before = ticket["status"]
        counter = {
            "counter_id": self.place.counters[ticket["sequence"] % 3],
            "counter_name": f"Loket {ticket['sequence'] % 3 + 1}",
        }
        ticket.update(status=status, version=ticket["version"] + 1, update_time=time)
        acting = ticket["counter_id"]
        if status == CALLED:
            ticket.update(counter, call_time=time, calls=ticket["calls"] + 1)
            acting = ticket["counter_id"]
            if ticket["wait_ms"] is None:
                ticket["wait_ms"] = milliseconds(ticket["create_time"], time)
        elif status == SERVING:
            ticket["serve_time"] = time
        elif status == WAITING:
            ticket.update(dict.fromkeys(("counter_id", "counter_name", "call_time"), None))
            ticket.update(serve_time=None, calls=0)
            if before == SKIPPED:
                ticket["queue_time"] += datetime.timedelta(microseconds=1)
            else:
                ticket["wait_ms"] = None
        elif status in ledger.CLOSED:
            ticket["close_time"] = time
            if status == DONE:
                ticket["service_ms"] = milliseconds(ticket["serve_time"], time)
        self.record(ticket, time, acting)

    def record(
        self, ticket: dict[str, Any], time: datetime.datetime, acting: str | None = None
    ) -> None:
        place = f"ticket_changes/{ticket['id']}/{ticket['version']}/reason"
        self.changes.append(
            {
                **{"ticket_id": ticket["id"], "version": ticket["version"]},
                **{"status": ticket["status"], "time": time, "actor": uid()},
                **{"counter_id": acting, "counter_name": "Loket" if acting else None},
                "reason": self.cipher.encrypt(b"alasan", place),
            }
        )

    def write(self, engine: Engine, days: list[str]) -> None:
        place = self.place
        for queue_id, day in enumerate(days, 1):
            mine = [one for one in self.tickets if one["queue_id"] == queue_id]
            called = [one for one in mine if one["call_time"] is not None]
            last = max(called, key=lambda one: one["call_time"], default=None)
            queue = {
                **{"id": queue_id, "institution_id": place.facility, "day": day},
                **{"service_id": place.service, "institution_name": "RSUD Contoh"},
                **{"service_name": "Poli Umum", "time_zone": "Asia/Jakarta", "prefix": "A"},
                **{"service_minutes": 10, "last_number": len(mine), "served": 3},
                "last_issue_time": max((one["create_time"] for one in mine), default=MORNING),
                "busy_ms": 400_000,
                "last_called_number": last["number"] if last else "",
                "last_call_time": last["call_time"] if last else None,
            }
            insert(engine, "queues", [queue])
        insert(engine, "tickets", self.tickets)
        insert(engine, "ticket_changes", self.changes)


def milliseconds(start: datetime.datetime, end: datetime.datetime) -> int:
    return round((end - start).total_seconds() * 1000)


def insert(engine: Engine, table: str, rows: list[dict[str, Any]]) -> None:
    columns = list(rows[0])
    plain = [
        {
            name: stored(value) if isinstance(value, datetime.datetime) else value
            for name, value in row.items()
        }
        for row in rows
    ]
    names, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), plain)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    upgrade("queue_svc", database_url, OLD)
    made = make_engine(database_url, 1)
    yield made
    made.dispose()


def old_rows(mesh: Mesh, engine: Engine, place: Place) -> Old:
    """A day with a ticket in every state and with every change, and one on which nobody came."""
    old = Old(place, FieldCipher.load(mesh.home / "keys", "queue_svc"))
    for sequence, (priority, steps) in enumerate(VISITS, 1):
        old.ticket(1, sequence, priority, steps)
    old.write(engine, ["2026-03-02", "2026-03-01"])
    return old


def a_place() -> Place:
    return Place(uid(), uid(), [uid() for _ in range(3)], uid())


def test_a_history_in_the_order_of_time(mesh: Mesh, engine: Engine, database_url: str) -> None:
    old = old_rows(mesh, engine, a_place())
    upgrade("queue_svc", database_url)
    book, empty = ledger.books(engine)
    ledger.check(book)
    ledger.check(empty)
    assert (empty.queue.revision, empty.queue.waiting, empty.tickets) == (0, 0, [])
    assert {one.status for one in book.tickets} == set(range(1, 8))
    assert {one.act for one in book.changes} == set(range(1, 12)) - {3}
    assert len(book.changes) == len(old.changes) == book.queue.revision
    assert book.queue.waiting == 4
    assert book.queue.last_change_time == max(one["time"] for one in old.changes)
    kept = {(one.ticket_id, one.version): (one.time, one.actor) for one in book.changes}
    assert kept == {
        (one["ticket_id"], one["version"]): (one["time"], one["actor"]) for one in old.changes
    }


def test_every_ticket_is_a_visit_of_its_own(mesh: Mesh, engine: Engine, database_url: str) -> None:
    old_rows(mesh, engine, a_place())
    upgrade("queue_svc", database_url)
    for one in ledger.books(engine)[0].tickets:
        assert (one.journey_id, one.arrive_time) == (one.id, one.create_time)
        assert (one.previous_id, one.next_id, one.predicted_ms, one.ground) == (None, None, None, 0)


def test_the_numbers_of_the_day(mesh: Mesh, engine: Engine, database_url: str) -> None:
    old_rows(mesh, engine, a_place())
    upgrade("queue_svc", database_url)
    book = ledger.books(engine)[0]
    assert ledger.summed(book) == ledger.recounted(book)
    totals = {
        name: sum(getattr(row, name) for row in book.rollups)
        for name in ("issued", "called", "done", "no_show", "cancelled", "transferred")
    }
    assert totals == {
        **{"issued": 17, "called": 13, "done": 4, "no_show": 2, "cancelled": 3},
        "transferred": 0,
    }
    assert {row.hour for row in book.rollups} == {9, 10}
    assert sum(row.within_standard for row in book.rollups) == 11


async def test_the_service_goes_on(mesh: Mesh, engine: Engine, database_url: str) -> None:
    async with world_of(mesh, database_url, migrate_at_start=True) as world:
        pass
    # A facility that the double knows, and rows of it in the old schema.
    command.downgrade(config_for("queue_svc", database_url), OLD)
    old = old_rows(mesh, engine, world.place)
    async with world_of(mesh, database_url, migrate_at_start=True) as again:
        again.facilities.facts.update(world.facilities.facts)
        again.facilities.services.update(world.facilities.services)
        again.place, again.operator = world.place, again.operator_of(world.place)
        again.clock.now = MORNING + datetime.timedelta(hours=2)
        await goes_on(again, old)
        for book in ledger.books(engine):
            ledger.check(book)


async def goes_on(world: World, old: Old) -> None:
    waiting = [one for one in old.tickets if one["status"] == WAITING]
    assert len(await world.upcoming()) == len(waiting) == 4
    assert (await world.take()).number == f"A-{len(VISITS) + 1:03d}"
    called = await world.next()
    assert called.id == old.tickets[1]["id"]
    await world.move(called, TICKET_SERVING)
    medicine = await world.stub.TransferTicket(
        ticket_requests.TransferTicketRequest(id=called.id, service_id=world.place.pharmacy),
        metadata=world.operator,
    )
    assert medicine.journey_id == called.id
    serving = next(one for one in old.tickets if one["status"] == SERVING)
    done = await world.stub.UpdateTicketStatus(
        ticket_requests.UpdateTicketStatusRequest(id=serving["id"], status=TICKET_DONE),
        metadata=world.operator,
    )
    assert done.version == serving["version"] + 1
    history = await world.stub.GetTicketHistory(
        ticket_requests.GetTicketHistoryRequest(id=serving["id"]), metadata=world.operator
    )
    assert [one.version for one in history.changes] == [1, 2, 3, 4]
    assert [one.reason for one in history.changes] == ["alasan"] * 3 + [""]
    board = await world.stub.GetBoard(
        live_requests.GetBoardRequest(institution_id=world.place.facility)
    )
    assert {one.service_id: one.waiting for one in board.services} == {
        world.place.service: 4,
        world.place.pharmacy: 1,
    }
    day = await world.stub.GetDailyStats(
        report_requests.GetDailyStatsRequest(institution_id=world.place.facility, day="2026-03-02"),
        metadata=world.operator,
    )
    assert (day.issued, day.done, day.transferred) == (len(VISITS) + 2, 5, 1)


def test_the_way_back(mesh: Mesh, engine: Engine, database_url: str) -> None:
    """What the first schema held is there again, unchanged."""
    old = old_rows(mesh, engine, a_place())
    before, shape = contents(engine), columns(engine)
    upgrade("queue_svc", database_url)
    assert columns(engine) != shape
    command.downgrade(config_for("queue_svc", database_url), OLD)
    assert columns(engine) == shape
    after = contents(engine)
    # The time of a queue's last issue has become that of its last change.
    moved = [dict(row, last_issue_time=None) for row in before["queues"]]
    assert [dict(row, last_issue_time=None) for row in after["queues"]] == moved
    assert after["tickets"] == before["tickets"]
    assert after["ticket_changes"] == before["ticket_changes"]
    upgrade("queue_svc", database_url)
    book = ledger.books(engine)[0]
    ledger.check(book)
    assert book.queue.revision == len(old.changes)


def contents(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    with engine.connect() as connection:
        return {
            table: sorted(
                (
                    dict(row)
                    for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()
                ),
                key=repr,
            )
            for table in ("queues", "tickets", "ticket_changes")
        }


def columns(engine: Engine) -> dict[str, set[tuple[str, str, bool]]]:
    found = inspect(engine)
    return {
        table: {
            (one["name"], str(one["type"]), bool(one["nullable"]))
            for one in found.get_columns(table)
        }
        for table in found.get_table_names()
    }
