"""A ticket's live stream: its range, the last call, and where it goes on after a break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mediq.queue.v1 import live_service_pb2 as live_requests
from mediq.queue.v1 import ticket_service_pb2 as ticket_requests
from mediq.queue.v1.live_service_pb2 import WatchTicketResponse
from mediq.queue.v1.queue_pb2 import PriorityGround, Ticket

from tests.queue_svc.conftest import (
    CALLED,
    CANCELLED,
    HIGH,
    NORMAL,
    SERVING,
    SKIPPED,
    WAITING,
    World,
    uid,
)
from tests.support.backends.databases import migrated_sqlite
from tests.support.mesh import problem
from tests.support.waiting import PATIENCE_SECONDS

Messages = AsyncIterator[WatchTicketResponse]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: the queries are those of the lists, which run on both."""
    return migrated_sqlite("queue_svc", tmp_path / "queue.db")


@asynccontextmanager
async def watching(
    world: World, ticket: Ticket, cursor: str = "", header: str = ""
) -> AsyncIterator[Messages]:
    """The stream of a ticket on its patient's phone."""
    call = world.stub.WatchTicket(
        live_requests.WatchTicketRequest(id=ticket.id, cursor=cursor),
        metadata=(
            *world.session(ticket.patient_id),
            *((("last-event-id", header),) if header else ()),
        ),
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield aiter(call)
    finally:
        call.cancel()


async def shown(stream: Messages) -> WatchTicketResponse:
    """The next state; signs of life are passed over."""
    async for message in stream:
        assert not message.HasField("end"), message.end
        if message.HasField("ticket"):
            return message
    raise AssertionError("the stream ended")


async def test_the_range_the_last_call_and_three_ahead(world: World) -> None:
    for _ in range(5):
        await world.take()
    ticket = await world.take()
    async with watching(world, ticket) as stream:
        first = await shown(stream)
        assert (first.ticket.people_ahead, first.three_ahead) == (5, False)
        assert first.ticket.last_called_number == ""
        # Five services of 10 minutes and the half of one: 55 minutes.
        assert first.ticket.estimated_wait.seconds == 3300
        assert first.ticket.estimated_wait_low.seconds == 35 * 60
        assert first.ticket.estimated_wait_high.seconds == 90 * 60
        seen = []
        for _ in range(5):
            await world.next()
            update = await shown(stream)
            seen.append(
                (
                    update.ticket.people_ahead,
                    update.three_ahead,
                    update.ticket.last_called_number,
                )
            )
        assert seen == [
            (4, False, "A-001"),
            (3, True, "A-002"),
            (2, True, "A-003"),
            (1, True, "A-004"),
            (0, True, "A-005"),
        ]
        await world.next()
        update = await shown(stream)
        assert (update.ticket.status, update.three_ahead) == (CALLED, False)
        assert not update.ticket.HasField("estimated_wait_low")
        assert not update.ticket.HasField("estimated_wait_high")


async def test_who_is_overtaken_is_told(world: World) -> None:
    for _ in range(3):
        await world.take()
    ticket = await world.take()
    async with watching(world, ticket) as stream:
        assert (await shown(stream)).three_ahead
        await world.take(4)  # type: ignore[arg-type]
        update = await shown(stream)
        assert (update.ticket.people_ahead, update.three_ahead) == (4, False)


async def test_what_was_seen_is_not_shown_again(world: World) -> None:
    ticket = await world.take()
    async with watching(world, ticket) as stream:
        cursor = (await shown(stream)).cursor
    for where in ({"cursor": cursor}, {"header": cursor}):
        async with watching(world, ticket, **where) as stream:
            quiet = await anext(stream)
            assert quiet.HasField("heartbeat")
            assert quiet.cursor == cursor


async def test_states_that_were_passed_are_shown_once_and_in_order(world: World) -> None:
    ticket = await world.take()
    async with watching(world, ticket) as stream:
        cursor = (await shown(stream)).cursor
    world.clock.forward(minutes=1)
    await world.call(ticket, counter=1)
    await world.move(ticket, SERVING)
    await world.move(ticket, WAITING, "salah pasien")
    await world.call(ticket, counter=2)
    async with watching(world, ticket, cursor) as stream:
        updates = [await shown(stream) for _ in range(4)]
        assert (await anext(stream)).HasField("heartbeat")
        await world.move(ticket, SKIPPED)
        updates.append(await shown(stream))
    assert [(one.ticket.version, one.ticket.status) for one in updates] == [
        *((2, CALLED), (3, SERVING), (4, WAITING), (5, CALLED), (6, SKIPPED))
    ]
    assert [one.ticket.counter_name for one in updates] == [
        *("Loket 2", "Loket 2", "", "Loket 3", "Loket 3")
    ]
    assert len({one.cursor for one in updates}) == 5
    async with watching(world, ticket, updates[1].cursor) as stream:
        again = [await shown(stream) for _ in range(3)]
    assert [one.ticket.version for one in again] == [4, 5, 6]


async def test_a_class_that_was_set_meanwhile_is_the_one_shown(world: World) -> None:
    ticket = await world.take()
    async with watching(world, ticket) as stream:
        first = await shown(stream)
    assert (first.ticket.priority, first.ticket.priority_ground) == (NORMAL, 0)
    await world.stub.SetTicketPriority(
        ticket_requests.SetTicketPriorityRequest(id=ticket.id, priority=HIGH),
        metadata=world.operator,
    )
    await world.call(ticket)
    async with watching(world, ticket, first.cursor) as stream:
        passed, now = await shown(stream), await shown(stream)
    ground = PriorityGround.PRIORITY_GROUND_STAFF
    assert [
        (one.ticket.version, one.ticket.status, one.ticket.priority, one.ticket.priority_ground)
        for one in (passed, now)
    ] == [(2, WAITING, HIGH, ground), (3, CALLED, HIGH, ground)]


async def test_a_ticket_that_was_closed_meanwhile(world: World) -> None:
    ticket = await world.take()
    async with watching(world, ticket) as stream:
        cursor = (await shown(stream)).cursor
    await world.call(ticket)
    await world.move(ticket, CANCELLED, "pulang")
    async with watching(world, ticket, cursor) as stream:
        messages = [message async for message in stream]
    assert [one.ticket.status for one in messages[:-1]] == [CALLED, CANCELLED]
    assert (messages[-1].end.reason, messages[-1].end.retry) == ("CLOSED", False)
    async with watching(world, ticket, messages[-1].cursor) as stream:
        (only,) = [message async for message in stream]
    assert only.end.reason == "CLOSED"


async def test_it_goes_on_at_a_new_process(world: World) -> None:
    await world.take()
    ticket = await world.take()
    async with watching(world, ticket) as stream:
        cursor = (await shown(stream)).cursor
    await world.server.stop()
    await world.start()
    await world.next()
    async with watching(world, ticket, cursor) as stream:
        update = await shown(stream)
        assert (update.ticket.version, update.ticket.people_ahead) == (1, 0)
        assert update.ticket.last_called_number == "A-001"


@pytest.mark.parametrize(
    "cursor",
    ["garbage", ".", "1", "0", "-1", "²", "999999", "9" * 1999, "3.0.0.0.", "1.5.0.300.A-009"],
)
async def test_a_cursor_that_leads_nowhere_shows_the_ticket(world: World, cursor: str) -> None:
    ticket = await world.take()
    await world.call(ticket)
    await world.move(ticket, SERVING)
    async with watching(world, ticket, cursor) as stream:
        while (update := await shown(stream)).ticket.version < 3:
            pass
        assert (update.ticket.version, update.ticket.status) == (3, SERVING)


async def test_a_cursor_of_another_ticket_opens_nothing(world: World) -> None:
    ticket, other = await world.take(), await world.take()
    async with watching(world, other) as stream:
        cursor = (await shown(stream)).cursor
    async with watching(world, ticket, cursor) as stream:
        update = await anext(stream)
        assert update.ticket.id == ticket.id
    request = live_requests.WatchTicketRequest(id=other.id, cursor=cursor)
    call = world.stub.WatchTicket(request, metadata=world.session(uid()))
    assert await problem(anext(aiter(call))) == ("NOT_FOUND", "TICKET_NOT_FOUND")


async def test_a_cursor_too_long_is_refused(world: World) -> None:
    ticket = await world.take()
    request = live_requests.WatchTicketRequest(id=ticket.id, cursor="1" * 2001)
    call = world.stub.WatchTicket(request, metadata=world.operator)
    assert await problem(anext(aiter(call))) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
