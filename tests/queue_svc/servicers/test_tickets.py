"""Taking a ticket: numbers, priorities, one open ticket a patient."""

from __future__ import annotations

import asyncio
import datetime

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from mediq.queue.v1 import ticket_service_pb2 as requests
from mediq.queue.v1.queue_pb2 import Ticket
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from queue_svc.persistence.models import IDEMPOTENCY
from tests.queue_svc.conftest import (
    CANCELLED,
    HIGH,
    MORNING,
    NORMAL,
    URGENT,
    WAITING,
    World,
    uid,
)
from tests.support.mesh import problem
from tests.support.waiting import eventually


def own(world: World, **fields: object) -> requests.CreateTicketRequest:
    return requests.CreateTicketRequest(
        institution_id=world.place.facility,
        service_id=world.place.service,
        **fields,  # type: ignore[arg-type]
    )


def issue(world: World, patient: str, request_id: str) -> requests.IssueTicketRequest:
    return requests.IssueTicketRequest(
        request_id=request_id,
        institution_id=world.place.facility,
        service_id=world.place.service,
        patient_id=patient,
    )


async def test_a_patient_takes_a_ticket(world: World) -> None:
    patient = uid()
    ticket = await world.stub.CreateTicket(own(world), metadata=world.patient(patient))
    assert ticket.number == "A-001"
    assert ticket.patient_id == patient
    assert (ticket.institution_name, ticket.service_name) == ("RSUD Contoh", "Poli Umum")
    assert (ticket.priority, ticket.status, ticket.version) == (NORMAL, WAITING, 1)
    assert (ticket.service_day, ticket.time_zone) == ("2026-03-02", "Asia/Jakarta")
    assert ticket.create_time.ToDatetime(datetime.UTC) == MORNING
    assert (ticket.people_ahead, ticket.estimated_wait.seconds) == (0, 0)
    assert ticket.HasField("estimated_wait")
    assert ticket == await world.get(ticket)


async def test_identifiers_are_found_in_either_case(world: World) -> None:
    patient, request_id = uid(), uid()
    request = own(world, request_id=request_id)
    ticket = await world.stub.CreateTicket(request, metadata=world.patient(patient))
    found = await world.stub.GetTicket(
        requests.GetTicketRequest(id=ticket.id.upper()), metadata=world.patient(patient)
    )
    assert found.number == ticket.number
    again = requests.CreateTicketRequest(
        request_id=request_id.upper(),
        institution_id=request.institution_id.upper(),
        service_id=request.service_id.upper(),
    )
    repeated = await world.stub.CreateTicket(again, metadata=world.patient(patient))
    assert repeated.id == ticket.id


async def test_numbers_follow_each_other_in_each_place(world: World) -> None:
    other = world.facilities.open()
    here = [(await world.take()).number for _ in range(3)]
    there = [(await world.take(place=other)).number for _ in range(2)]
    assert here == ["A-001", "A-002", "A-003"]
    assert there == ["A-001", "A-002"]


@pytest.mark.parametrize(
    ("zone", "hour"), [("Asia/Jakarta", 17), ("Asia/Makassar", 16), ("Asia/Jayapura", 15)]
)
async def test_numbers_start_again_at_the_facilitys_midnight(
    world: World, zone: str, hour: int
) -> None:
    place = world.facilities.open(zone)
    world.clock.now = MORNING.replace(hour=hour) - datetime.timedelta(seconds=1)
    before = [await world.take(place=place) for _ in range(2)]
    world.clock.forward(seconds=1)
    after = await world.take(place=place)
    assert [one.service_day for one in (*before, after)] == [*["2026-03-02"] * 2, "2026-03-03"]
    assert [one.number for one in (*before, after)] == ["A-001", "A-002", "A-001"]


async def test_estimate_counts_who_goes_first(world: World) -> None:
    await world.take()
    await world.take()
    third = await world.take()
    # Two services of 10 minutes, and the half of one that is under way.
    assert (third.people_ahead, third.estimated_wait.seconds) == (2, 1500)
    assert (third.estimated_wait_low.seconds, third.estimated_wait_high.seconds) == (900, 2700)
    urgent = await world.take(URGENT)
    assert urgent.people_ahead == 0
    assert (await world.get(third)).people_ahead == 3


