import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mediq.policy.v1.policy_pb2 import Scope
from mediq.queue.v1 import live_service_pb2 as requests
from mediq.queue.v1.live_service_pb2 import WatchTicketResponse
from mediq.queue.v1.queue_pb2 import Ticket
from sqlalchemy import text

from mesh.messaging.events import Event
from mesh.persistence.database import make_engine
from tests.queue_svc.conftest import CALLED, DONE, SERVING, WAITING, Metadata, World, uid
from tests.support.backends.databases import migrated_sqlite
from tests.support.mesh import problem
from tests.support.waiting import PATIENCE_SECONDS, eventually


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: streams are about events, and tests of events run on both."""
    return migrated_sqlite("queue_svc", tmp_path / "queue.db")


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
    async with asyncio.timeout(PATIENCE_SECONDS):
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
    async with asyncio.timeout(PATIENCE_SECONDS):
        follow = changes(updates(world, ticket))
        assert (await anext(follow)).people_ahead == 1
        await world.next()
        assert (await anext(follow)).people_ahead == 0


async def test_heartbeat_when_nothing_happens(world: World) -> None:
    ticket = await world.take()
    async with asyncio.timeout(PATIENCE_SECONDS):
        stream = updates(world, ticket)
        first, second = await anext(stream), await anext(stream)
    assert first.HasField("ticket")
    assert second.HasField("heartbeat")


async def test_closed_ticket_is_shown_and_ended(world: World) -> None:
    ticket = await world.take()
    await world.move(ticket, 7, "pulang")  # type: ignore[arg-type]
    async with asyncio.timeout(PATIENCE_SECONDS):
        messages = [message async for message in updates(world, ticket)]
    assert messages[0].HasField("ticket")
    assert messages[-1].end.reason == "CLOSED"


async def test_drain_ends_streams_in_band(world: World) -> None:
    ticket = await world.take()
    stream = updates(world, ticket)
    assert (await anext(stream)).HasField("ticket")
    stopping = asyncio.ensure_future(world.server.stop())
    async with asyncio.timeout(PATIENCE_SECONDS):
        last = [message async for message in stream][-1]
        await stopping
    assert last.HasField("end")
    assert last.end.retry


async def test_stranger_sees_nothing(world: World) -> None:
    ticket = await world.take()
    stream = updates(world, ticket, world.session(uid()))
    assert (await problem(anext(stream)))[0] == "NOT_FOUND"


async def test_changes_that_come_at_once_are_all_shown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, gate = world.bus.publish, asyncio.Event()

    async def late(event: Event) -> None:
        await gate.wait()
        await publish(event)

    ticket = await world.take()
    monkeypatch.setattr(world.bus, "publish", late)
    seen: list[tuple[int, int, str]] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for one in changes(updates(world, ticket)):
            if not seen:
                await world.next(2)
                await world.move(ticket, SERVING)
                await world.move(ticket, WAITING, "salah pasien")
                await world.next(1)
                gate.set()
            shown = one.version, one.status, one.counter_name
            # The first state alone may be shown again, when the event of the ticket comes late.
            if seen != [shown]:
                seen.append(shown)
            if one.version == 5:
                break
    assert seen == [
        (1, WAITING, ""),
        (2, CALLED, "Loket 3"),
        (3, SERVING, "Loket 3"),
        (4, WAITING, ""),
        (5, CALLED, "Loket 2"),
    ]


async def test_many_watchers_see_the_same(world: World) -> None:
    tickets = [await world.take() for _ in range(20)]
    streams = [changes(updates(world, ticket)) for ticket in tickets]
    async with asyncio.timeout(PATIENCE_SECONDS):
        first = await asyncio.gather(*(anext(stream) for stream in streams))
        assert [one.people_ahead for one in first] == list(range(20))
        await world.next()
        second = await asyncio.gather(*(anext(stream) for stream in streams))
        assert second[0].status == CALLED
        assert [one.people_ahead for one in second[1:]] == list(range(19))


async def test_a_stream_ends_with_its_session(world: World) -> None:
    patient = uid()
    ticket = await world.take(patient=patient)
    short = world.mesh.token(scope=Scope.SCOPE_TICKETS, subject=patient, lifetime_seconds=2)
    async with asyncio.timeout(PATIENCE_SECONDS):
        messages = [message async for message in updates(world, ticket, short)]
    assert (messages[-1].end.reason, messages[-1].end.retry) == ("TOKEN_EXPIRED", True)


@pytest.mark.parametrize("lost", [("queues",), ("queues", "audit_outbox")])
async def test_a_failure_is_said_in_band(world: World, lost: tuple[str, ...]) -> None:
    ticket = await world.take()
    stream = updates(world, ticket)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await anext(stream)).HasField("ticket")
        engine = make_engine(world.settings.database, 1)
        with engine.begin() as connection:
            for table in lost:
                connection.execute(text(f"ALTER TABLE {table} RENAME TO lost_{table}"))
        engine.dispose()
        last = [message async for message in stream][-1]
    assert last.end.retry
    assert last.end.reason in ("DATABASE_UNAVAILABLE", "INTERNAL")


async def test_a_watcher_that_goes_leaves_nothing_behind(world: World) -> None:
    ticket = await world.take()
    request = requests.WatchTicketRequest(id=ticket.id)
    streams = [world.stub.WatchTicket(request, metadata=world.operator) for _ in range(5)]
    for stream in streams:
        assert (await anext(aiter(stream))).HasField("ticket")
    followed = world.dependencies.streams._feed._facilities
    assert len(followed[world.place.facility].subscribers) == 5
    for stream in streams:
        stream.cancel()
    await eventually(lambda: not followed)
