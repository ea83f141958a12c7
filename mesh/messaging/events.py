"""The event bus: the interface, and the bus inside one process."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from mesh.clock import utc_now
from mesh.errors import MeshError, StatusCode

__all__ = [
    "GAP",
    "Event",
    "EventBus",
    "Feed",
    "LocalBus",
    "NotPublished",
    "Publisher",
    "Subscription",
    "Unreadable",
    "matches",
]

BUFFER_EVENTS = 1000
"""Events that wait for a slow subscriber before they are dropped for a gap."""
GAP = "gap"
"""Topic of the event that tells a subscriber: something may have been missed, read again."""


@dataclass(frozen=True)
class Event:
    """Holds one event on its way. Its payload carries no personal data."""

    id: str
    """Identifier; consumers drop what they have seen."""
    topic: str
    """Dotted routing key: institution.service.event."""
    payload: bytes
    """Serialized protobuf message."""
    time: datetime.datetime = field(default_factory=utc_now, compare=False)
    """When it was made, UTC; of a received event, when it came."""


@dataclass(frozen=True)
class Feed:
    """Describes what a bus between processes carries: one kind of message of one service."""

    exchange: str
    """Name of the topic exchange."""
    source: str
    """Who sends, the `source` of CloudEvents, such as /mediq/queue_svc."""
    message: str
    """Full name of the protobuf message in every payload."""


@dataclass
class NotPublished(MeshError):
    """Says that the bus did not take all events of a batch."""

    kind: StatusCode = StatusCode.UNAVAILABLE
    reason: str = "BROKER_UNAVAILABLE"
    published: int = 0
    """Events at the front of the batch that are safe with the bus."""


@dataclass
class Unreadable(MeshError):
    """Says that some events of a batch cannot be read; the bus has all others."""

    reason: str = "EVENT_UNREADABLE"
    event_ids: Collection[str] = ()
    """Those that it has not."""


def matches(pattern: str, topic: str) -> bool:
    """Returns whether a topic fits a pattern: `*` is one word, `#` any number, as in AMQP."""
    return _matches(pattern.split("."), topic.split("."))


def _matches(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_matches(pattern[1:], words[i:]) for i in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _matches(pattern[1:], words[1:])


@dataclass
class Subscription:
    """Holds the events of one subscriber, in order."""

    pattern: str
    queue: asyncio.Queue[Event] = field(default_factory=lambda: asyncio.Queue(BUFFER_EVENTS))
    overflowed: bool = False
    """True when events were lost because the subscriber was too slow."""

    async def next(self, timeout_seconds: float) -> Event | None:
        """Waits for the next event, which may be a GAP; None when none came in time."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self.queue.get()
        except TimeoutError:
            return None

    def put(self, event: Event) -> None:
        """Hands an event over. When the buffer is full, a GAP takes the place of what is in it."""
        if self.queue.full():
            self.overflowed = True
            while not self.queue.empty():
                self.queue.get_nowait()
            self.queue.put_nowait(Event("", GAP, b""))
        self.queue.put_nowait(event)


class Publisher(Protocol):
    """Takes events over."""

    async def publish_all(self, events: Sequence[Event]) -> None:
        """Hands events over in order, without waiting for each; returns when all are safe.

        Raises:
            NotPublished: Says how many from the front are safe; the caller keeps the others.
            Unreadable: Says which ones it cannot read; all others are safe.
            MeshError: None is safe for sure; the caller keeps all.
        """
        ...


class EventBus(Publisher, Protocol):
    """Hands every event to every subscription that it fits, in order of publication.

    A subscription that may have missed something, because it was too slow or because the broker
    could not be reached for a while, gets an event with the topic GAP: what the subscriber has
    derived from events it reads again from the source. Nothing is repeated by the bus.
    """

    async def publish(self, event: Event) -> None:
        """Hands an event over; returns when it is safe with the bus.

        Raises:
            MeshError: UNAVAILABLE when the bus cannot take it; the caller keeps it.
        """
        ...

    def subscribe(self, pattern: str) -> AbstractAsyncContextManager[Subscription]:
        """Opens a subscription, an async context manager that yields a Subscription.

        Does not fail when a broker cannot be reached: a GAP comes when it can.
        """
        ...

    async def ping(self) -> None:
        """Asks whether the bus can be reached.

        Raises:
            MeshError: UNAVAILABLE when it cannot.
        """
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...


class LocalBus:
    """Hands events to subscribers in the same process, and keeps nothing."""

    def __init__(self) -> None:
        """Starts without subscribers."""
        self._subscriptions: dict[str, list[Subscription]] = {}
        """By pattern: an event is compared once with a pattern that many streams share."""

    async def publish(self, event: Event) -> None:
        self.hand_out(event)

    async def publish_all(self, events: Sequence[Event]) -> None:
        for event in events:
            await self.publish(event)

    def hand_out(self, event: Event) -> None:
        """Hands an event to every subscription that fits; a GAP fits all."""
        for pattern, subscriptions in self._subscriptions.items():
            if event.topic == GAP or matches(pattern, event.topic):
                for subscription in subscriptions:
                    subscription.put(event)

    @asynccontextmanager
    async def subscribe(self, pattern: str) -> AsyncIterator[Subscription]:
        """Opens a subscription for as long as the block runs."""
        subscription = Subscription(pattern)
        same = self._subscriptions.setdefault(pattern, [])
        same.append(subscription)
        try:
            yield subscription
        finally:
            same.remove(subscription)
            if not same:
                del self._subscriptions[pattern]

    async def ping(self) -> None:
        """Does nothing: the bus is always there."""

    async def close(self) -> None:
        """Holds nothing."""
