"""Sending a patient on, the visit that this makes, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import grpc
import pytest
from mediq.queue.v1 import live_service_pb2 as live_requests
from mediq.queue.v1 import ticket_service_pb2 as ticket_requests
from mediq.queue.v1.queue_pb2 import PriorityGround, Ticket, TicketStatus

from mesh.contract.status import from_rpc_error
from mesh.errors import MeshError
from tests.queue_svc.conftest import (
    CALLED,
    CANCELLED,
    DONE,
    HIGH,
    NO_SHOW,
    SERVING,
    SKIPPED,
    TRANSFERRED,
    URGENT,
    WAITING,
    Place,
    World,
    uid,
)
from tests.queue_svc.visits import history, journey, served, transfer
from tests.support.mesh import problem
from tests.support.waiting import PATIENCE_SECONDS


async def refusal(call: Awaitable[object]) -> MeshError:
    """What a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


class TestTransfer:
    async def test_a_new_ticket_of_the_same_visit_waits_there(self, world: World) -> None:
        patient = uid()
        ticket = await served(world, patient)
        world.clock.forward(minutes=6)
        made = await transfer(world, ticket)
        left = await world.get(ticket)
        assert (made.number, made.status, made.version) == ("B-001", WAITING, 1)
        assert (made.service_id, made.service_name) == (world.place.pharmacy, "Apotek")
        assert (made.patient_id, made.institution_id) == (patient, world.place.facility)
        assert (made.previous_ticket_id, made.next_ticket_id) == (ticket.id, "")
        assert (left.status, left.next_ticket_id) == (TRANSFERRED, made.id)
        assert (left.previous_ticket_id, left.counter_name) == ("", "Loket 1")
        assert made.journey_id == left.journey_id == ticket.id
        assert made.arrive_time == ticket.create_time == left.arrive_time
        assert made.create_time.seconds - ticket.create_time.seconds == 12 * 60
        assert left.close_time == made.create_time
        assert made == await world.get(made)

    async def test_the_answer_tells_the_wait_there(self, world: World) -> None:
        pharmacy = Place(world.place.facility, world.place.pharmacy, world.place.counters, "")
        for _ in range(2):
            await world.take(place=pharmacy)
        made = await transfer(world, await served(world))
        # Two services of 5 minutes, and the half of one that is under way.
        assert (made.number, made.people_ahead, made.estimated_wait.seconds) == ("B-003", 2, 750)
        low, high = made.estimated_wait_low.seconds, made.estimated_wait_high.seconds
        assert low <= 750 <= high
        assert (low % 300, high % 300) == (0, 0)

    async def test_class_and_ground_go_with_the_patient(self, world: World) -> None:
        ticket = await world.stub.CreateTicket(
            ticket_requests.CreateTicketRequest(
                institution_id=world.place.facility,
                service_id=world.place.service,
                patient_id=uid(),
                priority_grounds=[PriorityGround.PRIORITY_GROUND_PREGNANT],
            ),
            metadata=world.operator,
        )
        urgent = await world.take(URGENT)
        found = []
        for counter, one in enumerate((ticket, urgent)):
            await world.call(one, counter)
            await world.move(one, SERVING)
            made = await transfer(world, one)
            found.append((made.priority, made.priority_ground))
        assert found == [
            (HIGH, PriorityGround.PRIORITY_GROUND_PREGNANT),
            (URGENT, PriorityGround.PRIORITY_GROUND_STAFF),
        ]

    async def test_a_visit_goes_on_through_several_services(self, world: World) -> None:
        laboratory = world.facilities.add(world.place.facility, "Laboratorium", "L")
        first = await served(world)
        ticket, chain = first, [first.id]
        for service in (laboratory, world.place.service, world.place.pharmacy):
            world.clock.forward(minutes=2)
            ticket = await transfer(world, ticket, service)
            chain.append(ticket.id)
            assert ticket.journey_id == first.id
            assert ticket.arrive_time == first.create_time
            await world.call(ticket)
            await world.move(ticket, SERVING)
        visit = await journey(world, first.id, world.operator)
        assert [one.id for one in visit.tickets] == chain
        assert [one.previous_ticket_id for one in visit.tickets] == ["", *chain[:-1]]
        assert [one.next_ticket_id for one in visit.tickets] == [*chain[1:], ""]

    @pytest.mark.parametrize(
        ("steps", "allowed"),
        [
            ([], "CALLED,CANCELLED"),
            ([CALLED], "WAITING,CALLED,SERVING,SKIPPED,NO_SHOW,CANCELLED"),
            ([CALLED, SKIPPED], "WAITING,NO_SHOW,CANCELLED"),
            ([CALLED, SERVING, DONE], ""),
            ([CALLED, NO_SHOW], ""),
            ([CANCELLED], ""),
        ],
    )
    async def test_only_who_is_being_served_is_sent_on(
        self, world: World, steps: list[TicketStatus.ValueType], allowed: str
    ) -> None:
        ticket = await world.take()
        state = "WAITING"
        for step in steps:
            await (world.call(ticket) if step == CALLED else world.move(ticket, step))
            state = TicketStatus.Name(step).removeprefix("TICKET_STATUS_")
        before = await world.get(ticket)
        error = await refusal(transfer(world, ticket))
        assert (error.kind.value, error.reason) == (
            "FAILED_PRECONDITION",
            "TRANSITION_NOT_ALLOWED",
        )
        assert error.metadata == {"from": state, "allowed": allowed}
        assert await world.get(ticket) == before

    async def test_a_patient_is_sent_on_once(self, world: World) -> None:
        ticket = await served(world)
        await transfer(world, ticket)
        error = await refusal(transfer(world, ticket))
        assert (error.reason, error.metadata["from"]) == ("TRANSITION_NOT_ALLOWED", "TRANSFERRED")

    async def test_nobody_is_sent_to_where_they_are(self, world: World) -> None:
        ticket = await served(world)
        call = transfer(world, ticket, world.place.service)
        assert await problem(call) == ("INVALID_ARGUMENT", "SAME_SERVICE")
        assert await world.get(ticket) == ticket

    async def test_nobody_is_sent_to_a_service_that_the_facility_does_not_have(
        self, world: World
    ) -> None:
        ticket = await served(world)
        for service in (uid(), world.facilities.open().pharmacy):
            assert (await problem(transfer(world, ticket, service)))[0] == "NOT_FOUND"
        assert await world.get(ticket) == ticket

    async def test_who_waits_there_already_stays_here(self, world: World) -> None:
        patient = uid()
        pharmacy = Place(world.place.facility, world.place.pharmacy, world.place.counters, "")
        there = await world.take(patient=patient, place=pharmacy)
        ticket = await served(world, patient)
        board = live_requests.GetBoardRequest(institution_id=world.place.facility)
        before = await world.stub.GetBoard(board)
        call = transfer(world, ticket)
        assert await problem(call) == ("ALREADY_EXISTS", "ACTIVE_TICKET_EXISTS")
        after = await world.stub.GetBoard(board)
        assert after.services == before.services
        assert await world.get(ticket) == ticket
        assert [one.version for one in await history(world, ticket)] == [1, 2, 3]
        # No number is lost either.
        await world.move(there, CANCELLED)
        assert (await transfer(world, ticket)).number == "B-002"

    async def test_a_repeated_request_gives_the_same_ticket(self, world: World) -> None:
        ticket, key = await served(world), uid()
        made = await transfer(world, ticket, request_id=key)
        world.clock.forward(minutes=1)
        assert await transfer(world, ticket, request_id=key) == made
        other = transfer(world, ticket, reason="lain", request_id=key)
        assert await problem(other) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
        visit = await journey(world, ticket.id, world.operator)
        assert len(visit.tickets) == 2

    async def test_the_same_request_twenty_times_at_once(self, world: World) -> None:
        ticket, key = await served(world), uid()
        made = await asyncio.gather(*(transfer(world, ticket, request_id=key) for _ in range(20)))
        assert {one.id for one in made} == {made[0].id}
        assert len((await journey(world, ticket.id, world.operator)).tickets) == 2

    async def test_transfers_that_cross_do_not_wait_for_each_other(self, world: World) -> None:
        pharmacy = Place(world.place.facility, world.place.pharmacy, world.place.counters, "")
        here = [await world.take() for _ in range(6)]
        there = [await world.take(place=pharmacy) for _ in range(6)]
        for counter, one in enumerate((*here, *there)):
            await world.call(one, counter % 8)
            await world.move(one, SERVING)
        async with asyncio.timeout(PATIENCE_SECONDS):
            made = await asyncio.gather(
                *(
                    transfer(world, one, service)
                    for pair in zip(here, there, strict=True)
                    for one, service in zip(
                        pair, (world.place.pharmacy, world.place.service), strict=True
                    )
                )
            )
        assert sorted(one.number for one in made) == [
            *(f"A-{number:03d}" for number in range(7, 13)),
            *(f"B-{number:03d}" for number in range(7, 13)),
        ]
        for old in (*here, *there):
            assert (await world.get(old)).status == TRANSFERRED

    async def test_the_same_patient_is_sent_on_from_two_counters_at_once(
        self, world: World
    ) -> None:
        ticket = await served(world)
        found = await asyncio.gather(
            *(transfer(world, ticket, request_id=uid()) for _ in range(4)),
            return_exceptions=True,
        )
        made = [one for one in found if isinstance(one, Ticket)]
        refused = [
            from_rpc_error(one).reason for one in found if isinstance(one, grpc.aio.AioRpcError)
        ]
        assert (len(made), refused) == (1, ["TRANSITION_NOT_ALLOWED"] * 3)

    async def test_strangers_and_patients_send_nobody_on(self, world: World) -> None:
        patient = uid()
        ticket = await served(world, patient)
        request = ticket_requests.TransferTicketRequest(
            id=ticket.id, service_id=world.place.pharmacy
        )
        other = world.operator_of(world.facilities.open())
        call = world.stub.TransferTicket(request, metadata=other)
        assert await problem(call) == ("NOT_FOUND", "TICKET_NOT_FOUND")
        call = world.stub.TransferTicket(request, metadata=world.patient(patient))
        assert await problem(call) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
