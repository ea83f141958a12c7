"""Clients of live streams, as boards and phones are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mediq.queue.v1 import live_service_pb2 as requests
from mediq.queue.v1.event_pb2 import TicketEvent

from mesh.persistence.database import Database
from queue_svc.persistence.models import ChangeRow, QueueRow
from tests.queue_svc.conftest import Place, World
from tests.support.waiting import PATIENCE_SECONDS

Step = tuple[str, int, str, int]
"""Service, revision, ticket and version: one entry of a queue's change log."""


def pharmacy(world: World) -> Place:
    """The pharmacy, where tickets are taken as at the clinic."""
    return Place(world.place.facility, world.place.pharmacy, world.place.counters, "")


@asynccontextmanager
async def board(
    world: World,
    cursor: str = "",
    service: str = "",
    header: str = "",
    place: Place | None = None,
) -> AsyncIterator[AsyncIterator[requests.WatchQueueResponse]]:
    """A board's stream, without any token."""
    call = world.stub.WatchQueue(
        requests.WatchQueueRequest(
            institution_id=(place or world.place).facility, service_id=service, cursor=cursor
        ),
        metadata=(("last-event-id", header),) if header else None,
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield aiter(call)
    finally:
        call.cancel()


async def until(
    stream: AsyncIterator[requests.WatchQueueResponse], count: int
) -> tuple[list[TicketEvent], str]:
    """So many events, and the cursor after them."""
    found: list[TicketEvent] = []
    cursor = ""
    while len(found) < count:
        message = await anext(stream)
        assert not message.HasField("end"), message.end
        assert not message.HasField("board"), "the whole board again"
        cursor = message.cursor
        if message.HasField("event"):
            found.append(message.event)
    return found, cursor


def steps(events: list[TicketEvent]) -> list[Step]:
    """Events as entries of a change log."""
    return [(one.service_id, one.revision, one.ticket_id, one.version) for one in events]


async def written(world: World) -> dict[str, list[Step]]:
    """What the database says that happened, by service."""
    database = Database(world.settings.database, 1)
    rows = await database.read(
        lambda session: (
            session.query(ChangeRow).order_by(ChangeRow.queue_id, ChangeRow.revision).all()
        )
    )
    queues = await database.read(
        lambda session: {row.id: row.service_id for row in session.query(QueueRow).all()}
    )
    await database.close()
    found: dict[str, list[Step]] = {service: [] for service in queues.values()}
    for row in rows:
        service = queues[row.queue_id]
        found[service].append((service, row.revision, row.ticket_id, row.version))
    return found
