"""Boards: what they show, what they are told, and where they go on after a break."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from mediq.queue.v1 import live_service_pb2 as requests
from mediq.queue.v1.event_pb2 import TicketEventType

from mesh.messaging.events import Event
from tests.queue_svc.conftest import (
    CALLED,
    CANCELLED,
    DONE,
    MORNING,
    SERVING,
    SKIPPED,
    WAITING,
    Place,
    World,
    uid,
)
from tests.queue_svc.watching import board, pharmacy, until
from tests.support.mesh import problem


async def shown(world: World, place: Place | None = None) -> requests.Board:
    """The board now, asked for without a token."""
    facility = (place or world.place).facility
    return await world.stub.GetBoard(requests.GetBoardRequest(institution_id=facility))


class TestGetBoard:
    async def test_what_a_hall_sees(self, world: World) -> None:
        tickets = [await world.take() for _ in range(9)]
        await world.take(place=pharmacy(world))
        for number, ticket in enumerate(tickets[:7]):
            world.clock.forward(minutes=1)
            await world.call(ticket, counter=number)
            if number < 6:
                await world.move(ticket, SERVING)
                await world.move(ticket, DONE)
        await world.call(tickets[6], counter=6)
        found = await shown(world)
        assert (found.institution_name, found.time_zone) == ("RSUD Contoh", "Asia/Jakarta")
        assert [one.service_name for one in found.services] == ["Apotek", "Poli Umum"]
        drugs, clinic = found.services
        assert (drugs.waiting, len(drugs.current), len(drugs.last_calls)) == (1, 0, 0)
        assert clinic.waiting == 2
        assert [
            (one.number, one.counter_name, one.status, one.calls) for one in clinic.current
        ] == [("A-007", "Loket 7", CALLED, 2)]
        assert [one.number for one in clinic.last_calls] == [
            *("A-006", "A-005", "A-004", "A-003", "A-002")
        ]
        assert found.create_time.seconds == int(world.clock().timestamp())

    async def test_a_hall_without_a_queue(self, world: World) -> None:
        found = await shown(world)
        assert found.institution_name == "RSUD Contoh"
        assert not found.services

    async def test_a_call_taken_back_is_not_shown(self, world: World) -> None:
        ticket = await world.take()
        await world.call(ticket)
        await world.move(ticket, WAITING, "salah tekan")
        (clinic,) = (await shown(world)).services
        assert (clinic.waiting, len(clinic.current), len(clinic.last_calls)) == (1, 0, 0)

    async def test_a_facility_of_nowhere(self, world: World) -> None:
        request = requests.GetBoardRequest(institution_id=uid())
        assert (await problem(world.stub.GetBoard(request)))[0] == "NOT_FOUND"
        stream = world.stub.WatchQueue(requests.WatchQueueRequest(institution_id=uid()))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(stream))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        request = requests.GetBoardRequest(institution_id="RSUD")
        assert (await problem(world.stub.GetBoard(request)))[1] == "INVALID_REQUEST"


class TestWatchQueue:
    async def test_the_board_then_every_event_in_order(self, world: World) -> None:
        first = await world.take()
        async with board(world) as stream:
            whole = await anext(stream)
            assert [one.waiting for one in whole.board.services] == [1]
            await world.take()
            world.clock.forward(minutes=1)
            await world.next(counter=2)
            await world.call(first, counter=2)
            await world.move(first, SKIPPED)
            await world.move(first, WAITING)
            await world.move(first, CANCELLED, "pulang")
            events, _ = await until(stream, 6)
        assert [TicketEventType.Name(one.type)[18:] for one in events] == [
            *("ISSUED", "CALLED", "RECALLED", "SKIPPED", "RETURNED", "CANCELLED")
        ]
        assert [one.revision for one in events] == [2, 3, 4, 5, 6, 7]
        assert [one.waiting for one in events] == [2, 1, 1, 1, 2, 1]
        assert [one.number for one in events] == ["A-002", *["A-001"] * 5]
        assert [one.counter_name for one in events] == ["", *["Loket 3"] * 4, ""]
        assert {one.institution_id for one in events} == {world.place.facility}
        assert {one.journey_id for one in events[1:]} == {first.id}

    async def test_a_service_is_followed_alone(self, world: World) -> None:
        await world.take()
        async with board(world, service=world.place.pharmacy) as stream:
            assert not (await anext(stream)).board.services
            await world.take()
            await world.take(place=pharmacy(world))
            await world.take()
            await world.take(place=pharmacy(world))
            events, cursor = await until(stream, 2)
        assert [one.number for one in events] == ["B-001", "B-002"]
        await world.take()
        await world.take(place=pharmacy(world))
        async with board(world, cursor, world.place.pharmacy) as stream:
            events, cursor = await until(stream, 1)
            assert [one.number for one in events] == ["B-003"]
        # The cursor is one of the whole hall: what was left out is not told later.
        async with board(world, cursor) as stream:
            await world.take()
            events, _ = await until(stream, 1)
            assert [one.number for one in events] == ["A-005"]

    async def test_other_facilities_are_not_told(self, world: World) -> None:
        other = world.facilities.open()
        async with board(world) as stream:
            await anext(stream)
            await world.take(place=other)
            await world.take()
            events, _ = await until(stream, 1)
        assert events[0].institution_id == world.place.facility

    async def test_a_sign_of_life_with_the_cursor(self, world: World) -> None:
        await world.take()
        async with board(world) as stream:
            first, second = await anext(stream), await anext(stream)
        assert second.HasField("heartbeat")
        assert second.cursor == first.cursor != ""

    async def test_the_end_when_the_server_stops(self, world: World) -> None:
        await world.take()
        async with board(world) as stream:
            first = await anext(stream)
            stopping = asyncio.ensure_future(world.server.stop())
            *_, last = [message async for message in stream]
            await stopping
        assert (last.end.reason, last.end.retry) == ("SHUTTING_DOWN", True)
        assert last.cursor == first.cursor

    async def test_a_new_day_is_a_fresh_board(self, world: World) -> None:
        world.clock.now = MORNING.replace(hour=16, minute=59)
        late = await world.take()
        async with board(world) as stream:
            assert [one.waiting for one in (await anext(stream)).board.services] == [1]
            world.clock.forward(minutes=2)
            while not (message := await anext(stream)).HasField("board"):
                assert message.HasField("heartbeat")
            # Who waited at midnight still waits.
            assert [one.waiting for one in message.board.services] == [1]
            early = await world.take()
            assert early.number == late.number == "A-001"
            events, cursor = await until(stream, 1)
            assert (events[0].service_day, events[0].revision) == ("2026-03-03", 1)
            # In the morning, the rest of yesterday's queue has gone home.
            world.clock.forward(hours=6)
            while not (message := await anext(stream)).HasField("board"):
                assert message.HasField("heartbeat")
            (clinic,) = message.board.services
            assert clinic.waiting == 1
        async with board(world, cursor) as stream:
            assert (await anext(stream)).HasField("board")

    async def test_who_is_too_slow_is_told_and_misses_nothing(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("queue_svc.streaming.change_feed.MAX_KEPT", 3)
        publish, gate = world.bus.publish, asyncio.Event()

        async def late(event: Event) -> None:
            await gate.wait()
            await publish(event)

        monkeypatch.setattr(world.bus, "publish", late)
        # As at a replica that makes none of the changes itself.
        monkeypatch.setattr(world.dependencies.commands._commits, "_publish_local", lambda _: None)
        await world.take()
        async with board(world) as stream:
            first = await anext(stream)
            for _ in range(10):
                await world.take()
            gate.set()
            while not (message := await anext(stream)).HasField("end"):
                assert message.HasField("heartbeat")
            assert (message.end.reason, message.end.retry) == ("SLOW_CONSUMER", True)
            assert message.cursor == first.cursor
        async with board(world, message.cursor) as stream:
            events, _ = await until(stream, 10)
        assert [one.revision for one in events] == list(range(2, 12))

    async def test_a_silent_bus_only_delays(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As at another replica while the broker is away."""
        monkeypatch.setattr("queue_svc.streaming.change_feed.POLL_SECONDS", 0.1)

        async def lost(_: Event) -> None:
            pass

        monkeypatch.setattr(world.bus, "publish", lost)
        monkeypatch.setattr(world.dependencies.commands._commits, "_publish_local", lambda _: None)
        await world.take()
        async with board(world) as stream:
            assert (await anext(stream)).HasField("board")
            await world.take()
            events, _ = await until(stream, 1)
        assert [one.revision for one in events] == [2]

    async def test_nobody_is_named(self, world: World) -> None:
        patients = [uid() for _ in range(4)]
        async with board(world) as stream:
            texts = [str(await anext(stream))]
            for patient in patients:
                await world.take(4, patient=patient)  # type: ignore[arg-type]
            ticket = await world.next()
            await world.move(ticket, WAITING, "salah pasien")
            texts += [str(await anext(stream)) for _ in range(6)]
        texts.append(str(await shown(world)))
        async with board(world) as stream:
            texts.append(str(await anext(stream)))
        output = "".join(texts)
        assert output.count("A-004") > 0
        assert not any(patient in output for patient in patients)
        assert not any(word in output for word in ("sesak", "salah"))
