"""What an operator sees at a counter, live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mediq.policy.v1.policy_pb2 import Role
from mediq.queue.v1 import live_service_pb2 as live_requests
from mediq.queue.v1 import ticket_service_pb2 as ticket_requests
from mediq.queue.v1.live_service_pb2 import CounterState, WatchCounterResponse

from tests.queue_svc.conftest import (
    CALLED,
    DONE,
    SERVING,
    SKIPPED,
    URGENT,
    WAITING,
    Metadata,
    Place,
    World,
    uid,
)
from tests.support.backends.databases import migrated_sqlite
from tests.support.mesh import problem
from tests.support.waiting import PATIENCE_SECONDS

Messages = AsyncIterator[WatchCounterResponse]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: the queries are those of lists and boards, which run on both."""
    return migrated_sqlite("queue_svc", tmp_path / "queue.db")


@asynccontextmanager
async def watching(
    world: World,
    counter: int = 0,
    cursor: str = "",
    metadata: Metadata | None = None,
    header: str = "",
) -> AsyncIterator[Messages]:
    """The stream of a counter."""
    call = world.stub.WatchCounter(
        live_requests.WatchCounterRequest(
            institution_id=world.place.facility,
            service_id=world.place.service,
            counter_id=world.place.counters[counter],
            cursor=cursor,
        ),
        metadata=(
            *(metadata or world.operator),
            *((("last-event-id", header),) if header else ()),
        ),
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield aiter(call)
    finally:
        call.cancel()


async def state(stream: Messages) -> CounterState:
    """The next state; signs of life are passed over."""
    async for message in stream:
        assert not message.HasField("end"), message.end
        if message.HasField("counter"):
            return message.counter
    raise AssertionError("the stream ended")


def numbers(found: CounterState) -> tuple[list[str], list[str], list[str], int]:
    """Numbers that are held, next and skipped, and how many wait."""
    return (
        [one.number for one in found.current],
        [one.number for one in found.next],
        [one.number for one in found.skipped],
        found.waiting,
    )


async def test_everything_that_changes_is_shown(world: World) -> None:
    tickets = [await world.take() for _ in range(3)]
    async with watching(world) as stream:
        assert numbers(await state(stream)) == ([], ["A-001", "A-002", "A-003"], [], 3)
        await world.next()
        # The same may be shown again, when an event of before comes late.
        while numbers(found := await state(stream))[3] == 3:
            pass
        assert numbers(found) == (["A-001"], ["A-002", "A-003"], [], 2)
        assert found.counter_id == world.place.counters[0]
        assert (found.current[0].status, found.current[0].calls) == (CALLED, 1)
        assert [one.people_ahead for one in found.next] == [0, 1]
        await world.call(tickets[0])
        assert (await state(stream)).current[0].calls == 2
        await world.move(tickets[0], SKIPPED)
        assert numbers(await state(stream)) == ([], ["A-002", "A-003"], ["A-001"], 2)
        await world.move(tickets[0], WAITING)
        assert numbers(await state(stream)) == ([], ["A-002", "A-003", "A-001"], [], 3)
        await world.take(URGENT)
        assert numbers(await state(stream))[1] == ["A-004", "A-002", "A-003", "A-001"]
        await world.next()
        assert numbers(await state(stream))[0] == ["A-004"]
        await world.move(tickets[1], 7)  # type: ignore[arg-type]
        assert numbers(await state(stream)) == (["A-004"], ["A-003", "A-001"], [], 2)


async def test_one_button_shows_the_end_and_the_next(world: World) -> None:
    first = await world.take()
    await world.take()
    await world.next()
    await world.move(first, SERVING)
    async with watching(world) as stream:
        assert numbers(await state(stream)) == (["A-001"], ["A-002"], [], 1)
        await world.stub.CallNextTicket(
            ticket_requests.CallNextTicketRequest(
                institution_id=world.place.facility,
                service_id=world.place.service,
                counter_id=world.place.counters[0],
                finish_current=True,
            ),
            metadata=world.operator,
        )
        while numbers(found := await state(stream))[0] != ["A-002"]:
            pass
        assert numbers(found) == (["A-002"], [], [], 0)
    assert (await world.get(first)).status == DONE


async def test_a_counter_holds_only_its_own(world: World) -> None:
    for _ in range(2):
        await world.take()
    await world.next(counter=0)
    await world.next(counter=1)
    for counter, number in enumerate(("A-001", "A-002")):
        async with watching(world, counter) as stream:
            assert numbers(await state(stream)) == ([number], [], [], 0)


async def test_at_most_twenty_are_listed_and_all_are_counted(world: World) -> None:
    for _ in range(24):
        await world.take()
    async with watching(world) as stream:
        found = await state(stream)
    assert (len(found.next), found.waiting) == (20, 24)


async def test_what_was_seen_is_not_shown_again(world: World) -> None:
    await world.take()
    async with watching(world) as stream:
        cursor = (await anext(stream)).cursor
    for where in ({"cursor": cursor}, {"header": cursor}):
        async with watching(world, **where) as stream:  # type: ignore[arg-type]
            quiet = await anext(stream)
            assert quiet.HasField("heartbeat")
            assert quiet.cursor == cursor
    async with watching(world, cursor=cursor) as stream:
        await world.take()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await state(stream)).waiting != 2:
                pass
    await world.take()
    async with watching(world, cursor=cursor) as stream:
        assert (await state(stream)).waiting == 3


