"""Live streams: boards, tickets and counters.

Each begins with what is, goes on with what happens, and ends with a message that says why. A
cursor in every message lets a client go on where it was, here or at another replica.
"""

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from mediq.queue.v1 import queue_pb2 as messages
from mediq.queue.v1.live_service_pb2 import (
    CounterState,
    Heartbeat,
    WatchCounterResponse,
    WatchQueueResponse,
    WatchTicketResponse,
)

from mesh.clock import Clock, timestamp
from mesh.errors import MeshError, StatusCode
from mesh.observability.logs import logger
from queue_svc.application.facility_directory import Facility
from queue_svc.application.unit_of_work import UnitsOfWork
from queue_svc.domain.tickets import Ticket
from queue_svc.messages.tickets import THREE, ticket_message
from queue_svc.streaming.change_feed import (
    ChangeFeed,
    change_message,
    cursor_of,
    parse_cursor,
)
from queue_svc.streaming.stream_reader import StreamReader
from queue_svc.streaming.stream_session import StreamSession, end

MOST_STREAMS = 5000
"""Streams of one process: each holds some 50 kB, and an event must reach all of them."""
_AGAIN = frozenset(
    {StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.RESOURCE_EXHAUSTED}
)
"""Errors that pass: the client should connect again."""
Update = TypeVar("Update", WatchTicketResponse, WatchQueueResponse, WatchCounterResponse)


class StreamService:
    """Serves the streams of this process."""

    def __init__(
        self,
        units: UnitsOfWork,
        feed: ChangeFeed,
        draining: asyncio.Event,
        clock: Clock,
        token_clock: Clock,
        heartbeat_seconds: float,
    ) -> None:
        """Wires the streams.

        Args:
            units: Opens tickets and queues.
            feed: Says what happens.
            draining: Set when the server stops.
            clock: Gives the time.
            token_clock: Tells when a caller's token has ended, as it does for the server.
            heartbeat_seconds: Longest silence of a stream.
        """
        self._feed = feed
        self._draining = draining
        self._clock = clock
        self._token_clock = token_clock
        self._heartbeat_seconds = heartbeat_seconds
        self._streams = 0
        self._reader = StreamReader(units, clock)

    async def watch_queue(
        self, facility: Facility, service_id: str, cursor: str
    ) -> AsyncIterator[WatchQueueResponse]:
        """Yields what a board shows, then every event.

        Args:
            facility: The facility.
            service_id: Only this service. Empty: all.
            cursor: Where the client was; empty at first.
        """
        async with self._session(facility, math.inf) as stream:
            days = facility.days()
            seen = parse_cursor(cursor)
            missed = None if seen is None else await self._reader.missed(facility, days, seen)
            if seen is None or missed is None:
                first, seen = await self._reader.board(facility, service_id)
                yield first
            else:
                for entry in missed:
                    seen[entry.queue_id] = entry.revision
                    if service_id in ("", entry.service_id):
                        yield change_message(entry, seen)
            while True:
                for one in stream.pending():
                    entry = one.entry
                    if entry.revision <= seen.get(entry.queue_id, 0):
                        continue
                    seen[entry.queue_id] = entry.revision
                    if service_id in ("", entry.service_id):
                        yield one.message if seen == one.seen else change_message(entry, seen)
                        stream.sent()
                if (reason := stream.end_reason()) is not None:
                    yield WatchQueueResponse(end=reason, cursor=cursor_of(seen))
                    return
                if facility.days() != days:
                    days = facility.days()
                    first, seen = await self._reader.board(facility, service_id)
                    yield first
                if not await stream.wait():
                    heartbeat = Heartbeat(send_time=timestamp(self._clock()))
                    yield WatchQueueResponse(heartbeat=heartbeat, cursor=cursor_of(seen))
                    stream.sent()

    async def watch_ticket(
        self, ticket: Ticket, facility: Facility, until: float, cursor: str
    ) -> AsyncIterator[WatchTicketResponse]:
        """Yields a ticket as it is, then every change of it and of its place in the waiting list.

        Args:
            ticket: A ticket that the caller may see.
            facility: Its facility.
            until: When the caller's session ends, in seconds since the epoch.
            cursor: Where the client was; empty at first.
        """
        version = cursor.partition(".")[0]
        shown = int(version) if version.isdecimal() and len(version) < 7 else None
        async with self._session(facility, until) as stream:
            touched, woken = True, True
            while True:
                if touched:
                    ticket = await self._reader.ticket(ticket.id)
                waiting_list = await self._reader.waiting_list(ticket)
                for passed in await self._reader.versions_between(shown, ticket):
                    yield _ticket_update(ticket_message(passed, None))
                update = _ticket_update(ticket_message(ticket, waiting_list))
                if update.cursor != cursor:
                    yield update
                elif not woken:
                    heartbeat = Heartbeat(send_time=timestamp(self._clock()))
                    yield WatchTicketResponse(heartbeat=heartbeat, cursor=cursor)
                if woken is False or update.cursor != cursor:
                    stream.sent()
                shown, cursor = ticket.version, update.cursor
                if not ticket.open:
                    yield WatchTicketResponse(end=end("CLOSED", retry=False), cursor=cursor)
                    return
                if (reason := stream.end_reason()) is not None:
                    yield WatchTicketResponse(end=reason, cursor=cursor)
                    return
                touched, woken = await self._pending_of(stream, ticket)

    async def watch_counter(
        self, facility: Facility, service_id: str, counter_id: str, until: float, cursor: str
    ) -> AsyncIterator[WatchCounterResponse]:
        """Yields what an operator sees, whenever it changes.

        Args:
            facility: The facility.
            service_id: The service that the counter calls.
            counter_id: The counter.
            until: When the caller's session ends, in seconds since the epoch.
            cursor: Where the client was; empty at first.
        """
        async with self._session(facility, until) as stream:
            changed_here, woken = True, True
            while True:
                if changed_here:
                    state = await self._reader.counter_state(facility, service_id, counter_id)
                    now = _digest(state)
                    if now != cursor:
                        cursor = now
                        yield WatchCounterResponse(counter=state, cursor=cursor)
                        stream.sent()
                if not woken:
                    heartbeat = Heartbeat(send_time=timestamp(self._clock()))
                    yield WatchCounterResponse(heartbeat=heartbeat, cursor=cursor)
                    stream.sent()
                if (reason := stream.end_reason()) is not None:
                    yield WatchCounterResponse(end=reason, cursor=cursor)
                    return
                woken = await stream.wait()
                changed_service = any(
                    one.entry.service_id == service_id for one in stream.pending()
                )
                # In silence too: the order shifts as priority grows.
                changed_here = changed_service or not woken

    @asynccontextmanager
    async def _session(self, facility: Facility, until: float) -> AsyncIterator[StreamSession]:
        if self._streams >= MOST_STREAMS:
            raise MeshError(
                "too many live streams", StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS"
            )
        self._streams += 1
        stop = asyncio.create_task(self._draining.wait())
        try:
            # The following comes first: what happens after the read finds it open.
            async with self._feed.subscribe(facility.institution_id, facility.days) as subscriber:
                yield StreamSession(
                    subscriber, stop, until, self._heartbeat_seconds, self._token_clock
                )
        finally:
            self._streams -= 1
            stop.cancel()

    async def _pending_of(self, stream: StreamSession, ticket: Ticket) -> tuple[bool, bool]:
        """Waits until the ticket or its waiting list changed, or time is over: touched, woken."""
        place = ticket.queue.service.service_id
        while await stream.wait():
            entries = [one.entry for one in stream.pending()]
            if any(entry.ticket_id == ticket.id for entry in entries):
                return True, True
            if stream.end_reason() or any(entry.service_id == place for entry in entries):
                return False, True
        return False, False


