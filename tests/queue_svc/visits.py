"""Visits that go from one service to another."""

from __future__ import annotations

from mediq.queue.v1 import ticket_service_pb2 as requests
from mediq.queue.v1.queue_pb2 import Ticket

from tests.queue_svc.conftest import (
    SERVING,
    Metadata,
    World,
)


async def transfer(
    world: World, ticket: Ticket, service: str = "", reason: str = "", request_id: str = ""
) -> Ticket:
    """Sends a patient to a service; to the pharmacy when none is named."""
    return await world.stub.TransferTicket(
        requests.TransferTicketRequest(
            request_id=request_id,
            id=ticket.id,
            service_id=service or world.place.pharmacy,
            reason=reason,
        ),
        metadata=world.operator,
    )


async def served(world: World, patient: str = "", counter: int = 0) -> Ticket:
    """A patient who is being served at the clinic."""
    ticket = await world.take(patient=patient)
    world.clock.forward(minutes=5)
    await world.call(ticket, counter)
    world.clock.forward(minutes=1)
    return await world.move(ticket, SERVING)


async def journey(world: World, identifier: str, metadata: Metadata) -> requests.Journey:
    return await world.stub.GetJourney(requests.GetJourneyRequest(id=identifier), metadata=metadata)


async def history(world: World, ticket: Ticket) -> list[requests.TicketChange]:
    request = requests.GetTicketHistoryRequest(id=ticket.id)
    found = await world.stub.GetTicketHistory(request, metadata=world.operator)
    return list(found.changes)
