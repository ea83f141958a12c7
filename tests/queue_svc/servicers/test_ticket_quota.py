"""A patient takes only so many tickets an hour, whichever way and whatever becomes of them."""

from collections.abc import Awaitable, Callable

import grpc
import pytest
from mediq.queue.v1 import ticket_service_pb2 as requests
from mediq.queue.v1.queue_pb2 import Ticket

from mesh.contract.status import MAX_RETRY_SECONDS, from_rpc_error
from mesh.errors import MeshError, StatusCode
from tests.queue_svc.conftest import World, uid

ALLOWED = 10
"""The default."""


async def take(world: World, patient: str) -> Ticket:
    """A ticket that a patient takes with an account of their own."""
    return await world.stub.CreateTicket(
        requests.CreateTicketRequest(
            request_id=uid(),
            institution_id=world.place.facility,
            service_id=world.place.service,
        ),
        metadata=world.patient(patient),
    )


async def register(world: World, patient: str) -> Ticket:
    """A ticket at the end of a registration."""
    return await world.internal.IssueTicket(
        requests.IssueTicketRequest(
            request_id=uid(),
            institution_id=world.place.facility,
            service_id=world.place.pharmacy,
            patient_id=patient,
        )
    )


async def cancel(world: World, ticket: Ticket) -> None:
    await world.stub.CancelTicket(
        requests.CancelTicketRequest(id=ticket.id), metadata=world.operator
    )


async def use_up(world: World, patient: str) -> None:
    """Takes all tickets but those of the last, a minute apart, and gives each back."""
    for number in range(ALLOWED):
        await cancel(world, await (take if number % 2 else register)(world, patient))
        world.clock.forward(minutes=1)


async def refusal(call: Awaitable[object]) -> MeshError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


@pytest.mark.parametrize("way", [take, register])
async def test_one_more_must_wait_until_the_first_is_an_hour_old(
    world: World, way: Callable[[World, str], Awaitable[Ticket]]
) -> None:
    patient = uid()
    await use_up(world, patient)
    error = await refusal(way(world, patient))
    assert (error.kind, error.reason) == (StatusCode.RESOURCE_EXHAUSTED, "TICKETS_LIMITED")
    assert error.retry_after_seconds == MAX_RETRY_SECONDS
    assert (await way(world, uid())).id, "others are not concerned"
    world.clock.forward(minutes=60 - ALLOWED, seconds=-1)
    assert (await refusal(way(world, patient))).retry_after_seconds == 1
    world.clock.forward(seconds=1)
    await cancel(world, await way(world, patient))
    assert (await refusal(way(world, patient))).retry_after_seconds == 60


async def test_staff_are_not_held_up(world: World) -> None:
    patient = uid()
    await use_up(world, patient)
    await world.take(patient=patient)
