"""Boards that lost their connection go on where they were, without a gap."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import grpc
import pytest
from mediq.queue.v1 import live_service_pb2 as live_requests
from mediq.queue.v1 import ticket_service_pb2 as ticket_requests
from mediq.queue.v1.queue_pb2 import Ticket

from queue_svc.persistence.facility_queries import FacilityQueries
from tests.queue_svc.conftest import (
    CANCELLED,
    DONE,
    SERVING,
    SKIPPED,
    WAITING,
    Place,
    World,
)
from tests.queue_svc.watching import Step, board, pharmacy, steps, until, written
from tests.support.mesh import problem
from tests.support.runs.depth import DEPTH
from tests.support.waiting import PATIENCE_SECONDS


class TestResume:
    @pytest.mark.parametrize("missed", [0, 1, 40])
    @pytest.mark.parametrize("header", [False, True])
    async def test_it_goes_on_exactly_where_it_was(
        self, world: World, missed: int, header: bool
    ) -> None:
        await world.take()
        async with board(world) as stream:
            await anext(stream)
            await world.take()
            _, cursor = await until(stream, 1)
        for number in range(missed):
            await world.take(place=pharmacy(world) if number % 3 else None)
        where = ("", cursor) if header else (cursor, "")
        async with board(world, where[0], header=where[1]) as stream:
            await world.take()
            events, _ = await until(stream, missed + 1)
        history = await written(world)
        for service, entries in history.items():
            expected = entries[2:] if service == world.place.service else entries
            assert [one for one in steps(events) if one[0] == service] == expected

    async def test_the_header_is_newer_than_the_address(self, world: World) -> None:
        async with board(world) as stream:
            await anext(stream)
            await world.take()
            _, old = await until(stream, 1)
            await world.take()
            _, new = await until(stream, 1)
        await world.take()
        async with board(world, cursor=old, header=new) as stream:
            events, _ = await until(stream, 1)
        assert events[0].revision == 3

    async def test_it_goes_on_at_a_new_process(self, world: World) -> None:
        first = await world.take()
        async with board(world) as stream:
            await anext(stream)
            await world.call(first)
            _, cursor = await until(stream, 1)
        for _ in range(5):
            await world.take()
        await world.server.stop()
        await world.start()
        await world.move(first, SERVING)
        async with board(world, cursor) as stream:
            events, _ = await until(stream, 6)
            await world.move(first, DONE)
            events += (await until(stream, 1))[0]
        assert [one.revision for one in events] == list(range(3, 10))

    async def test_who_missed_too_much_gets_the_whole_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("queue_svc.streaming.stream_queries.MISSED", 5)
        await world.take()
        async with board(world) as stream:
            cursor = (await anext(stream)).cursor
        for _ in range(5):
            await world.take()
        async with board(world, cursor) as stream:
            assert [one.revision for one in (await until(stream, 5))[0]] == [2, 3, 4, 5, 6]
        await world.take()
        async with board(world, cursor) as stream:
            message = await anext(stream)
        assert message.board.services[0].waiting == 7

    async def test_a_cursor_that_leads_nowhere_gives_the_whole(self, world: World) -> None:
        other = world.facilities.open()
        await world.take(place=other)
        async with board(world, place=other) as stream:
            elsewhere = (await anext(stream)).cursor
        await world.take()
        async with board(world) as stream:
            own = (await anext(stream)).cursor
        queue_id = own.partition(".")[0]
        for cursor in (
            *(elsewhere, f"{own}_{elsewhere}", "garbage", "1", ".", "_", "1.2.3", "1.x", "x.1"),
            *(f"{queue_id}.999", f"{queue_id}.{10**30}", f"{queue_id}.-{10**30}", "999999.1"),
            *("'; DROP TABLE queues; --", "9" * 1999, "1.1_" * 400),
        ):
            for field, header in ((cursor, ""), ("", cursor)):
                async with board(world, field, header=header) as stream:
                    message = await anext(stream)
                    assert message.HasField("board"), cursor
                    assert message.cursor == own
                    assert [one.waiting for one in message.board.services] == [1]

    async def test_a_cursor_too_long_to_be_one_is_refused(self, world: World) -> None:
        stream = world.stub.WatchQueue(
            live_requests.WatchQueueRequest(institution_id=world.place.facility, cursor="1" * 2001)
        )
        assert await problem(anext(aiter(stream))) == ("INVALID_ARGUMENT", "INVALID_REQUEST")

    async def test_a_queue_that_begins_while_the_board_is_read_is_told(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its first ticket is on the board, or an event behind it; never neither."""
        loop, real = asyncio.get_running_loop(), FacilityQueries.board
        made: list[Ticket] = []

        def interrupted(reader: FacilityQueries, *place: object) -> object:
            found = real(reader, *place)  # type: ignore[arg-type]
            if not made:
                taking = world.take(place=pharmacy(world))
                made.append(asyncio.run_coroutine_threadsafe(taking, loop).result(PATIENCE_SECONDS))
            return found

        await world.take()
        monkeypatch.setattr(FacilityQueries, "board", interrupted)
        async with board(world) as stream:
            first = await anext(stream)
            if "Apotek" not in {one.service_name for one in first.board.services}:
                events, _ = await until(stream, 1)
                assert events[0].ticket_id == made[0].id


