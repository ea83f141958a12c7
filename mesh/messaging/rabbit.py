"""The event bus over RabbitMQ: one topic exchange, one queue and one consumer a process."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from aio_pika.connection import make_url
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, DeliveryError, PublishError
from cachetools import LRUCache
from cloudevents.core.bindings import amqp
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from opentelemetry.metrics import Meter

from mesh.background import run_periodically
from mesh.messaging.events import GAP, Event, Feed, LocalBus, NotPublished, Subscription
from mesh.observability.logs import logger
from mesh.observability.metrics import NO_METRICS

__all__ = [
    "CONTENT_TYPE",
    "TYPE_URL",
    "RabbitBus",
    "message_of",
    "type_of",
]

CONNECT_SECONDS = 3.0
"""Longest time for a connection with its queue."""
RECONNECT_SECONDS = 1.0
PUBLISH_SECONDS = 5.0
"""Longest time for the broker's confirmation of an event."""
CLOSE_SECONDS = 1.0
HEARTBEAT_SECONDS = 10
"""A broker that is silent for two of them is gone."""
SEEN_EVENTS = 10_000
"""Identifiers that are remembered, to drop what the relay sends again."""
CONTENT_TYPE = "application/protobuf"
"""The `datacontenttype` of every event."""
TYPE_URL = "https://type.googleapis.com/"
"""Where protobuf's own type URLs begin: the `dataschema` of an event."""

