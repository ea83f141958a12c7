"""The outbox: order, retries, one relay at a time, on both databases; a broker that goes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy import MetaData, text
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from mesh.clock import utc_now
from mesh.errors import unavailable
from mesh.messaging.events import GAP, Event, EventBus, Feed, LocalBus, NotPublished, Subscription
from mesh.messaging.rabbit import RabbitBus
from mesh.persistence import outbox as module
from mesh.persistence.database import Database, Result
from mesh.persistence.outbox import Outbox, outbox_table
from tests.support.backends.brokers import AMQP_URL, Cable, cable, feed
from tests.support.waiting import PATIENCE_SECONDS, eventually

__all__ = ["cable", "feed"]
METADATA = MetaData()
OUTBOX = outbox_table(METADATA)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.persistence.outbox.RETRY_SECONDS", 0.02)
    monkeypatch.setattr("mesh.messaging.rabbit.RECONNECT_SECONDS", 0.05)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    METADATA.create_all(opened.engine)
    yield opened
    await opened.close()


def made(count: int) -> list[Event]:
    return [Event(str(uuid4()), f"a.b.{number}", bytes([number % 256])) for number in range(count)]


async def write(database: Database, outbox: Outbox, events: Sequence[Event]) -> None:
    await database.write(partial(outbox.add_all, events=events))
    outbox.wake()


@asynccontextmanager
async def relaying(*outboxes: Outbox) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(outbox.relay()) for outbox in outboxes]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def take(subscription: Subscription, count: int) -> list[Event | None]:
    return [await subscription.next(PATIENCE_SECONDS) for _ in range(count)]


async def empty(outbox: Outbox) -> None:

    async def happened() -> bool:
        return not await outbox.depth()

    await eventually(happened)


class Partly(LocalBus):
    """Takes some events of its first batch, then fails; keeps what it is given."""

    def __init__(self, taken: int) -> None:
        super().__init__()
        self.taken = taken
        self.given: list[list[Event]] = []

    async def publish_all(self, events: Sequence[Event]) -> None:
        self.given.append(list(events))
        if len(self.given) == 1:
            await super().publish_all(events[: self.taken])
            raise NotPublished("down", published=self.taken)
        await super().publish_all(events)


async def test_more_than_a_batch_in_order(database: Database) -> None:
    bus = LocalBus()
    outbox = Outbox(OUTBOX, database, bus, utc_now)
    events = made(250)
    async with bus.subscribe("#") as subscription, relaying(outbox):
        await write(database, outbox, events)
        assert await take(subscription, 250) == events
        await empty(outbox)


async def test_nothing_is_no_statement(database: Database) -> None:
    outbox = Outbox(OUTBOX, database, LocalBus(), utc_now)
    await write(database, outbox, [])
    assert await outbox.depth() == 0


async def test_events_of_a_change_that_failed_do_not_exist(database: Database) -> None:
    outbox = Outbox(OUTBOX, database, LocalBus(), utc_now)

    def fail(session: object) -> None:
        outbox.add(session, made(1)[0])  # type: ignore[arg-type]
        raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        await database.write(fail)
    assert await outbox.depth() == 0


async def test_only_what_the_bus_has_is_deleted(database: Database) -> None:
    bus = Partly(2)
    outbox = Outbox(OUTBOX, database, bus, utc_now)
    events = made(5)
    await write(database, outbox, events)
    async with bus.subscribe("#") as subscription, relaying(outbox):
        assert await take(subscription, 5) == events
        await empty(outbox)
    assert [len(batch) for batch in bus.given] == [5, 3]


async def test_what_was_deleted_is_not_deleted_again(tmp_path: Path) -> None:
    """SQLite gives the positions of an empty table to the events that come next."""

    class Dying(Database):
        """Does the work that deletes, then dies before it can say so."""

        dies = False

        async def write(self, work: Callable[[Session], Result]) -> Result:
            done = await super().write(work)
            if self.dies:
                self.dies = False
                await super().write(partial(outbox.add, event=late))
                raise unavailable("gone", "DATABASE_UNAVAILABLE")
            return done

    class Last(LocalBus):
        async def publish_all(self, events: Sequence[Event]) -> None:
            await super().publish_all(events)
            database.dies = early in events

    early, late = made(2)
    database = Dying(f"sqlite:///{tmp_path / 'test.db'}")
    METADATA.create_all(database.engine)
    bus = Last()
    outbox = Outbox(OUTBOX, database, bus, utc_now)
    async with bus.subscribe("#") as subscription, relaying(outbox):
        # Not through the dying one: its relay may have armed it before this write has returned.
        await write(Database(f"sqlite:///{tmp_path / 'test.db'}"), outbox, [early])
        assert await take(subscription, 2) == [early, late]
        await empty(outbox)
    await database.close()


async def test_an_event_is_published_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for the poll of a relay that nobody woke."""
    monkeypatch.setattr("mesh.persistence.outbox.IDLE_SECONDS", 10 * PATIENCE_SECONDS)
    bus = LocalBus()
    outbox = Outbox(OUTBOX, database, bus, utc_now)
    async with bus.subscribe("#") as subscription, relaying(outbox):
        for event in made(20):
            await database.write(partial(outbox.add, event=event))
            outbox.wake()
            assert await subscription.next(PATIENCE_SECONDS) == event


