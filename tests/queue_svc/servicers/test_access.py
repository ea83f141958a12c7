"""Whose tickets a caller can reach: their own, or their facility's; the others do not exist."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from mediq.policy.v1.policy_pb2 import Role
from mediq.queue.v1 import live_service_pb2 as live_requests
from mediq.queue.v1 import report_service_pb2 as report_requests
from mediq.queue.v1 import ticket_service_pb2 as ticket_requests
from mediq.queue.v1.queue_pb2 import Ticket

from tests.queue_svc.conftest import SERVING, Metadata, Place, World, uid
from tests.support.backends.databases import migrated_sqlite
from tests.support.mesh import problem

Act = Callable[[World, Ticket, Metadata], Awaitable[object]]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: the matrix is long, and its queries are those of the other tests."""
    return migrated_sqlite("queue_svc", tmp_path / "queue.db")


async def first_update(world: World, ticket: Ticket, metadata: Metadata) -> object:
    request = live_requests.WatchTicketRequest(id=ticket.id)
    async for update in world.stub.WatchTicket(request, metadata=metadata):
        return update
    return None


READ: dict[str, Act] = {
    "GetTicket": lambda world, ticket, metadata: world.stub.GetTicket(
        ticket_requests.GetTicketRequest(id=ticket.id), metadata=metadata
    ),
    "GetTicketPosition": lambda world, ticket, metadata: world.stub.GetTicketPosition(
        ticket_requests.GetTicketPositionRequest(id=ticket.id), metadata=metadata
    ),
    "WatchTicket": first_update,
    "CancelTicket": lambda world, ticket, metadata: world.stub.CancelTicket(
        ticket_requests.CancelTicketRequest(id=ticket.id), metadata=metadata
    ),
}
STAFF: dict[str, Act] = {
    "CallTicket": lambda world, ticket, metadata: world.stub.CallTicket(
        ticket_requests.CallTicketRequest(id=ticket.id, counter_id=world.place.counters[0]),
        metadata=metadata,
    ),
    "UpdateTicketStatus": lambda world, ticket, metadata: world.stub.UpdateTicketStatus(
        ticket_requests.UpdateTicketStatusRequest(id=ticket.id, status=SERVING), metadata=metadata
    ),
}


def facility_requests(place: Place) -> dict[str, object]:
    facility, service = place.facility, place.service
    return {
        "ListTickets": ticket_requests.ListTicketsRequest(institution_id=place.facility),
        "GetQueueStats": report_requests.GetQueueStatsRequest(institution_id=place.facility),
        "GetDailyStats": report_requests.GetDailyStatsRequest(institution_id=place.facility),
        "GetWeeklyStats": report_requests.GetWeeklyStatsRequest(institution_id=place.facility),
        "ListCurrentTickets": ticket_requests.ListCurrentTicketsRequest(
            institution_id=place.facility
        ),
        "ListUpcomingTickets": ticket_requests.ListUpcomingTicketsRequest(
            institution_id=facility, service_id=service
        ),
        "PeekNextTicket": ticket_requests.PeekNextTicketRequest(
            institution_id=facility, service_id=service
        ),
        "CallNextTicket": ticket_requests.CallNextTicketRequest(
            institution_id=facility, service_id=service, counter_id=place.counters[0]
        ),
    }


@pytest.mark.parametrize("name", READ)
async def test_the_owner_and_the_facility_reach_a_ticket(world: World, name: str) -> None:
    patient = uid()
    network = world.mesh.token(Role.ROLE_ADMIN_FASKES)
    admin = world.mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=world.place.facility)
    callers = [world.patient(patient), world.session(patient), world.operator, admin, network]
    for metadata in callers:
        ticket = await world.take(patient=patient)
        await READ[name](world, ticket, metadata)
        if name != "CancelTicket":
            await READ["CancelTicket"](world, ticket, metadata)


@pytest.mark.parametrize("name", [*READ, *STAFF])
async def test_for_everyone_else_it_does_not_exist(world: World, name: str) -> None:
    ticket = await world.take()
    act = {**READ, **STAFF}[name]
    strangers = [
        world.operator_of(world.facilities.open()),
        world.mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=uid()),
        world.mesh.token(Role.ROLE_OPERATOR),
    ]
    if name in READ:
        strangers += [world.patient(uid()), world.session(uid())]
    for metadata in strangers:
        assert await problem(act(world, ticket, metadata)) == ("NOT_FOUND", "TICKET_NOT_FOUND")
    gone = Ticket(id=uid())
    assert await problem(act(world, gone, world.operator)) == ("NOT_FOUND", "TICKET_NOT_FOUND")


@pytest.mark.parametrize("name", STAFF)
async def test_patients_do_not_call(world: World, name: str) -> None:
    patient = uid()
    ticket = await world.take(patient=patient)
    for metadata in (world.patient(patient), world.session(patient)):
        call = STAFF[name](world, ticket, metadata)
        assert await problem(call) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")


async def test_staff_of_another_facility_see_no_queue(world: World) -> None:
    await world.take()
    stranger = world.operator_of(world.facilities.open())
    patient = world.patient(uid())
    for name, request in facility_requests(world.place).items():
        call = getattr(world.stub, name)
        refused = problem(call(request, metadata=stranger))
        assert await refused == ("PERMISSION_DENIED", "OTHER_INSTITUTION"), name
        refused = problem(call(request, metadata=patient))
        assert await refused == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED"), name
        assert await call(request, metadata=world.operator), name


async def test_my_tickets_are_mine(world: World) -> None:
    patient, other = uid(), uid()
    mine = await world.take(patient=patient)
    elsewhere = await world.take(patient=patient, place=world.facilities.open())
    await world.take(patient=other)
    request = ticket_requests.ListMyTicketsRequest()
    for metadata in (world.patient(patient), world.session(patient)):
        page = await world.stub.ListMyTickets(request, metadata=metadata)
        assert {one.id for one in page.tickets} == {mine.id, elsewhere.id}
    nobody = await world.stub.ListMyTickets(request, metadata=world.patient(uid()))
    assert not nobody.tickets
    world.clock.forward(days=1)
    assert not (await world.stub.ListMyTickets(request, metadata=world.patient(patient))).tickets


async def test_only_the_saga_issues(world: World) -> None:
    request = ticket_requests.IssueTicketRequest(
        request_id=uid(),
        institution_id=world.place.facility,
        service_id=world.place.service,
        patient_id=uid(),
    )
    call = world.stub.IssueTicket(request, metadata=world.operator)
    assert await problem(call) == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
