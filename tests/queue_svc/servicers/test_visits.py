"""A visit of several services: who sees it, its history, and how it is told to others."""

from __future__ import annotations

import datetime
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fhir.resources.R4B.encounter import Encounter
from mediq.policy.v1.policy_pb2 import Role
from mediq.queue.v1 import ticket_service_pb2 as requests
from mediq.queue.v1.event_pb2 import TicketEventType

from tests.queue_svc.conftest import (
    CALLED,
    DONE,
    MORNING,
    NORMAL,
    SERVING,
    TRANSFERRED,
    URGENT,
    WAITING,
    World,
    uid,
    world_of,
)
from tests.queue_svc.visits import history, journey, served, transfer
from tests.support.backends.databases import migrated_sqlite
from tests.support.mesh import Mesh, problem


class TestVisit:
    async def test_the_patient_sees_both_tickets(self, world: World) -> None:
        patient = uid()
        ticket = await served(world, patient)
        made = await transfer(world, ticket)
        for metadata in (world.patient(patient), world.session(patient)):
            visit = await journey(world, ticket.id, metadata)
            assert [one.number for one in visit.tickets] == ["A-001", "B-001"]
            assert (visit.id, visit.patient_id) == (ticket.id, patient)
            mine = await world.stub.ListMyTickets(
                requests.ListMyTicketsRequest(), metadata=metadata
            )
            assert [one.id for one in mine.tickets] == [made.id]
            for one in (ticket, made):
                request = requests.GetTicketRequest(id=one.id)
                assert (await world.stub.GetTicket(request, metadata=metadata)).id == one.id

    async def test_a_visit_does_not_exist_for_others(self, world: World) -> None:
        ticket = await served(world)
        await transfer(world, ticket)
        strangers = [
            world.patient(uid()),
            world.session(uid()),
            world.operator_of(world.facilities.open()),
            world.mesh.token(Role.ROLE_OPERATOR),
        ]
        for metadata in strangers:
            call = journey(world, ticket.id, metadata)
            assert await problem(call) == ("NOT_FOUND", "JOURNEY_NOT_FOUND")
        call = journey(world, uid(), world.operator)
        assert await problem(call) == ("NOT_FOUND", "JOURNEY_NOT_FOUND")
        network = world.mesh.token(Role.ROLE_ADMIN_FASKES)
        assert len((await journey(world, ticket.id, network)).tickets) == 2

    async def test_the_visit_in_the_words_of_bpjs_and_satusehat(self, world: World) -> None:
        ticket = await served(world)
        world.clock.forward(minutes=6)
        made = await transfer(world, ticket)
        visit = await journey(world, ticket.id, world.operator)
        assert [task.task_id for task in visit.bpjs_tasks] == [3, 4, 5]
        assert [one.status for one in visit.status_history] == ["arrived", "in-progress"]
        assert not visit.status_history[-1].HasField("end_time")
        world.clock.forward(minutes=3)
        await world.call(made, 1)
        await world.move(made, SERVING)
        world.clock.forward(minutes=4)
        await world.move(made, DONE)
        visit = await journey(world, ticket.id, world.operator)
        start = MORNING.timestamp()
        assert [(one.task_id, one.occur_time.seconds - start) for one in visit.bpjs_tasks] == [
            (3, 0),
            (4, 6 * 60),
            (5, 12 * 60),
            (6, 15 * 60),
            (7, 19 * 60),
        ]
        assert [one.status for one in visit.status_history] == [
            *("arrived", "in-progress", "finished")
        ]
        for before, after in zip(visit.status_history, visit.status_history[1:], strict=False):
            assert before.end_time == after.start_time
        assert visit.arrive_time.ToDatetime(datetime.UTC) == MORNING


