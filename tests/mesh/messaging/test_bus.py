"""The event bus: one contract in the process and over RabbitMQ, and what only a broker can do."""

import asyncio
import datetime
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from cachetools import LRUCache
from cloudevents.core.bindings import amqp
from cloudevents.core.formats.json import JSONFormat

from mesh.backends import make_bus
from mesh.errors import MeshError, StatusCode
from mesh.messaging.events import (
    BUFFER_EVENTS,
    GAP,
    Event,
    EventBus,
    Feed,
    LocalBus,
    NotPublished,
    Subscription,
)
from mesh.messaging.rabbit import RabbitBus, message_of
from tests.support.backends.brokers import AMQP_URL, Cable, cable, feed, own_feed
from tests.support.waiting import PATIENCE_SECONDS, eventually

__all__ = ["cable", "feed"]


def event(topic: str, payload: bytes = b"x") -> Event:
    return Event(str(uuid4()), topic, payload)


async def take(subscription: Subscription, count: int) -> list[Event]:
    found = [await subscription.next(PATIENCE_SECONDS) for _ in range(count)]
    return [one for one in found if one is not None]


@pytest.fixture
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[EventBus]:
    if request.param == "local":
        yield LocalBus()
        return
    async with own_feed() as feed:
        made = RabbitBus(AMQP_URL, feed)
        yield made
        await made.close()


@pytest.mark.parametrize(
    "bus", ["local", pytest.param("rabbitmq", marks=pytest.mark.backends)], indirect=True
)
class TestBus:
    async def test_every_subscription_gets_what_fits(self, bus: EventBus) -> None:
        async with bus.subscribe("a.*.called") as calls, bus.subscribe("#") as everything:
            made = [event("a.b.called"), event("a.b.issued"), event("b.b.called")]
            for one in made:
                await bus.publish(one)
            assert await take(everything, 3) == made
            assert await take(calls, 1) == made[:1]
            last = event("a.c.called")
            await bus.publish(last)
            assert await take(calls, 1) == [last]

    async def test_a_batch_keeps_its_order(self, bus: EventBus) -> None:
        async with bus.subscribe("#") as subscription:
            made = [event(f"a.b.{number}", bytes([number])) for number in range(200)]
            await bus.publish_all(made)
            assert await take(subscription, 200) == made

    async def test_subscriptions_share_a_pattern(self, bus: EventBus) -> None:
        async with bus.subscribe("a.#") as staying:
            async with bus.subscribe("a.#") as leaving:
                await bus.publish(event("a.b.1"))
                assert len(await take(leaving, 1)) == 1
            await bus.publish(event("a.b.2"))
            assert [one.topic for one in await take(staying, 2)] == ["a.b.1", "a.b.2"]
        await bus.publish(event("a.b.3"))

    async def test_a_slow_subscriber_gets_a_gap_and_the_newest(self, bus: EventBus) -> None:
        async with bus.subscribe("#") as slow, bus.subscribe("b.last") as last:
            made = [event(f"a.{number}") for number in range(BUFFER_EVENTS + 1)]
            await bus.publish_all([*made, event("b.last")])
            assert len(await take(last, 1)) == 1
            assert slow.overflowed
            assert [one.topic for one in await take(slow, 3)] == [GAP, made[-1].topic, "b.last"]
            assert not last.overflowed

    async def test_it_answers(self, bus: EventBus) -> None:
        await bus.ping()


@pytest.fixture
async def rabbit(feed: Feed) -> AsyncIterator[RabbitBus]:
    made = RabbitBus(AMQP_URL, feed)
    yield made
    await made.close()


@pytest.fixture
async def wired(
    feed: Feed, cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RabbitBus]:
    """A bus whose cable can be cut."""
    monkeypatch.setattr("mesh.messaging.rabbit.RECONNECT_SECONDS", 0.05)
    made = RabbitBus(cable.url, feed)
    yield made
    await made.close()


async def publish_until_taken(bus: EventBus, made: Event) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await bus.publish(made)
            except MeshError:
                await asyncio.sleep(0.05)


