"""Live streams of tickets."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from functools import reduce

from mediq.queue.v1 import queue_pb2 as messages
from mediq.queue.v1.queue_service_pb2 import Heartbeat, StreamEnd, WatchTicketResponse
from sqlalchemy.orm import Session

from mesh.errors import Kind, MeshError, not_found
from mesh.events import Event, EventBus, Subscription
from mesh.logs import logger
from mesh.storage import Database
from mesh.times import timestamp
from queue_svc.domain.days import Clock
from queue_svc.domain.tickets import Reach, Ticket, as_issued, changed
from queue_svc.store import OpenTickets
from queue_svc.translation import described, ticket_message, topic_of

Seen = tuple[Ticket, messages.Ticket]
_AGAIN = frozenset({Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED, Kind.RESOURCE_EXHAUSTED})
"""Errors that pass: the client should connect again."""


class _Loader:
    """Loads the tickets of all watchers together.

    An event wakes everyone who watches a queue. What they ask for while one load runs is one more
    load, however many they are.
    """

    def __init__(self, database: Database, tickets: OpenTickets, clock: Clock) -> None:
        self._database = database
        self._tickets = tickets
        self._clock = clock
        self._wanted: dict[str, asyncio.Future[Seen]] = {}
        self._task: asyncio.Task[None] | None = None

    async def load(self, ticket_id: str) -> Seen:
        """A ticket as it is after this call began."""
        wanted = self._wanted.get(ticket_id)
        if wanted is None:
            wanted = self._wanted[ticket_id] = asyncio.get_running_loop().create_future()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await asyncio.shield(wanted)

    async def _run(self) -> None:
        while self._wanted:
            batch, self._wanted = self._wanted, {}
            try:
                found = await self._read(list(batch))
            except Exception as error:
                for future in batch.values():
                    future.set_exception(error)
                    future.exception()  # Seen, even when its watcher has gone.
                continue
            for ticket_id, future in batch.items():
                if ticket_id in found:
                    future.set_result(found[ticket_id])
                else:
                    future.set_exception(not_found("ticket", ticket_id))

    async def _read(self, identifiers: Sequence[str]) -> dict[str, Seen]:
        now = self._clock()

        def look(session: Session) -> dict[str, Seen]:
            tickets = self._tickets(session, Reach())
            found = tickets.by_ids(identifiers)
            messages_of = described(tickets, found, now)
            return {one.id: (one, message) for one, message in zip(found, messages_of, strict=True)}

        return await self._database.read(look)


class Live:
    """Follows tickets."""

    def __init__(
        self,
        database: Database,
        tickets: OpenTickets,
        bus: EventBus,
        draining: asyncio.Event,
        clock: Clock,
        heartbeat_seconds: float,
    ) -> None:
        """Wires the streams.

        Args:
            database: Where tickets are read.
            tickets: Opens the repository.
            bus: Says when to read.
            draining: Set when the server stops.
            clock: Gives the time.
            heartbeat_seconds: Longest silence of a stream.
        """
        self._database = database
        self._tickets = tickets
        self._bus = bus
        self._draining = draining
        self._clock = clock
        self._heartbeat_seconds = heartbeat_seconds
        self._loader = _Loader(database, tickets, clock)

    async def watch(self, ticket: Ticket, until: float) -> AsyncIterator[WatchTicketResponse]:
        """The ticket as it is, then every change of it and of its place; an end at the end.

        Args:
            ticket: A ticket that the caller may see.
            until: When the caller's session ends, in seconds since the epoch.
        """
        try:
            async for update in self._follow(ticket, until):
                yield update
        except MeshError as error:
            yield _end(error.reason, retry=error.kind in _AGAIN)
        except Exception as error:
            logger().error("a live stream failed", exc_info=error)
            yield _end("INTERNAL", retry=True)

    async def _follow(self, ticket: Ticket, until: float) -> AsyncIterator[WatchTicketResponse]:
        shown: messages.Ticket | None = None
        woken: Event | None = None
        stop = asyncio.create_task(self._draining.wait())
        try:
            # The subscription comes first: what happens after the read finds it open.
            async with self._bus.subscribe(topic_of(ticket, "*")) as subscription:
                while True:
                    seen, message = await self._loader.load(ticket.id)
                    if message != shown:
                        for passed in await self._passed(shown, seen):
                            yield WatchTicketResponse(ticket=passed)
                        yield WatchTicketResponse(ticket=message)
                        shown = message
                    elif woken is None:
                        yield _heartbeat(self._clock)
                    if not seen.open:
                        yield _end("CLOSED", retry=False)
                        return
                    if stop.done():
                        yield _end("SHUTTING_DOWN", retry=True)
                        return
                    left = until - time.time()
                    if left <= 0:
                        yield _end("TOKEN_EXPIRED", retry=True)
                        return
                    woken = await _wake(subscription, stop, min(left, self._heartbeat_seconds))
        finally:
            stop.cancel()

    async def _passed(self, shown: messages.Ticket | None, seen: Ticket) -> list[messages.Ticket]:
        """The states between the one that was shown and the one that is seen now."""
        if shown is None or seen.version <= shown.version + 1:
            return []
        changes = await self._database.read(
            lambda session: self._tickets(session, Reach()).changes_of(seen.id)
        )
        first = as_issued(seen)
        return [
            ticket_message(reduce(changed, changes[: version - 1], first), None)
            for version in range(shown.version + 1, seen.version)
        ]


async def _wake(
    subscription: Subscription, stop: asyncio.Task[bool], seconds: float
) -> Event | None:
    """Waits for an event, the stop, or the time; takes what else has come meanwhile."""
    waiting = asyncio.create_task(subscription.next(seconds))
    try:
        await asyncio.wait({waiting, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            return None
        while not subscription.queue.empty():
            subscription.queue.get_nowait()
        return waiting.result()
    finally:
        waiting.cancel()


def _end(reason: str, *, retry: bool) -> WatchTicketResponse:
    return WatchTicketResponse(end=StreamEnd(reason=reason, retry=retry))


def _heartbeat(clock: Clock) -> WatchTicketResponse:
    return WatchTicketResponse(heartbeat=Heartbeat(send_time=timestamp(clock())))
