"""The event bus: the interface, and the bus inside one process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

BUFFER_EVENTS = 1000
"""Events that wait for a slow subscriber before it is cut off."""


@dataclass(frozen=True)
class Event:
    """One event on its way. Its payload carries no personal data."""

    id: str
    """Identifier; consumers drop what they have seen."""
    topic: str
    """Dotted routing key: institution.service.event."""
    payload: bytes
    """Serialized protobuf message."""


def matches(pattern: str, topic: str) -> bool:
    """Whether a topic fits a pattern of AMQP's topic exchange: `*` is one word, `#` any number."""
    return _matches(pattern.split("."), topic.split("."))


def _matches(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_matches(pattern[1:], words[i:]) for i in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _matches(pattern[1:], words[1:])


@dataclass
class Subscription:
    """Events of one subscriber, in order."""

    pattern: str
    queue: asyncio.Queue[Event] = field(default_factory=lambda: asyncio.Queue(BUFFER_EVENTS))
    overflowed: bool = False
    """True when events were lost because the subscriber was too slow."""

    async def next(self, timeout_seconds: float) -> Event | None:
        """The next event; None when none came in time."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self.queue.get()
        except TimeoutError:
            return None


class EventBus(Protocol):
    """Fan-out of events: every subscription gets every event that fits, in order."""

    async def publish(self, event: Event) -> None:
        """Hands an event over; returns when it is safe with the bus.

        Raises:
            MeshError: UNAVAILABLE when the bus cannot take it; the caller keeps it.
        """
        ...

    def subscribe(self, pattern: str) -> AbstractAsyncContextManager[Subscription]:
        """Opens a subscription, an async context manager that yields a Subscription."""
        ...

    async def ping(self) -> None:
        """Raises when the bus cannot be reached."""
        ...


class LocalBus:
    """The bus of the embedded mesh: subscribers in the same process, nothing kept."""

    def __init__(self) -> None:
        """A bus without subscribers."""
        self._subscriptions: dict[int, Subscription] = {}

    async def publish(self, event: Event) -> None:
        """Hands the event to every subscription that fits."""
        for subscription in self._subscriptions.values():
            if matches(subscription.pattern, event.topic):
                try:
                    subscription.queue.put_nowait(event)
                except asyncio.QueueFull:
                    subscription.overflowed = True

    @asynccontextmanager
    async def subscribe(self, pattern: str) -> AsyncIterator[Subscription]:
        """Opens a subscription for as long as the block runs."""
        subscription = Subscription(pattern)
        self._subscriptions[id(subscription)] = subscription
        try:
            yield subscription
        finally:
            del self._subscriptions[id(subscription)]

    async def ping(self) -> None:
        """Always there."""