async def test_seconds_that_pass_are_no_change(world: World) -> None:
    await world.take()
    await world.take()
    async with watching(world) as stream:
        cursor = (await anext(stream)).cursor
    world.clock.forward(seconds=3)
    async with watching(world, cursor=cursor) as stream:
        assert (await anext(stream)).HasField("heartbeat")


@pytest.mark.parametrize("cursor", ["x", "0" * 20, "1.2", "🏥", "9" * 2000])
async def test_a_cursor_of_nowhere_gives_the_whole(world: World, cursor: str) -> None:
    await world.take()
    async with watching(world, cursor=cursor) as stream:
        assert (await anext(stream)).counter.waiting == 1


async def test_another_service_does_not_disturb(world: World) -> None:
    pharmacy = Place(world.place.facility, world.place.pharmacy, world.place.counters, "")
    async with watching(world) as stream:
        assert (await state(stream)).waiting == 0
        await world.take(place=pharmacy)
        assert (await anext(stream)).HasField("heartbeat")
        await world.take()
        assert (await state(stream)).waiting == 1


async def test_only_staff_of_the_facility_watch(world: World) -> None:
    await world.take()
    request = live_requests.WatchCounterRequest(
        institution_id=world.place.facility,
        service_id=world.place.service,
        counter_id=world.place.counters[0],
    )
    other = world.operator_of(world.facilities.open())
    for metadata, expected in (
        (other, ("PERMISSION_DENIED", "OTHER_INSTITUTION")),
        (world.patient(uid()), ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")),
        (world.session(uid()), ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")),
        ((), ("UNAUTHENTICATED", "TOKEN_MISSING")),
    ):
        call = world.stub.WatchCounter(request, metadata=metadata)
        assert await problem(anext(aiter(call))) == expected
    network = world.mesh.token(Role.ROLE_ADMIN_FASKES)
    async with watching(world, metadata=network) as stream:
        assert (await state(stream)).waiting == 1


async def test_a_counter_or_a_service_of_nowhere(world: World) -> None:
    elsewhere = world.facilities.open()
    for service, counter in (
        (world.place.service, uid()),
        (world.place.service, elsewhere.counters[0]),
        (elsewhere.service, world.place.counters[0]),
    ):
        request = live_requests.WatchCounterRequest(
            institution_id=world.place.facility, service_id=service, counter_id=counter
        )
        stream = world.stub.WatchCounter(request, metadata=world.operator)
        assert (await problem(anext(aiter(stream))))[0] == "NOT_FOUND"


async def test_it_ends_with_the_session(world: World) -> None:
    short = world.mesh.token(
        Role.ROLE_OPERATOR, institution_id=world.place.facility, lifetime_seconds=2
    )
    async with watching(world, metadata=short) as stream:
        *_, last = [message async for message in stream]
    assert (last.end.reason, last.end.retry) == ("TOKEN_EXPIRED", True)


async def test_it_ends_with_the_server_and_goes_on_at_the_next(world: World) -> None:
    await world.take()
    async with watching(world) as stream:
        await state(stream)
        stopping = asyncio.ensure_future(world.server.stop())
        *_, last = [message async for message in stream]
        await stopping
    assert (last.end.reason, last.end.retry) == ("SHUTTING_DOWN", True)
    await world.start()
    async with watching(world, cursor=last.cursor) as stream:
        assert (await anext(stream)).HasField("heartbeat")