async def ended(
    updates: AsyncIterator[Update], response: Callable[..., Update]
) -> AsyncIterator[Update]:
    """Passes on a stream, and says in-band when it fails.

    Args:
        updates: The stream.
        response: Type of its messages.
    """
    try:
        async for update in updates:
            yield update
    except MeshError as error:
        yield response(end=end(error.reason, retry=error.kind in _AGAIN))
    except Exception as error:
        logger().error("a live stream failed", exc_info=error)
        yield response(end=end("INTERNAL", retry=True))


def _ticket_update(message: messages.Ticket) -> WatchTicketResponse:
    parts = (
        message.version,
        message.people_ahead,
        message.estimated_wait_low.seconds,
        message.estimated_wait_high.seconds,
        message.last_called_number,
    )
    waits = message.status == messages.TicketStatus.TICKET_STATUS_WAITING
    return WatchTicketResponse(
        ticket=message,
        cursor=".".join(map(str, parts)),
        three_ahead=waits and message.people_ahead <= THREE,
    )


def _digest(state: CounterState) -> str:
    """Names a counter's state; the seconds of a wait, which pass by themselves, left out."""
    steady = CounterState()
    steady.CopyFrom(state)
    for ticket in (*steady.current, *steady.next, *steady.skipped):
        ticket.ClearField("estimated_wait")
    return hashlib.sha256(steady.SerializeToString(deterministic=True)).hexdigest()[:20]
