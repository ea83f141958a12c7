import asyncio
from collections.abc import AsyncIterator

from mediq.queue.v1 import queue_service_pb2 as requests
from mediq.queue.v1.queue_pb2 import Ticket
from mediq.queue.v1.queue_service_pb2 import WatchTicketResponse

from tests.queue_svc.conftest import CALLED, DONE, SERVING, WAITING, Metadata, World, uid
from tests.support.mesh import problem


async def updates(
    world: World, ticket: Ticket, metadata: Metadata | None = None
) -> AsyncIterator[WatchTicketResponse]:
    stream = world.stub.WatchTicket(
        requests.WatchTicketRequest(id=ticket.id), metadata=metadata or world.operator
    )
    async for message in stream:
        yield message


async def changes(stream: AsyncIterator[WatchTicketResponse]) -> AsyncIterator[Ticket]:
    async for message in stream:
        if message.HasField("ticket"):
            yield message.ticket


async def test_snapshot_then_every_change_then_the_end(world: World) -> None:
    ticket = await world.take()
    stream = updates(world, ticket)
    seen: list[int] = []
    async with asyncio.timeout(10):
        async for message in stream:
            if message.HasField("end"):
                assert (message.end.reason, message.end.retry) == ("CLOSED", False)
                break
            if message.HasField("ticket"):
                seen.append(message.ticket.status)
                if message.ticket.status == WAITING:
                    await world.next()
                elif message.ticket.status == CALLED:
                    await world.move(ticket, SERVING)
                elif message.ticket.status == SERVING:
                    await world.move(ticket, DONE)
    assert seen == [WAITING, CALLED, SERVING, DONE]


async def test_position_moves_when_others_are_called(world: World) -> None:
    await world.take()
    ticket = await world.take()
    async with asyncio.timeout(10):
        follow = changes(updates(world, ticket))
        assert (await anext(follow)).people_ahead == 1
        await world.next()
        assert (await anext(follow)).people_ahead == 0


async def test_heartbeat_when_nothing_happens(world: World) -> None:
    ticket = await world.take()
    async with asyncio.timeout(10):
        stream = updates(world, ticket)
        first, second = await anext(stream), await anext(stream)
    assert first.HasField("ticket")
    assert second.HasField("heartbeat")


async def test_closed_ticket_is_shown_and_ended(world: World) -> None:
    ticket = await world.take()
    await world.move(ticket, 7, "pulang")  # type: ignore[arg-type]
    async with asyncio.timeout(10):
        messages = [message async for message in updates(world, ticket)]
    assert messages[0].HasField("ticket")
    assert messages[-1].end.reason == "CLOSED"


async def test_drain_ends_streams_in_band(world: World) -> None:
    ticket = await world.take()
    stream = updates(world, ticket)
    assert (await anext(stream)).HasField("ticket")
    stopping = asyncio.ensure_future(world.server.stop())
    async with asyncio.timeout(10):
        last = [message async for message in stream][-1]
        await stopping
    assert last.HasField("end")
    assert last.end.retry


async def test_stranger_sees_nothing(world: World) -> None:
    ticket = await world.take()
    stream = updates(world, ticket, world.session(uid()))
    assert (await problem(anext(stream)))[0] == "NOT_FOUND"
