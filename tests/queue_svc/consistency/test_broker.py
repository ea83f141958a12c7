"""The service with a real broker: away for a while, and between two replicas."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from mediq.queue.v1 import live_service_pb2 as live_requests
from mediq.queue.v1 import ticket_service_pb2 as ticket_requests
from mediq.queue.v1.event_pb2 import TicketEvent
from sqlalchemy import func, select

from mesh.messaging.events import EventBus, Feed, Subscription
from mesh.messaging.rabbit import RabbitBus
from mesh.persistence.database import make_engine
from queue_svc.persistence.models import OUTBOX
from queue_svc.settings import QueueSettings
from tests.queue_svc import ledger
from tests.queue_svc.conftest import (
    DONE,
    FACILITIES,
    SERVING,
    Clock,
    Facilities,
    Place,
    World,
    uid,
)
from tests.queue_svc.watching import board, until
from tests.support.backends.brokers import AMQP_URL, Cable, cable, feed
from tests.support.mesh import Mesh, partly, problem
from tests.support.waiting import PATIENCE_SECONDS, eventually

__all__ = ["cable", "feed"]
pytestmark = [
    pytest.mark.backends,
    pytest.mark.parametrize("database_url", ["mariadb"], indirect=True),
]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost connections are tried again at once."""
    monkeypatch.setattr("mesh.messaging.rabbit.RECONNECT_SECONDS", 0.05)
    monkeypatch.setattr("mesh.persistence.outbox.RETRY_SECONDS", 0.05)


class Surroundings:
    """What replicas share: a facility, a database, a clock."""

    def __init__(self, mesh: Mesh, url: str, feed: Feed, stack: AsyncExitStack) -> None:
        self.mesh, self.url, self.feed, self.stack = mesh, url, feed, stack
        self.facilities, self.clock = Facilities(), Clock()
        self.place: Place = self.facilities.open()

    async def replica(
        self,
        broker: str = AMQP_URL,
        bus: EventBus | None = None,
        heartbeat_seconds: float = 0.2,
    ) -> World:
        """One instance of the service, with a bus of its own or at a broker."""
        settings = QueueSettings(
            home=self.mesh.home,
            port=0,
            database_url=self.url,
            migrate_at_start=False,
            heartbeat_seconds=heartbeat_seconds,
            drain_seconds=0.2,
        )
        world = World(self.mesh, settings, self.clock, self.facilities, self.place, self.stack)
        bus = bus or RabbitBus(broker, self.feed)
        self.stack.push_async_callback(bus.close)
        world.bus = bus  # type: ignore[assignment]
        await world.start()
        return world

    def depth(self) -> int:
        """Events that wait for the broker."""
        engine = make_engine(self.url, 1)
        with engine.connect() as connection:
            found = connection.scalar(select(func.count()).select_from(OUTBOX)) or 0
        engine.dispose()
        return found

    async def drained(self) -> None:
        await eventually(lambda: not self.depth())

    def changes(self) -> list[tuple[str, int, str, int]]:
        """The histories of all queues, when all is in order."""
        engine = make_engine(self.url, 1)
        books = ledger.books(engine)
        engine.dispose()
        for book in books:
            ledger.check(book)
        return [
            (book.queue.service_id, one.revision, one.ticket_id, one.version)
            for book in books
            for one in book.changes
        ]


@pytest.fixture
async def around(mesh: Mesh, database_url: str, feed: Feed) -> AsyncIterator[Surroundings]:
    async with AsyncExitStack() as stack:
        made = Surroundings(mesh, database_url, feed, stack)
        await stack.enter_async_context(
            mesh.double("institution_svc", (partly(FACILITIES), made.facilities))
        )
        yield made


@asynccontextmanager
async def outside(feed: Feed) -> AsyncIterator[Subscription]:
    """Another program that hears all events."""
    bus = RabbitBus(AMQP_URL, feed)
    async with bus.subscribe("#") as subscription:
        yield subscription
    await bus.close()