class TestHistory:
    async def test_who_did_what_where_when_and_why(self, world: World) -> None:
        operator, patient = uid(), uid()
        world.operator = world.mesh.token(
            Role.ROLE_OPERATOR, subject=operator, institution_id=world.place.facility
        )
        ticket = await world.stub.CreateTicket(
            requests.CreateTicketRequest(
                institution_id=world.place.facility, service_id=world.place.service
            ),
            metadata=world.patient(patient),
        )
        world.clock.forward(minutes=2)
        await world.stub.SetTicketPriority(
            requests.SetTicketPriorityRequest(id=ticket.id, priority=URGENT, reason="sesak napas"),
            metadata=world.operator,
        )
        world.clock.forward(minutes=3)
        await world.call(ticket, counter=1)
        await world.move(ticket, SERVING)
        world.clock.forward(minutes=5)
        await transfer(world, ticket, reason="ambil obat")
        changes = await history(world, ticket)
        kinds = TicketEventType
        assert [
            (one.version, one.type, one.status, one.priority, one.counter_name, one.reason)
            for one in changes
        ] == [
            (1, kinds.TICKET_EVENT_TYPE_ISSUED, WAITING, NORMAL, "", ""),
            (2, kinds.TICKET_EVENT_TYPE_UPDATED, WAITING, URGENT, "", "sesak napas"),
            (3, kinds.TICKET_EVENT_TYPE_CALLED, CALLED, URGENT, "Loket 2", ""),
            (4, kinds.TICKET_EVENT_TYPE_STARTED, SERVING, URGENT, "Loket 2", ""),
            (5, kinds.TICKET_EVENT_TYPE_TRANSFERRED, TRANSFERRED, URGENT, "Loket 2", "ambil obat"),
        ]
        assert [one.actor for one in changes] == [patient, *[operator] * 4]
        assert {one.time_zone for one in changes} == {"Asia/Jakarta"}
        start = MORNING.timestamp()
        assert [one.occur_time.seconds - start for one in changes] == [0, 120, 300, 300, 600]

    async def test_the_new_ticket_says_why_it_was_made(self, world: World) -> None:
        made = await transfer(world, await served(world), reason="ambil obat")
        (issued,) = await history(world, made)
        assert (issued.version, issued.reason) == (1, "ambil obat")
        assert issued.type == TicketEventType.TICKET_EVENT_TYPE_ISSUED

    async def test_the_saga_is_named_as_a_service(self, world: World) -> None:
        ticket = await world.internal.IssueTicket(
            requests.IssueTicketRequest(
                request_id=uid(),
                institution_id=world.place.facility,
                service_id=world.place.service,
                patient_id=uid(),
            )
        )
        assert [one.actor for one in await history(world, ticket)] == ["service"]

    async def test_only_staff_of_the_facility_read_it(self, world: World) -> None:
        patient = uid()
        ticket = await world.take(patient=patient)
        request = requests.GetTicketHistoryRequest(id=ticket.id)
        other = world.operator_of(world.facilities.open())
        call = world.stub.GetTicketHistory(request, metadata=other)
        assert await problem(call) == ("NOT_FOUND", "TICKET_NOT_FOUND")
        call = world.stub.GetTicketHistory(request, metadata=world.patient(patient))
        assert await problem(call) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")


class TestExport:
    @pytest.fixture
    async def exporting(self, mesh: Mesh, tmp_path: Path) -> AsyncIterator[World]:
        """A service that is set to give visits out."""
        url = migrated_sqlite("queue_svc", tmp_path / "export.db")
        async with world_of(mesh, url, fhir_export=True) as made:
            yield made

    async def test_it_is_off_unless_it_is_set(self, world: World) -> None:
        ticket = await served(world)
        call = world.stub.ExportEncounter(
            requests.ExportEncounterRequest(id=ticket.id), metadata=world.operator
        )
        assert await problem(call) == ("UNIMPLEMENTED", "EXPORT_OFF")

    async def test_a_visit_is_a_valid_encounter(self, exporting: World) -> None:
        world, patient = exporting, uid()
        ticket = await served(world, patient)
        world.clock.forward(minutes=6)
        made = await transfer(world, ticket)
        await world.call(made, 1)
        await world.move(made, SERVING)
        world.clock.forward(minutes=2)
        await world.move(made, DONE)
        body = await world.stub.ExportEncounter(
            requests.ExportEncounterRequest(id=ticket.id), metadata=world.operator
        )
        assert body.content_type == "application/fhir+json"
        document = json.loads(body.data)
        Encounter.model_validate(document)
        assert document["status"] == "finished"
        assert document["subject"]["identifier"]["value"] == patient
        assert [one["status"] for one in document["statusHistory"]] == [
            *("arrived", "in-progress", "finished")
        ]
        assert document["period"]["start"] == "2026-03-02T02:00:00+00:00"
        assert [one["location"]["display"] for one in document["location"]] == [
            *("Poli Umum", "Apotek")
        ]

    async def test_a_visit_of_another_facility_is_not_given_out(self, exporting: World) -> None:
        ticket = await served(exporting)
        request = requests.ExportEncounterRequest(id=ticket.id)
        other = exporting.operator_of(exporting.facilities.open())
        call = exporting.stub.ExportEncounter(request, metadata=other)
        assert await problem(call) == ("NOT_FOUND", "JOURNEY_NOT_FOUND")
        patient = exporting.patient(ticket.patient_id)
        call = exporting.stub.ExportEncounter(request, metadata=patient)
        assert await problem(call) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
