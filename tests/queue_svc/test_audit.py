"""What the queue writes down for the audit trail."""

import asyncio

from mediq.audit.v1.audit_pb2 import AuditEvent
from mediq.policy.v1.policy_pb2 import Role
from mediq.queue.v1 import live_service_pb2 as live_requests
from mediq.queue.v1 import report_service_pb2 as report_requests
from mediq.queue.v1 import ticket_service_pb2 as ticket_requests

from tests.queue_svc.conftest import DONE, SERVING, World, uid
from tests.support.audit import ACCESS, CHANGE, REFUSED
from tests.support.mesh import problem
from tests.support.waiting import PATIENCE_SECONDS


def about(event: AuditEvent) -> tuple[list[str], list[str], str]:
    """Persons, objects and facility."""
    return list(event.person_ids), sorted(event.object_ids), event.institution_id


async def test_a_new_ticket_is_a_change_of_its_patient(world: World) -> None:
    ticket = await world.take()
    (event,) = await world.audit.of("CreateTicket")
    assert event.act == CHANGE
    assert about(event) == ([ticket.patient_id], [ticket.id], world.place.facility)
    assert event.actor.role == Role.ROLE_OPERATOR


async def test_a_ticket_of_a_registration_names_the_service(world: World) -> None:
    request = ticket_requests.IssueTicketRequest(
        request_id=uid(),
        institution_id=world.place.facility,
        service_id=world.place.service,
        patient_id=uid(),
    )
    for _ in range(2):
        await world.internal.IssueTicket(request)
    (event,) = await world.audit.of("IssueTicket")
    assert (event.actor.id, event.actor.peer) == ("", "ocr_svc")
    assert list(event.person_ids) == [request.patient_id]


async def test_reasons_are_kept(world: World) -> None:
    ticket = await world.take()
    await world.stub.CancelTicket(
        ticket_requests.CancelTicketRequest(id=ticket.id, reason="pulang"), metadata=world.operator
    )
    (event,) = await world.audit.of("CancelTicket")
    assert event.reason == "pulang"


async def test_ending_the_one_before_names_both_patients(world: World) -> None:
    first, second = await world.take(), await world.take()
    await world.next()
    await world.move(first, SERVING)
    await world.stub.CallNextTicket(
        ticket_requests.CallNextTicketRequest(
            institution_id=world.place.facility,
            service_id=world.place.service,
            counter_id=world.place.counters[0],
            finish_current=True,
        ),
        metadata=world.operator,
    )
    _, event = await world.audit.of("CallNextTicket", 2)
    assert set(event.person_ids) == {first.patient_id, second.patient_id}
    assert set(event.object_ids) == {first.id, second.id}
    assert (await world.get(first)).status == DONE


async def test_what_was_refused_by_the_rules_is_no_change(world: World) -> None:
    ticket = await world.take()
    assert (await problem(world.move(ticket, DONE)))[1] == "TRANSITION_NOT_ALLOWED"
    await world.call(ticket)
    await world.move(ticket, SERVING)
    events = await world.audit.of("UpdateTicketStatus")
    assert len(events) == 1


async def test_who_looks_is_written_down(world: World) -> None:
    ticket = await world.take()
    own = world.session(ticket.patient_id)
    await world.stub.GetTicket(ticket_requests.GetTicketRequest(id=ticket.id), metadata=own)
    for _ in range(3):
        await world.stub.GetTicketPosition(
            ticket_requests.GetTicketPositionRequest(id=ticket.id), metadata=own
        )
    await world.stub.GetTicketHistory(
        ticket_requests.GetTicketHistoryRequest(id=ticket.id), metadata=world.operator
    )
    await world.upcoming()
    for method in ("GetTicket", "GetTicketPosition", "GetTicketHistory", "ListUpcomingTickets"):
        (event,) = await world.audit.of(method)
        assert (event.act, list(event.person_ids)) == (ACCESS, [ticket.patient_id]), method


async def test_a_stream_of_a_ticket_is_an_access(world: World) -> None:
    ticket = await world.take()
    stream = world.stub.WatchTicket(
        live_requests.WatchTicketRequest(id=ticket.id), metadata=world.session(ticket.patient_id)
    )
    async for update in stream:
        assert update.ticket.id == ticket.id
        break
    stream.cancel()
    (event,) = await world.audit.of("WatchTicket")
    assert list(event.person_ids) == [ticket.patient_id]


async def test_the_end_of_a_stream_shows_nobody(world: World) -> None:
    ticket = await world.take()
    own = world.session(ticket.patient_id)
    stream = world.stub.WatchTicket(live_requests.WatchTicketRequest(id=ticket.id), metadata=own)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await anext(aiter(stream))).ticket.id == ticket.id
        await world.stub.CancelTicket(
            ticket_requests.CancelTicketRequest(id=ticket.id, reason="pulang"),
            metadata=world.operator,
        )
        assert [one.end.reason async for one in stream][-1] == "CLOSED"
    await world.stub.GetTicket(ticket_requests.GetTicketRequest(id=ticket.id), metadata=own)
    await world.audit.of("GetTicket")
    (event,) = await world.audit.of("WatchTicket")
    assert list(event.person_ids) == [ticket.patient_id]


async def test_staff_of_another_facility_are_written_down(world: World) -> None:
    stranger = world.operator_of(world.facilities.open())
    request = ticket_requests.ListTicketsRequest(institution_id=world.place.facility)
    call = world.stub.ListTickets(request, metadata=stranger)
    assert (await problem(call))[1] == "OTHER_INSTITUTION"
    (event,) = await world.audit.of("ListTickets")
    assert (event.act, event.refusal) == (REFUSED, "OTHER_INSTITUTION")


async def test_many_changes_at_once_are_all_there(world: World) -> None:
    tickets = await asyncio.gather(*(world.take() for _ in range(40)))
    events = await world.audit.of("CreateTicket", 40)
    assert sorted(one.object_ids[0] for one in events) == sorted(one.id for one in tickets)
    assert len({one.id for one in events}) == 40


async def test_boards_and_numbers_tell_of_nobody(world: World) -> None:
    await world.take()
    await world.stub.GetBoard(live_requests.GetBoardRequest(institution_id=world.place.facility))
    await world.stub.GetQueueStats(
        report_requests.GetQueueStatsRequest(institution_id=world.place.facility),
        metadata=world.operator,
    )
    await world.audit.of("CreateTicket")
    assert {one.method for one in world.audit.events} == {"CreateTicket"}