async def test_rows_that_nobody_announced_are_found(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.persistence.outbox.IDLE_SECONDS", 0.05)
    bus = LocalBus()
    outbox = Outbox(OUTBOX, database, bus, utc_now)
    async with bus.subscribe("#") as subscription, relaying(outbox):
        await write(database, outbox, made(1))
        await take(subscription, 1)
        # From here on the relay only polls.
        await empty(outbox)
        quiet = made(1)
        await database.write(partial(outbox.add_all, events=quiet))
        assert await take(subscription, 1) == quiet


async def test_what_it_measures(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    METADATA.create_all(database.engine)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])

    def numbers() -> dict[str, float]:
        found = {}
        data = reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for metric in resource.scope_metrics[0].metrics:
                found[metric.name] = metric.data.data_points[0].value  # type: ignore[union-attr]
        return found

    async def until(reached: Callable[[dict[str, float]], bool]) -> None:
        await eventually(lambda: reached(numbers()))

    class Down(LocalBus):
        down = True

        async def publish_all(self, events: Sequence[Event]) -> None:
            if self.down:
                raise NotPublished("down")

    bus = Down()
    outbox = Outbox(OUTBOX, database, bus, utc_now, provider.get_meter("mediq"))
    await write(database, outbox, made(150))
    async with relaying(outbox):
        await until(lambda seen: seen.get("mediq.outbox.depth") == 150)
        await until(lambda seen: seen["mediq.outbox.lag"] > 0.05)
        assert "mediq.outbox.published" not in numbers()
        bus.down = False
        await until(lambda seen: seen.get("mediq.outbox.published") == 150)
        await until(lambda seen: seen["mediq.outbox.depth"] == seen["mediq.outbox.lag"] == 0)
    provider.shutdown()
    await database.close()


class Journal(LocalBus):
    """Notes in a shared list what it publishes, slowly, and whether others do it meanwhile."""

    def __init__(self, written: list[Event], busy: list[bool]) -> None:
        super().__init__()
        self.written = written
        self.busy = busy

    async def publish_all(self, events: Sequence[Event]) -> None:
        self.busy.append(True)
        assert len(self.busy) == 1
        for event in events:
            await asyncio.sleep(0)
            self.written.append(event)
        await asyncio.sleep(0.005)
        self.busy.pop()