class Client:
    """A board that loses its connection again and again."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = random.Random(seed)
        self.cursor = ""
        self.start: dict[int, int] | None = None
        self.seen: list[Step] = []
        self.connections = 0

    @property
    def revisions(self) -> dict[int, int]:
        """How far each queue's history was seen."""
        parts = [part.split(".") for part in self.cursor.split("_") if part]
        return {int(queue_id): int(revision) for queue_id, revision in parts}

    async def follow(self, done: asyncio.Event, last: dict[int, int]) -> None:
        while not (done.is_set() and self.revisions == last):
            self.connections += 1
            patience = self._random.randrange(1, 12)
            header = self._random.random() < 0.5
            where = ("", self.cursor) if header else (self.cursor, "")
            async with board(self._world, where[0], header=where[1]) as stream:
                async for message in self._some(stream, patience):
                    assert not message.HasField("end"), message.end
                    self.cursor = message.cursor or self.cursor
                    if message.HasField("board"):
                        assert self.start is None, "the whole board again"
                        self.start = self.revisions
                    if message.HasField("event"):
                        self.seen += steps([message.event])
                    if done.is_set() and self.revisions == last:
                        break

    async def _some(
        self, stream: AsyncIterator[live_requests.WatchQueueResponse], count: int
    ) -> AsyncIterator[live_requests.WatchQueueResponse]:
        for _ in range(count):
            yield await anext(stream)


async def work(world: World, seed: int, places: list[Place], changes: int) -> None:
    """An operator in a hurry."""
    chance = random.Random(seed)
    mine: list[Ticket] = []
    for _ in range(changes):
        place = chance.choice(places)
        try:
            if not mine or chance.random() < 0.4:
                mine.append(await world.take(place=place))
            elif chance.random() < 0.3:
                await world.stub.CallNextTicket(
                    ticket_requests.CallNextTicketRequest(
                        institution_id=place.facility,
                        service_id=place.service,
                        counter_id=place.counters[seed],
                    ),
                    metadata=world.operator,
                )
            else:
                ticket = chance.choice(mine)
                if chance.random() < 0.5:
                    await world.call(ticket, seed)
                else:
                    status = chance.choice([SERVING, DONE, SKIPPED, CANCELLED, WAITING])
                    await world.move(ticket, status, "alasan")
        except grpc.aio.AioRpcError as error:
            # A move that is not allowed now; nothing else may go wrong.
            if error.code().name not in ("FAILED_PRECONDITION", "NOT_FOUND"):
                raise


@pytest.mark.deep
async def test_boards_that_come_and_go_miss_nothing_and_see_nothing_twice(world: World) -> None:
    await world.take()
    await world.take(place=pharmacy(world))
    clients = [Client(world, seed) for seed in range(5)]
    done, last = asyncio.Event(), dict[int, int]()
    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.follow(done, last))
        places = [world.place, pharmacy(world)]
        await asyncio.gather(*(work(world, seed, places, 30 * DEPTH) for seed in range(4)))
        history = await written(world)
        async with board(world) as stream:
            whole = (await anext(stream)).cursor
        last.update({int(a): int(b) for a, b in (part.split(".") for part in whole.split("_"))})
        done.set()
    assert sum(last.values()) == sum(map(len, history.values())) > 75
    for client in clients:
        assert client.start is not None
        assert client.connections > 5
        for service, entries in history.items():
            mine = [step for step in client.seen if step[0] == service]
            # From where the first board stood to the end, each once and in order.
            assert mine == entries[len(entries) - len(mine) :]
        assert len(client.seen) == sum(last.values()) - sum(client.start.values())