async def heard(subscription: Subscription, count: int) -> list[TicketEvent]:
    """So many events, and then no other one."""
    found: list[TicketEvent] = []
    for _ in range(count):
        event = await subscription.next(PATIENCE_SECONDS)
        assert event is not None, f"{len(found)} of {count} events"
        payload = TicketEvent.FromString(event.payload)
        assert event.id == payload.id
        found.append(payload)
    # One that comes later is missed: a fault may pass here, a sound service never fails.
    assert await subscription.next(0.3) is None
    return found


def entries(events: list[TicketEvent]) -> list[tuple[str, int, str, int]]:
    return [(one.service_id, one.revision, one.ticket_id, one.version) for one in events]


async def test_work_goes_on_without_the_broker(around: Surroundings, cable: Cable) -> None:
    world = await around.replica(cable.url)
    async with outside(around.feed) as subscription, board(world) as stream:
        assert (await anext(stream)).HasField("board")
        await world.take()
        assert len((await until(stream, 1))[0]) == 1
        await around.drained()
        await cable.cut()
        for _ in range(5):
            await world.take()
        called = [await world.next(counter) for counter in range(3)]
        await world.move(called[0], SERVING)
        await world.move(called[0], DONE)
        assert await world.upcoming() == ["A-004", "A-005", "A-006"]
        shown = await world.stub.GetBoard(
            live_requests.GetBoardRequest(institution_id=world.place.facility)
        )
        assert shown.services[0].waiting == 3
        assert around.depth() == 10
        # A stream of the same replica is told at once, and not again later.
        events, _ = await until(stream, 10)
        assert [one.revision for one in events] == list(range(2, 12))
        assert around.depth() == 10
        await cable.plug()
        await around.drained()
        assert entries(await heard(subscription, 11)) == around.changes()
        await world.take()
        (event,), _ = await until(stream, 1)
        assert event.revision == 12


async def test_a_service_that_starts_without_the_broker(around: Surroundings, cable: Cable) -> None:
    await cable.cut()
    world = await around.replica(cable.url)
    for _ in range(3):
        await world.take()
    await world.next()
    async with outside(around.feed) as subscription:
        await cable.plug()
        await around.drained()
        assert entries(await heard(subscription, 4)) == around.changes()


async def test_a_broker_that_comes_and_goes(around: Surroundings, cable: Cable) -> None:
    """Every event once by its identifier, and in the order of its queue."""
    world = await around.replica(cable.url)
    async with outside(around.feed) as subscription, board(world) as stream:
        assert (await anext(stream)).HasField("board")

        async def work(counter: int) -> None:
            for _ in range(12):
                await world.take()
                await world.next(counter)

        working = asyncio.gather(*(work(counter) for counter in range(4)))
        while not working.done():
            await asyncio.sleep(0.1)
            await cable.cut()
            await asyncio.sleep(0.1)
            await cable.plug()
        await working
        await around.drained()
        events = await heard(subscription, 96)
        assert len({one.id for one in events}) == 96
        assert entries(events) == around.changes()
        events, _ = await until(stream, 96)
        assert [one.revision for one in events] == list(range(1, 97))


async def test_a_stream_at_one_replica_tells_what_happens_at_the_other(
    around: Surroundings,
) -> None:
    # Without a heartbeat within the test, only the broker can bring the event.
    here, there = await around.replica(), await around.replica(heartbeat_seconds=600)
    patient = uid()
    ticket = await here.take(patient=patient)
    waiting = there.stub.WatchTicket(
        live_requests.WatchTicketRequest(id=ticket.id), metadata=there.session(patient)
    )
    async with asyncio.timeout(PATIENCE_SECONDS), board(there) as stream:
        assert (await anext(stream)).board.services[0].waiting == 1
        assert (await anext(aiter(waiting))).ticket.version == 1
        await here.next(2)
        (event,), _ = await until(stream, 1)
        assert (event.number, event.counter_name) == (ticket.number, "Loket 3")
        update = await anext(aiter(waiting))
        while update.ticket.version != 2:
            update = await anext(aiter(waiting))
        assert update.ticket.counter_name == "Loket 3"
        shown = await there.stub.GetBoard(
            live_requests.GetBoardRequest(institution_id=there.place.facility)
        )
        assert [one.number for one in shown.services[0].current] == [ticket.number]
    waiting.cancel()