# For each loss the client logs several lines with tracebacks; the bus says it in one.
for _name in ("aiormq", "aio_pika"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


def type_of(feed: Feed, topic: str) -> str:
    """Returns the CloudEvents type of an event: the message and the topic's last word."""
    return f"{feed.message}.{topic.rpartition('.')[2]}"


def message_of(feed: Feed, event: Event) -> aio_pika.Message:
    """Makes a persistent AMQP message of an event, a CloudEvent in binary mode."""
    cloud = CloudEvent(
        {
            "id": event.id,
            "source": feed.source,
            "type": type_of(feed, event.topic),
            "subject": event.topic.rpartition(".")[0],
            "time": event.time,
            "datacontenttype": CONTENT_TYPE,
            "dataschema": f"{TYPE_URL}{feed.message}",
        },
        event.payload,
    )
    binary = amqp.to_binary(cloud, JSONFormat())
    # The binding counts milliseconds as AMQP 1.0 does; times of AMQP 0-9-1 are whole seconds, so
    # the time travels in its text form, which every reader must take too.
    headers = binary.application_properties | {"cloudEvents_time": event.time.isoformat()}
    return aio_pika.Message(
        event.payload,
        headers=headers,
        content_type=CONTENT_TYPE,
        message_id=event.id,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


class RabbitBus:
    """Hands events to the processes of a mesh: see `mesh.messaging.events.EventBus`.

    Connects at the first use and again after every loss. aio-pika's own robust connection would
    declare the same exclusive queue again, which the broker refuses for as long as it takes the
    lost connection for alive; here every connection has a new queue.
    """

    def __init__(self, url: str, feed: Feed, meter: Meter = NO_METRICS) -> None:
        """Connects on demand.

        Args:
            url: amqp://user:password@host:port/vhost, or amqps.
            feed: What the bus carries.
            meter: Makes the instrument of the connection.

        Raises:
            RuntimeError: That is no AMQP URL.
        """
        try:
            self._url = make_url(url)
            valid = self._url.scheme in ("amqp", "amqps") and bool(self._url.host)
        except ValueError:
            valid = False
        if not valid:
            # Without the value: it may hold a password.
            raise RuntimeError("the broker's address is no URL such as amqp://user:password@host/")
        self._feed = feed
        self._local = LocalBus()
        self._seen: LRUCache[str, None] = LRUCache(SEEN_EVENTS)
        self._exchange: AbstractExchange | None = None
        self._lost = asyncio.Event()
        """Set when the connection, or the queue on it, is of no use any more."""
        self._tried = asyncio.Event()
        """Set when the first connection stands or has failed."""
        self._missed = False
        """Whether there was a time without a queue since the first try."""
        self._task: asyncio.Task[None] | None = None
        self._connected = meter.create_gauge(
            "mediq.bus.connected", description="1 when events come from the broker, otherwise 0."
        )
        self._connected.set(0)

    async def publish(self, event: Event) -> None:
        await self.publish_all([event])

    async def publish_all(self, events: Sequence[Event]) -> None:
        exchange = await self._open()
        sends = (self._send(exchange, event) for event in events)
        # The sends start one after the other, and so they reach the channel in order.
        results = await asyncio.gather(*sends, return_exceptions=True)
        for number, result in enumerate(results):
            if result is not None:
                raise self._refusal(result, number) from result

    @asynccontextmanager
    async def subscribe(self, pattern: str) -> AsyncIterator[Subscription]:
        async with self._local.subscribe(pattern) as subscription:
            await self._try()
            yield subscription

    async def ping(self) -> None:
        await self._open()

    async def close(self) -> None:
        """Ends the connection."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _try(self) -> None:
        """Starts connecting; waits for the first attempt, never for a later one."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_connected())
        await self._tried.wait()

    async def _open(self) -> AbstractExchange:
        await self._try()
        if self._exchange is None:
            raise NotPublished("the broker does not answer")
        return self._exchange

    async def _keep_connected(self) -> None:
        await run_periodically(self._connect_until_lost, RECONNECT_SECONDS)

    async def _connect_until_lost(self) -> None:
        try:
            await self._stay_connected()
        except Exception as error:
            if not self._missed:
                logger().warning("events wait for the broker", error=type(error).__name__)
        self._missed = True
        self._tried.set()

    async def _stay_connected(self) -> None:
        connection = await aio_pika.connect(
            self._url,
            timeout=CONNECT_SECONDS,
            heartbeat=HEARTBEAT_SECONDS,
            client_properties={"connection_name": self._feed.source},
        )
        self._lost = lost = asyncio.Event()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                channel = await connection.channel(on_return_raises=True)
                channel.close_callbacks.add(lambda *_: lost.set())
                # An operator may delete the queue: the broker then cancels the consumer.
                underlay = await channel.get_underlay_channel()
                underlay.on_consumer_cancel_callbacks.add(lambda _: lost.set())
                exchange = await channel.declare_exchange(
                    self._feed.exchange, aio_pika.ExchangeType.TOPIC, durable=True
                )
                queue = await channel.declare_queue(exclusive=True, auto_delete=True)
                await queue.bind(exchange, "#")
                await queue.consume(self._receive, no_ack=True)
            self._exchange = exchange
            self._connected.set(1)
            if self._missed:
                logger().info("the broker is back")
                self._local.hand_out(Event("", GAP, b""))
            self._missed = False
            self._tried.set()
            await lost.wait()
            logger().warning("the connection to the broker is lost")
        finally:
            self._exchange = None
            self._connected.set(0)
            with suppress(*CONNECTION_EXCEPTIONS):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await connection.close()

    async def _send(self, exchange: AbstractExchange, event: Event) -> None:
        message = message_of(self._feed, event)
        await exchange.publish(message, event.topic, mandatory=True, timeout=PUBLISH_SECONDS)

    def _refusal(self, error: BaseException, published: int) -> BaseException:
        """Returns what a failed send means for the batch; a mistake of ours stays what it is."""
        if isinstance(error, PublishError):
            # Our own queue takes everything: somebody has removed it or its binding.
            self._lost.set()
            return NotPublished(
                "no queue takes the event", reason="EVENT_UNROUTABLE", published=published
            )
        if isinstance(error, DeliveryError):
            return NotPublished(
                "the broker refused the event", reason="EVENT_REFUSED", published=published
            )
        # When the connection goes, what waits is cancelled, or fails with an Exception that says
        # nothing (aiormq's FutureStore.reject_all).
        if isinstance(error, (*CONNECTION_EXCEPTIONS, asyncio.CancelledError)) or (
            type(error) is Exception
        ):
            return NotPublished("the broker does not answer", published=published)
        return error

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        identifier = message.message_id or ""
        if identifier in self._seen:
            return
        self._seen[identifier] = None
        self._local.hand_out(Event(identifier, message.routing_key or "", message.body))