@pytest.mark.backends
@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
class TestReplicas:
    async def test_only_one_relays_at_a_time(self, database: Database) -> None:
        written: list[Event] = []
        busy: list[bool] = []
        outboxes = [Outbox(OUTBOX, database, Journal(written, busy), utc_now) for _ in range(3)]
        expected = []
        async with relaying(*outboxes):
            for number in range(60):
                events = made(3)
                expected += events
                await write(database, outboxes[number % 3], events)
            await empty(outboxes[0])
        assert written == expected

    async def test_every_replica_publishes_its_own_at_once(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A row does not wait for the poll of a replica that nobody woke."""
        monkeypatch.setattr("mesh.persistence.outbox.IDLE_SECONDS", 10 * PATIENCE_SECONDS)
        bus = LocalBus()
        outboxes = [Outbox(OUTBOX, database, bus, utc_now) for _ in range(2)]
        async with bus.subscribe("#") as subscription, relaying(*outboxes):
            for number in range(20):
                events = made(1)
                await write(database, outboxes[number % 2], events)
                assert await take(subscription, 1) == events

    async def test_a_turn_that_never_ends_ends_with_its_connection(
        self, database: Database
    ) -> None:
        bus = LocalBus()
        outbox = Outbox(OUTBOX, database, bus, utc_now)
        with database.engine.connect() as hung, database.engine.connect() as killer:
            assert hung.execute(module._TAKE_LOCK, {"outbox": OUTBOX.name}).scalar_one() == 1
            identifier = hung.execute(text("SELECT CONNECTION_ID()")).scalar_one()
            events = made(2)
            async with bus.subscribe("#") as subscription, relaying(outbox):
                await write(database, outbox, events)
                # Longer than a try for the turn. A fault may be missed on a slow machine.
                assert await subscription.next(1.5) is None
                assert await outbox.depth() == 2
                killer.execute(text(f"KILL {identifier}"))
                assert await take(subscription, 2) == events
            hung.invalidate()

    async def test_the_relay_survives_the_loss_of_its_connection(self, database: Database) -> None:
        bus = LocalBus()
        outbox = Outbox(OUTBOX, database, bus, utc_now)
        with database.engine.connect() as own:
            others = text(
                "SELECT id FROM information_schema.processlist "
                "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            )
            async with bus.subscribe("#") as subscription, relaying(outbox):
                await write(database, outbox, made(1))
                await take(subscription, 1)
                await empty(outbox)
                for identifier in own.execute(others).scalars().all():
                    own.execute(text(f"KILL {identifier}"))
                events = made(3)
                await write(database, outbox, events)
                assert await take(subscription, 3) == events


@pytest.mark.backends
async def test_a_broker_that_was_away_gets_everything_in_order(
    database: Database, feed: Feed, cable: Cable
) -> None:
    bus: EventBus = RabbitBus(cable.url, feed)
    outbox = Outbox(OUTBOX, database, bus, utc_now)
    events = made(300)
    async with bus.subscribe("#") as subscription, relaying(outbox):
        await write(database, outbox, events[:10])
        assert await take(subscription, 10) == events[:10]
        await empty(outbox)
        await cable.cut()
        with capture_logs() as logs:
            for start in range(10, 300, 29):
                await write(database, outbox, events[start : start + 29])
            tried = len(logs)
            await eventually(lambda: len(logs) > tried + 2)
        assert logs[-1]["event"] == "events wait"
        assert await outbox.depth() == 290
        await cable.plug()
        found = await take(subscription, 291)
        assert found[0] is not None
        assert found[0].topic == GAP
        assert found[1:] == events[10:]
        await empty(outbox)
        last = made(1)
        await write(database, outbox, last)
        assert await take(subscription, 1) == last
    await bus.close()


@pytest.mark.backends
async def test_a_broker_that_goes_in_the_middle_loses_nothing(
    database: Database, feed: Feed, cable: Cable
) -> None:
    """Another process hears each event once and in order, however often the relay begins again."""
    bus = RabbitBus(cable.url, feed)
    listener = RabbitBus(AMQP_URL, feed)
    outbox = Outbox(OUTBOX, database, bus, utc_now)
    events = made(900)
    async with listener.subscribe("#") as subscription, relaying(outbox):
        writing = asyncio.create_task(write_slowly(database, outbox, events))
        for _ in range(3):
            await asyncio.sleep(0.1)
            await cable.cut()
            await asyncio.sleep(0.1)
            await cable.plug()
        await writing
        assert await take(subscription, 900) == events
        await empty(outbox)
        last = made(1)
        await write(database, outbox, last)
        assert await take(subscription, 1) == last
    await bus.close()
    await listener.close()


async def write_slowly(database: Database, outbox: Outbox, events: Sequence[Event]) -> None:
    for start in range(0, len(events), 30):
        await write(database, outbox, events[start : start + 30])
        await asyncio.sleep(0.01)