class Slow(RabbitBus):
    """A bus that takes its time until it listens."""

    def __init__(self, url: str, feed: Feed) -> None:
        super().__init__(url, feed)
        self.go_on = asyncio.Event()

    @asynccontextmanager
    async def subscribe(self, pattern: str) -> AsyncIterator[Subscription]:
        await self.go_on.wait()
        async with super().subscribe(pattern) as subscription:
            yield subscription


async def test_a_stream_that_began_before_the_broker_was_reached(around: Surroundings) -> None:
    """As after a restart, when all boards come back at once."""
    bus = Slow(AMQP_URL, around.feed)
    here, there = await around.replica(), await around.replica(bus=bus)
    async with board(there) as stream:
        assert (await anext(stream)).HasField("board")
        await here.take()
        await here.take()
        await around.drained()
        bus.go_on.set()
        events, _ = await until(stream, 2)
        assert [one.revision for one in events] == [1, 2]


async def test_a_replica_that_lost_the_broker_catches_up(
    around: Surroundings, cable: Cable
) -> None:
    here, there = await around.replica(), await around.replica(cable.url)
    async with board(there) as stream:
        assert (await anext(stream)).HasField("board")
        await here.take()
        await until(stream, 1)
        await cable.cut()
        for _ in range(3):
            await here.take()
        await around.drained()
        await cable.plug()
        events, _ = await until(stream, 3)
        assert [one.revision for one in events] == [2, 3, 4]


async def test_two_replicas_share_the_work(around: Surroundings) -> None:
    """No number twice, nobody called twice, each event published once and in order."""
    both = [await around.replica(), await around.replica()]
    async with outside(around.feed) as subscription:
        taken = await asyncio.gather(*(both[number % 2].take() for number in range(40)))
        assert sorted(one.number for one in taken) == [f"A-{n:03d}" for n in range(1, 41)]
        key = uid()
        once = await asyncio.gather(
            *(world.stub.CallNextTicket(
                ticket_requests.CallNextTicketRequest(
                    request_id=key,
                    institution_id=around.place.facility,
                    service_id=around.place.service,
                    counter_id=around.place.counters[0],
                ),
                metadata=both[0].operator,
            ) for world in both)
        )  # fmt: skip
        assert once[0] == once[1]
        called = [once[0].id]
        for counters in (8, 8, 8, 8, 7):
            answers = await asyncio.gather(
                *(both[counter % 2].next(counter) for counter in range(counters))
            )
            called += [one.id for one in answers]
        assert sorted(called) == sorted(one.id for one in taken)
        assert await problem(both[1].next()) == ("NOT_FOUND", "QUEUE_EMPTY")
        await around.drained()
        assert entries(await heard(subscription, 80)) == around.changes()


async def test_midnight_comes_to_both_replicas(around: Surroundings) -> None:
    here, there = await around.replica(), await around.replica()
    around.clock.now += datetime.timedelta(hours=14, minutes=59)
    before = await here.take()
    async with board(there) as stream:
        assert (await anext(stream)).HasField("board")
        around.clock.forward(minutes=2)
        after = await here.take()
        assert before.service_day < after.service_day
        while True:
            message = await anext(stream)
            if message.HasField("board"):
                assert message.board.services[0].waiting == 2
                break
            if message.HasField("event") and message.event.ticket_id == after.id:
                break
    assert [(await there.next()).id for _ in range(2)] == [before.id, after.id]
    around.changes()
