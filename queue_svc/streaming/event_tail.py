"""The stream of all events, for operations."""

import asyncio
import re
from collections.abc import AsyncIterator

from mediq.queue.v1.event_pb2 import TicketEvent
from mediq.queue.v1.live_service_pb2 import Heartbeat, StreamEnd, WatchEventsResponse

from mesh.clock import Clock, timestamp
from mesh.errors import invalid
from mesh.messaging.events import GAP, Event, EventBus, Subscription

ALL = "#"
MAX_WORDS = 9
"""Words of a pattern. A routing key has three; each # makes the comparison dearer."""
_WORD = re.compile(r"\*|#|[A-Za-z0-9_-]+")


def pattern_of(text: str) -> str:
    """Returns a pattern of routing keys; everything when the text is empty.

    Raises:
        MeshError: INVALID_ARGUMENT with reason PATTERN_INVALID.
    """
    words = (text or ALL).split(".")
    if len(words) > MAX_WORDS or not all(_WORD.fullmatch(word) for word in words):
        raise invalid(
            "pattern",
            f"up to {MAX_WORDS} words with dots between them: letters, digits, _, -, or * or #",
            "PATTERN_INVALID",
        )
    return ".".join(words)


async def tail_events(
    bus: EventBus,
    pattern: str,
    draining: asyncio.Event,
    clock: Clock,
    heartbeat_seconds: float,
) -> AsyncIterator[WatchEventsResponse]:
    """Yields the events as they come; heartbeats in silence; the last message says why it ends.

    Args:
        bus: Gives the events.
        pattern: Routing keys, institution.service.event; `*` is one word, `#` any number.
        draining: Set when the server stops.
        clock: Gives the time.
        heartbeat_seconds: Longest silence.

    Raises:
        MeshError: INVALID_ARGUMENT with reason PATTERN_INVALID, before the first message.
    """
    async with bus.subscribe(pattern_of(pattern)) as subscription:
        stop = asyncio.create_task(draining.wait())
        try:
            while not draining.is_set():
                event = await _next(subscription, stop, heartbeat_seconds)
                if subscription.overflowed:
                    yield _end("SLOW_CONSUMER")
                    return
                if event is not None and event.topic == GAP:
                    yield _end("EVENTS_MISSED")
                    return
                if event is not None:
                    yield WatchEventsResponse(event=TicketEvent.FromString(event.payload))
                elif not draining.is_set():
                    heartbeat = Heartbeat(send_time=timestamp(clock()))
                    yield WatchEventsResponse(heartbeat=heartbeat)
            yield _end("SHUTTING_DOWN")
        finally:
            stop.cancel()


async def _next(
    subscription: Subscription, stop: asyncio.Task[bool], seconds: float
) -> Event | None:
    """Returns the next event; None when the time is over or the server stops."""
    waiting = asyncio.create_task(subscription.next(seconds))
    try:
        await asyncio.wait({waiting, stop}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        waiting.cancel()


def _end(reason: str) -> WatchEventsResponse:
    return WatchEventsResponse(end=StreamEnd(reason=reason, retry=True))