async def test_one_open_ticket_a_patient_service_and_day(world: World) -> None:
    patient = uid()
    first = await world.take(patient=patient)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.take(patient=patient)
    status = rpc_status.from_call(caught.value)
    assert status is not None
    resource = error_details_pb2.ResourceInfo()
    assert any(detail.Unpack(resource) for detail in status.details)
    assert (resource.resource_type, resource.resource_name) == ("ticket", first.id)
    assert await problem(world.take(patient=patient)) == ("ALREADY_EXISTS", "ACTIVE_TICKET_EXISTS")
    await world.move(first, CANCELLED)
    assert (await world.take(patient=patient)).number == "A-002"
    assert (await world.take(patient=patient, place=world.facilities.open())).number == "A-001"


async def test_a_repeated_issue_gives_the_same_ticket(world: World) -> None:
    patient, request_id = uid(), uid()
    first = await world.internal.IssueTicket(issue(world, patient, request_id))
    world.clock.forward(minutes=1)
    await world.take()
    assert await world.internal.IssueTicket(issue(world, patient, request_id)) == first
    again = world.internal.IssueTicket(issue(world, patient, uid()))
    assert await problem(again) == ("ALREADY_EXISTS", "ACTIVE_TICKET_EXISTS")
    reused = world.internal.IssueTicket(issue(world, uid(), request_id))
    assert await problem(reused) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def test_a_repeated_issue_needs_no_facility(world: World) -> None:
    patient, request_id = uid(), uid()
    first = await world.internal.IssueTicket(issue(world, patient, request_id))
    world.clock.forward(minutes=1)
    world.facilities.facts.clear()
    await world.server.stop()
    await world.start()
    assert await world.internal.IssueTicket(issue(world, patient, request_id)) == first
    fresh = world.internal.IssueTicket(issue(world, uid(), uid()))
    assert (await problem(fresh))[0] == "NOT_FOUND"


async def test_a_repeated_create_gives_the_same_ticket(world: World) -> None:
    metadata, request = world.patient(uid()), own(world, request_id=uid())
    first = await world.stub.CreateTicket(request, metadata=metadata)
    assert await world.stub.CreateTicket(request, metadata=metadata) == first
    # The key belongs to its caller: another patient may have chosen it too.
    other = await world.stub.CreateTicket(request, metadata=world.patient(uid()))
    assert other.number == "A-002"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"priority": HIGH}, ("PERMISSION_DENIED", "PRIORITY_STAFF_ONLY")),
        ({"priority": NORMAL}, ("PERMISSION_DENIED", "PRIORITY_STAFF_ONLY")),
        ({"priority_reason": "sakit"}, ("PERMISSION_DENIED", "PRIORITY_STAFF_ONLY")),
        ({"patient_id": uid()}, ("PERMISSION_DENIED", "OTHER_PATIENT")),
    ],
)
async def test_what_patients_may_not_set(
    world: World, fields: dict[str, object], expected: tuple[str, str]
) -> None:
    call = world.stub.CreateTicket(own(world, **fields), metadata=world.patient(uid()))
    assert await problem(call) == expected


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "PATIENT_REQUIRED"),
        ({"patient_id": uid(), "priority": URGENT}, "PRIORITY_REASON_REQUIRED"),
        (
            {"patient_id": uid(), "priority": URGENT, "priority_reason": " "},
            "PRIORITY_REASON_REQUIRED",
        ),
        ({"patient_id": "Budi"}, "INVALID_REQUEST"),
    ],
)
async def test_what_staff_must_say(world: World, fields: dict[str, object], reason: str) -> None:
    call = world.stub.CreateTicket(own(world, **fields), metadata=world.operator)
    assert await problem(call) == ("INVALID_ARGUMENT", reason)


async def test_a_ticket_of_a_service_that_does_not_exist(world: World) -> None:
    request = own(world)
    request.service_id = uid()
    call = world.stub.CreateTicket(request, metadata=world.patient(uid()))
    assert (await problem(call))[0] == "NOT_FOUND"


async def test_time_that_goes_back_does_not_mix_up_the_order(world: World) -> None:
    first = await world.take()
    world.clock.forward(minutes=-5)
    second: Ticket = await world.take()
    assert second.create_time == first.create_time
    assert await world.upcoming() == ["A-001", "A-002"]


async def test_old_answers_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise every request of all times would be kept."""
    monkeypatch.setattr("mesh.idempotency.FORGET_SECONDS", 0.05)
    key, patient = uid(), uid()
    await world.internal.IssueTicket(issue(world, patient, key))
    world.clock.forward(hours=25)

    def kept(session: Session) -> int:
        return session.execute(select(func.count()).select_from(IDEMPOTENCY)).scalar_one()

    work = asyncio.create_task(world.dependencies.patients._idempotency.keep_forgetting())

    async def happened() -> bool:
        return not await world.dependencies.tickets._units.read(kept)

    await eventually(happened)
    work.cancel()
