"""The RPCs of boards and live streams."""

from collections.abc import AsyncIterator

from mediq.queue.v1 import live_service_pb2 as requests
from mediq.queue.v1.live_service_pb2_grpc import LiveServiceServicer

from mesh.contract.access_scope import AccessScope
from mesh.contract.call import principal
from mesh.rpc.pipeline import Context
from queue_svc.servicers.dependencies import Dependencies
from queue_svc.streaming.stream_service import ended

LAST_EVENT_ID = "last-event-id"
"""The header in which a browser says what it saw last (WHATWG HTML, Server-Sent Events)."""


def cursor_in(cursor: str, context: Context) -> str:
    """Returns where a client was: the header of a browser that came back, or the request's field.

    The header is newer: a browser repeats the address, with the cursor that it began with.
    """
    for key, value in context.invocation_metadata() or ():
        if key == LAST_EVENT_ID and value and isinstance(value, str):
            return value
    return cursor


class LiveServicer(LiveServiceServicer):
    """Serves boards, and the live streams of queues, tickets, counters and events."""

    def __init__(self, dependencies: Dependencies) -> None:
        """Serves with the use cases of boards and the streams."""
        self._boards = dependencies.boards
        self._directory = dependencies.directory
        self._tickets = dependencies.tickets
        self._streams = dependencies.streams
        self._tail_events = dependencies.tail_events

    async def GetBoard(self, request: requests.GetBoardRequest, context: Context) -> requests.Board:
        return await self._boards.get(request.institution_id)

    async def WatchQueue(
        self, request: requests.WatchQueueRequest, context: Context
    ) -> AsyncIterator[requests.WatchQueueResponse]:
        facility = await self._directory.facility(request.institution_id)
        cursor = cursor_in(request.cursor, context)
        updates = self._streams.watch_queue(facility, request.service_id, cursor)
        async for update in ended(updates, requests.WatchQueueResponse):
            yield update

    async def WatchTicket(
        self, request: requests.WatchTicketRequest, context: Context
    ) -> AsyncIterator[requests.WatchTicketResponse]:
        who = principal()
        ticket = await self._tickets.find(AccessScope.of(who), request.id)
        facility = self._directory.facility_of(ticket.queue.service)
        cursor = cursor_in(request.cursor, context)
        updates = self._streams.watch_ticket(ticket, facility, who.expires_at, cursor)
        async for update in ended(updates, requests.WatchTicketResponse):
            yield update

    async def WatchCounter(
        self, request: requests.WatchCounterRequest, context: Context
    ) -> AsyncIterator[requests.WatchCounterResponse]:
        await self._directory.require_counter(
            request.institution_id, request.service_id, request.counter_id
        )
        updates = self._streams.watch_counter(
            await self._directory.facility(request.institution_id),
            request.service_id,
            request.counter_id,
            principal().expires_at,
            cursor_in(request.cursor, context),
        )
        async for update in ended(updates, requests.WatchCounterResponse):
            yield update

    async def WatchEvents(
        self, request: requests.WatchEventsRequest, context: Context
    ) -> AsyncIterator[requests.WatchEventsResponse]:
        async for update in self._tail_events(request.pattern):
            yield update
