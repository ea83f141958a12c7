"""The clockwork of a live stream: what is pending, heartbeats, and why it ends."""

import asyncio
import random
import time
from collections.abc import Sequence

from mediq.queue.v1.live_service_pb2 import StreamEnd

from mesh.clock import Clock, Monotonic
from queue_svc.streaming.change_feed import EncodedEvent, Subscriber

LIFE_SECONDS = 600.0
"""How long a stream lives before it asks its client to connect again, to spread the load again."""


class StreamSession:
    """Keeps the times of one stream."""

    def __init__(
        self,
        subscriber: Subscriber,
        stop: asyncio.Task[bool],
        until: float,
        heartbeat_seconds: float,
        clock: Clock,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        """Begins a stream.

        Args:
            subscriber: Gives what is pending.
            stop: Done when the server stops.
            until: When the caller's session ends, in seconds since the epoch.
            heartbeat_seconds: Longest silence.
            clock: Tells when the session has ended: the clock that tokens are checked by.
            monotonic: Tells when a heartbeat is due, and when to connect again.
        """
        self._subscriber = subscriber
        self._stop = stop
        self._until = until
        self._heartbeat_seconds = heartbeat_seconds
        self._clock = clock
        self._monotonic = monotonic
        self._slow = False
        self._heartbeat_due = monotonic() + heartbeat_seconds
        # Not all at once: streams that began together would come back together.
        life = LIFE_SECONDS * random.uniform(0.8, 1)  # noqa: S311  # nosec B311 # spreads renewals
        self._renew = monotonic() + life

    def pending(self) -> Sequence[EncodedEvent]:
        """Returns what happened since the last time."""
        found = self._subscriber.take()
        self._slow = self._slow or found is None
        return found or ()

    def end_reason(self) -> StreamEnd | None:
        """Returns why the stream ends now; None when it goes on."""
        if self._stop.done():
            return end("SHUTTING_DOWN", retry=True)
        if self._slow:
            return end("SLOW_CONSUMER", retry=True)
        if self._until <= self._clock().timestamp():
            return end("TOKEN_EXPIRED", retry=True)
        if self._renew <= self._monotonic():
            return end("RENEW", retry=True)
        return None

    def sent(self) -> None:
        """Puts the next heartbeat off: something was sent."""
        self._heartbeat_due = self._monotonic() + self._heartbeat_seconds

    async def wait(self) -> bool:
        """Waits for something new; False when a heartbeat is due, or the stream is over."""
        now = self._monotonic()
        left = min(
            self._until - self._clock().timestamp(), self._renew - now, self._heartbeat_due - now
        )
        return await self._subscriber.wait(max(0.0, left), self._stop)


def end(reason: str, *, retry: bool) -> StreamEnd:
    """Returns why a stream ends, and whether the client should connect again."""
    return StreamEnd(reason=reason, retry=retry)
