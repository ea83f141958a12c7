"""The tickets of one person: all of them in the copy, none of them after the erasure."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest
from google.protobuf.message import Message
from mediq.queue.v1 import report_service_pb2 as report_requests
from mediq.queue.v1 import ticket_service_pb2 as ticket_requests
from mediq.queue.v1.queue_pb2 import PriorityGround, Ticket

from mesh.idempotency import key_of
from queue_svc.application.ticket_reads import owner_key
from queue_svc.persistence.models import ChangeRow, TicketRow
from queue_svc.persistence.patient_tickets import PatientTickets
from tests.queue_svc.conftest import CALLED, CANCELLED, DONE, MORNING, SERVING, URGENT, World, uid
from tests.queue_svc.visits import history, journey, served, transfer
from tests.support.backends.databases import dump
from tests.support.mesh import problem

NO_GROUND = PriorityGround.PRIORITY_GROUND_UNSPECIFIED
REASON = "sesak napas"
"""What `World.take` says of an urgent ticket."""
TOLD: dict[type[Any], dict[str, str]] = {
    TicketRow: {
        "id": "id",
        "queue_id": "institution_id",
        "sequence": "number",
        "number": "number",
        "patient_id": "patient_id",
        "open_patient_id": "patient_id",
        "priority": "priority",
        "ground": "priority_ground",
        "status": "status",
        "version": "version",
        "calls": "calls",
        "queue_time": "create_time",
        "create_time": "create_time",
        "update_time": "changes.occur_time",
        "call_time": "call_time",
        "serve_time": "serve_time",
        "close_time": "close_time",
        "counter_id": "counter_name",
        "counter_name": "counter_name",
        "wait_ms": "call_time",
        "service_ms": "close_time",
        "predicted_ms": "",
        "predicted_high_ms": "",
        "journey_id": "journey_id",
        "arrive_time": "arrive_time",
        "previous_id": "previous_ticket_id",
        "next_id": "next_ticket_id",
    },
    ChangeRow: {
        "ticket_id": "id",
        "version": "changes.version",
        "queue_id": "institution_id",
        "revision": "",
        "act": "changes.type",
        "status": "changes.status",
        "priority": "changes.priority",
        "waiting": "",
        "time": "changes.occur_time",
        "actor": "changes.actor",
        "counter_id": "changes.counter_name",
        "counter_name": "changes.counter_name",
        "reason": "changes.reason",
    },
}
"""Where the copy tells a column. Empty: it tells of the queue, not of the person."""


async def listed(world: World, patient: str, size: int = 0) -> list[ticket_requests.PatientTicket]:
    """All tickets of a patient, page by page."""
    found: list[ticket_requests.PatientTicket] = []
    token = ""
    while True:
        page = await world.internal.ListPatientTickets(
            ticket_requests.ListPatientTicketsRequest(
                patient_id=patient, page_size=size, page_token=token
            )
        )
        found.extend(page.tickets)
        token = page.next_page_token
        if not token:
            return found


async def erase(world: World, patient: str, request_id: str = "") -> int:
    request = ticket_requests.ErasePatientTicketsRequest(
        request_id=request_id or uid(), patient_id=patient
    )
    return (await world.internal.ErasePatientTickets(request)).tickets


def kept(world: World) -> dict[str, list[dict[str, Any]]]:
    """Every row but those of the outboxes, which go when the bus or the trail has them."""
    tables = dump(world.settings.database_url)
    return {name: rows for name, rows in tables.items() if name not in ("outbox", "audit_outbox")}


async def test_an_identifier_in_capitals_is_the_same_person(world: World) -> None:
    patient = uid()
    ticket = await world.take(patient=patient.upper())
    assert ticket.patient_id == patient
    assert [one.ticket.id for one in await listed(world, patient.upper())] == [ticket.id]
    again = world.take(patient=patient)
    assert (await problem(again))[1] == "ACTIVE_TICKET_EXISTS"
    await world.move(ticket, CANCELLED, "pulang")
    assert await erase(world, patient.upper()) == 1
    assert await listed(world, patient) == []


async def visit(world: World, patient: str) -> Ticket:
    """An urgent visit of two services that is over; the first ticket."""
    ticket = await world.take(URGENT, patient=patient)
    world.clock.forward(minutes=5)
    await world.call(ticket)
    await world.move(ticket, SERVING)
    world.clock.forward(minutes=5)
    made = await transfer(world, ticket, reason="hamil 7 bulan")
    await world.call(made, 1)
    await world.move(made, SERVING)
    await world.move(made, DONE)
    return ticket


class TestCopy:
    async def test_all_tickets_newest_first(self, world: World) -> None:
        patient = uid()
        first = await visit(world, patient)
        await served(world, uid())
        world.clock.forward(days=1)
        cancelled = await world.take(patient=patient)
        await world.move(cancelled, CANCELLED, "pulang")
        world.clock.forward(minutes=1)
        waiting = await world.take(patient=patient)
        for size in (0, 1, 3):
            found = await listed(world, patient, size)
            assert [one.ticket.id for one in found[:2]] == [waiting.id, cancelled.id]
            assert found[3].ticket.id == first.id
            assert found[3].ticket.next_ticket_id == found[2].ticket.id
            assert len(found) == 4
        assert {one.ticket.patient_id for one in found} == {patient}
        assert found[0].ticket.HasField("estimated_wait")
        assert [one.reason for one in found[1].changes] == ["", "pulang"]
        assert found[3].changes[0].reason == REASON
        for one in found:
            assert list(one.changes) == await history(world, one.ticket)
            assert one.ticket == await world.get(one.ticket)

    async def test_nobody_and_a_bad_token(self, world: World) -> None:
        assert await listed(world, uid()) == []
        for token in ("x", "bm90IGEgdGltZQpi"):
            call = world.internal.ListPatientTickets(
                ticket_requests.ListPatientTicketsRequest(patient_id=uid(), page_token=token)
            )
            assert await problem(call) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")

    async def test_only_ocr_svc_asks(self, world: World) -> None:
        calls: list[Any] = [
            world.stub.ListPatientTickets(
                ticket_requests.ListPatientTicketsRequest(patient_id=uid())
            ),
            world.stub.ErasePatientTickets(
                ticket_requests.ErasePatientTicketsRequest(request_id=uid(), patient_id=uid())
            ),
        ]
        for call in calls:
            assert (await problem(call))[0] == "PERMISSION_DENIED"

    @pytest.mark.parametrize("model", TOLD)
    def test_every_column_is_told_or_tells_nothing_of_the_person(self, model: type[Any]) -> None:
        assert set(TOLD[model]) == {column.name for column in model.__table__.columns}
        for told in filter(None, TOLD[model].values()):
            place: type[Message] = ticket_requests.TicketChange if "." in told else Ticket
            assert told.rpartition(".")[2] in place.DESCRIPTOR.fields_by_name


class TestErasure:
    async def test_nothing_of_the_person_is_left(self, world: World) -> None:
        patient = uid()
        tickets = [await visit(world, patient)]
        world.clock.forward(days=1)
        own = await world.stub.CreateTicket(
            ticket_requests.CreateTicketRequest(
                request_id=uid(),
                institution_id=world.place.facility,
                service_id=world.place.service,
            ),
            metadata=world.patient(patient),
        )
        await world.stub.CancelTicket(
            ticket_requests.CancelTicketRequest(request_id=uid(), id=own.id, reason="hamil"),
            metadata=world.patient(patient),
        )
        other = await visit(world, uid())
        tickets.append(own)
        position = ticket_requests.GetTicketPositionRequest(id=own.id)
        await world.stub.GetTicketPosition(position, metadata=world.operator)
        before, reports = kept(world), await numbers(world)
        assert await erase(world, patient) == 3
        after = kept(world)
        assert patient not in repr(dump(world.settings.database_url))
        assert reports == await numbers(world)
        assert await world.dependencies.tickets._cache.get(owner_key(own.id)) is None
        names = [(await world.get(one)).patient_id for one in tickets]
        assert len({patient, *names}) == 3
        both = (await journey(world, tickets[0].id, world.operator)).tickets
        assert {one.patient_id for one in both} == {names[0]}
        changes = await history(world, own)
        assert [(one.actor, one.reason) for one in changes] == [(names[1], "")] * 2
        for ticket in both:
            for change in await history(world, ticket):
                assert (change.reason, change.actor != names[0]) == ("", True)
        assert (await history(world, other))[0].reason == REASON
        unchanged(before, after)
        for metadata in (world.patient(patient), world.session(patient)):
            calls: list[Any] = [
                world.stub.GetTicket(
                    ticket_requests.GetTicketRequest(id=own.id), metadata=metadata
                ),
                world.stub.GetTicketPosition(position, metadata=metadata),
            ]
            for call in calls:
                assert await problem(call) == ("NOT_FOUND", "TICKET_NOT_FOUND")
        assert await listed(world, patient) == []

    async def test_no_ground_of_a_class_is_left(self, world: World) -> None:
        """It tells of an illness or a pregnancy; the priority itself stays, statistics need it."""
        patient, other = uid(), uid()
        made = {}
        for person in (patient, other):
            ticket = await world.stub.CreateTicket(
                ticket_requests.CreateTicketRequest(
                    request_id=uid(),
                    institution_id=world.place.facility,
                    service_id=world.place.service,
                    patient_id=person,
                    priority_grounds=[PriorityGround.PRIORITY_GROUND_PREGNANT],
                ),
                metadata=world.operator,
            )
            await world.call(ticket)
            await world.move(ticket, SERVING)
            made[person] = [ticket, await transfer(world, ticket)]
            await world.move(made[person][1], CANCELLED, "pulang")
        urgent = await visit(world, patient)
        reports = await numbers(world)
        assert await erase(world, patient) == 4
        found = [await world.get(one) for one in (*made[patient], urgent)]
        assert {one.priority_ground for one in found} == {NO_GROUND}
        assert [one.priority for one in found] == [made[patient][0].priority] * 2 + [URGENT]
        stays = [(await world.get(one)).priority_ground for one in made[other]]
        assert stays == [PriorityGround.PRIORITY_GROUND_PREGNANT] * 2
        assert await numbers(world) == reports

    async def test_an_open_ticket_stops_it(self, world: World) -> None:
        patient = uid()
        await visit(world, patient)
        world.clock.forward(days=1)
        waiting = await world.take(patient=patient)
        key = uid()
        for status in (None, CALLED, SERVING):
            if status == CALLED:
                await world.call(waiting)
            elif status is not None:
                await world.move(waiting, status)
            before = kept(world)
            assert await problem(erase(world, patient, key)) == (
                "FAILED_PRECONDITION",
                "OPEN_TICKETS",
            )
            assert kept(world) == before
        await world.move(waiting, DONE)
        assert await erase(world, patient, key) == 3

    async def test_repeated_it_has_one_effect(self, world: World) -> None:
        patient, key = uid(), uid()
        ticket = await visit(world, patient)
        assert await asyncio.gather(*(erase(world, patient, key) for _ in range(5))) == [2] * 5
        name = (await world.get(ticket)).patient_id
        assert await erase(world, patient, key) == 2
        assert await erase(world, patient) == 0
        assert (await world.get(ticket)).patient_id == name
        assert await problem(erase(world, uid(), key)) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")

    async def test_it_is_all_or_nothing(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        patient, key = uid(), uid()
        await visit(world, patient)
        before = kept(world)

        def broken(self: PatientTickets, scopes: Collection[str]) -> None:
            raise RuntimeError("the power is gone")

        with monkeypatch.context() as patch:
            patch.setattr(PatientTickets, "_forget_answers", broken)
            assert (await problem(erase(world, patient, key)))[0] == "INTERNAL"
        assert kept(world) == before
        assert await erase(world, patient, key) == 2

    async def test_the_person_may_come_again(self, world: World) -> None:
        patient = uid()
        old = await visit(world, patient)
        await erase(world, patient)
        new = await world.take(patient=uid())
        assert new.number == "A-002"
        assert (await world.get(old)).status != new.status

    async def test_more_tickets_than_one_statement_takes(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("queue_svc.persistence.patient_tickets.CHUNK", 2)
        patient = uid()
        for _ in range(3):
            await visit(world, patient)
            world.clock.forward(days=1)
        assert await erase(world, patient) == 6
        reasons = [row["reason"] for row in dump(world.settings.database_url)["ticket_changes"]]
        assert set(reasons) == {None}


def unchanged(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Whatever tells of no person is as it was."""
    assert before.keys() == after.keys()
    own = {
        key_of(request, "")[0]
        for request in (
            ticket_requests.CreateTicketRequest(),
            ticket_requests.CancelTicketRequest(),
        )
    }
    for table in before.keys() - {"tickets", "ticket_changes", "idempotency"}:
        assert before[table] == after[table]
    kept = [row for row in after["idempotency"] if "ErasePatientTickets" not in row["scope"]]
    gone = [row for row in before["idempotency"] if row not in kept]
    assert {row["scope"].rpartition("/")[0] + "/" for row in gone} == own
    for table, personal in (
        ("tickets", {"patient_id", "ground"}),
        ("ticket_changes", {"actor", "reason"}),
    ):
        for old, new in zip(before[table], after[table], strict=True):
            assert old.keys() == new.keys()
            assert {key for key in old if old[key] != new[key]} <= personal


async def numbers(world: World) -> report_requests.DailyStats:
    """What is counted of the facility's first day."""
    return await world.stub.GetDailyStats(
        report_requests.GetDailyStatsRequest(
            institution_id=world.place.facility, day=MORNING.date().isoformat()
        ),
        metadata=world.operator,
    )