@pytest.mark.backends
class TestRabbit:
    async def test_processes_hear_each_other(self, feed: Feed, rabbit: RabbitBus) -> None:
        other = RabbitBus(AMQP_URL, feed)
        async with rabbit.subscribe("#") as here, other.subscribe("#") as there:
            made = event("a.b.called")
            await other.publish(made)
            assert await take(here, 1) == await take(there, 1) == [made]
        await other.close()

    async def test_what_comes_twice_is_given_once(
        self, rabbit: RabbitBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rabbit, "_seen", LRUCache(2))
        async with rabbit.subscribe("#") as subscription:
            one, two, three = (event(f"a.b.{number}") for number in range(3))
            await rabbit.publish_all([one, one, two, one, three])
            assert await take(subscription, 3) == [one, two, three]
            # Only so many are remembered.
            await rabbit.publish(one)
            assert await take(subscription, 1) == [one]

    async def test_an_outside_subscriber_gets_a_cloud_event(
        self, feed: Feed, rabbit: RabbitBus
    ) -> None:
        await rabbit.ping()
        got: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        async with await aio_pika.connect(AMQP_URL) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(feed.exchange, "*.*.called")
            await queue.consume(got.put, no_ack=True)
            made = event("rsud.poli.called", b"\x08\xff")
            await rabbit.publish_all([event("rsud.poli.issued"), made])
            message = await got.get()
        assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
        assert message.routing_key == made.topic
        assert message.body == made.payload
        binary = amqp.AMQPMessage(
            {"content-type": message.content_type}, dict(message.headers), message.body
        )
        cloud = amqp.from_binary(binary, JSONFormat())
        assert message.message_id == cloud.get_id() == made.id
        assert cloud.get_specversion() == "1.0"
        assert cloud.get_source() == "/mediq/queue_svc"
        assert cloud.get_type() == "mediq.queue.v1.TicketEvent.called"
        assert cloud.get_subject() == "rsud.poli"
        assert cloud.get_datacontenttype() == "application/protobuf"
        schema = "https://type.googleapis.com/mediq.queue.v1.TicketEvent"
        assert cloud.get_dataschema() == schema
        assert cloud.get_time() == made.time

    async def test_the_exchange_outlives_its_users(self, feed: Feed, rabbit: RabbitBus) -> None:
        await rabbit.ping()
        await rabbit.close()
        async with await aio_pika.connect(AMQP_URL) as connection:
            channel = await connection.channel()
            kind = aio_pika.ExchangeType.TOPIC
            await channel.declare_exchange(feed.exchange, kind, durable=True)

    async def test_an_event_without_a_queue_is_refused_and_the_queue_comes_back(
        self, feed: Feed, rabbit: RabbitBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mesh.messaging.rabbit.RECONNECT_SECONDS", 0.05)
        async with rabbit.subscribe("#") as subscription:
            async with await aio_pika.connect(AMQP_URL) as connection:
                channel = await connection.channel()
                await channel.exchange_delete(feed.exchange)
                kind = aio_pika.ExchangeType.TOPIC
                await channel.declare_exchange(feed.exchange, kind, durable=True)
            made = event("a.b.called")
            with pytest.raises(NotPublished) as caught:
                await rabbit.publish_all([made, event("a.b.done")])
            assert caught.value.kind is StatusCode.UNAVAILABLE
            assert (caught.value.reason, caught.value.published) == ("EVENT_UNROUTABLE", 0)
            await publish_until_taken(rabbit, made)
            assert [one.topic for one in await take(subscription, 2)] == [GAP, made.topic]

    async def test_an_event_that_the_broker_refuses(self, feed: Feed, rabbit: RabbitBus) -> None:
        await rabbit.ping()
        async with await aio_pika.connect(AMQP_URL) as connection:
            channel = await connection.channel()
            full: dict[str, Any] = {"x-max-length": 0, "x-overflow": "reject-publish"}
            queue = await channel.declare_queue(exclusive=True, arguments=full)
            await queue.bind(feed.exchange, "a.full")
            with pytest.raises(NotPublished) as caught:
                await rabbit.publish_all([event(f"a.{word}") for word in ("b", "c", "full", "d")])
        assert (caught.value.reason, caught.value.published) == ("EVENT_REFUSED", 2)

    async def test_what_waits_when_the_connection_is_closed(
        self, rabbit: RabbitBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The client fails it with an Exception that says nothing, once in some hundred times."""

        async def publish(*_: object, **__: object) -> None:
            raise Exception

        await rabbit.ping()
        monkeypatch.setattr(aio_pika.Exchange, "publish", publish)
        with pytest.raises(NotPublished, match="BROKER_UNAVAILABLE"):
            await rabbit.publish(event("a.b.called"))

    async def test_subscribers_of_a_lost_connection_get_a_gap(
        self, wired: RabbitBus, cable: Cable
    ) -> None:
        async with wired.subscribe("a.b.called") as subscription:
            await wired.publish(event("a.b.called"))
            assert len(await take(subscription, 1)) == 1
            await cable.cut()
            with pytest.raises(NotPublished, match="BROKER_UNAVAILABLE"):
                await wired.publish(event("a.b.called"))
            with pytest.raises(MeshError, match="BROKER_UNAVAILABLE"):
                await wired.ping()
            await cable.plug()
            made = event("a.b.called")
            await publish_until_taken(wired, made)
            gap, back = await take(subscription, 2)
            assert (gap.topic, back) == (GAP, made)

    async def test_what_the_broker_confirmed_before_the_loss_is_counted(
        self, wired: RabbitBus, cable: Cable
    ) -> None:
        await wired.ping()
        batch = [event("a.b") for _ in range(2000)]
        before = cable.passed
        publishing = asyncio.ensure_future(wired.publish_all(batch))
        await eventually(lambda: cable.passed > before, every_seconds=0)
        await cable.cut()
        with pytest.raises(NotPublished) as caught:
            await publishing
        assert caught.value.reason == "BROKER_UNAVAILABLE"
        assert 0 <= caught.value.published < 2000

    async def test_it_starts_without_the_broker(self, wired: RabbitBus, cable: Cable) -> None:
        await cable.cut()
        async with asyncio.timeout(PATIENCE_SECONDS), wired.subscribe("#") as subscription:
            with pytest.raises(NotPublished, match="BROKER_UNAVAILABLE"):
                await wired.publish(event("a.b"))
            await cable.plug()
            assert [one.topic for one in await take(subscription, 1)] == [GAP]
            await wired.ping()

    async def test_a_queue_that_was_deleted_comes_back(
        self, rabbit: RabbitBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The broker cancels the consumer of a queue that an operator deletes."""
        monkeypatch.setattr("mesh.messaging.rabbit.RECONNECT_SECONDS", 0.05)
        async with rabbit.subscribe("#") as subscription:
            assert isinstance(rabbit._exchange, aio_pika.Exchange)
            # No name stands for the queue that was declared last.
            await rabbit._exchange.channel.queue_delete("")
            assert [one.topic for one in await take(subscription, 1)] == [GAP]

    async def test_a_password_that_is_refused(self, feed: Feed) -> None:
        bus = RabbitBus(AMQP_URL.replace("guest:guest", "guest:wrong"), feed)
        with pytest.raises(MeshError, match="BROKER_UNAVAILABLE"):
            await bus.ping()
        await bus.close()


@pytest.mark.parametrize("url", ["http://h/", "localhost", "amqp:", "amqp://guest:secret@h:port/"])
def test_what_is_no_amqp_url(url: str) -> None:
    with pytest.raises(RuntimeError, match="no URL") as caught:
        make_bus(url, Feed("e", "/s", "m"))
    assert "secret" not in str(caught.value)


def test_without_a_url_the_client_is_not_imported() -> None:
    code = (
        "import sys; from mesh.backends import make_bus; from mesh.messaging.events import Feed;"
        "make_bus('', Feed('e', '/s', 'm'));"
        "sys.exit(any(name in sys.modules for name in ('aio_pika', 'cloudevents')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_time_travels_as_text() -> None:
    moment = datetime.datetime(2026, 3, 2, 2, 0, 0, 123456, tzinfo=datetime.UTC)
    sent = message_of(Feed("e", "/s", "m"), Event("1", "a.b.c", b"", moment))
    assert sent.headers["cloudEvents_time"] == "2026-03-02T02:00:00.123456+00:00"
