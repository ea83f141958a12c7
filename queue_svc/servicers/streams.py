"""Boards and live streams."""

from collections.abc import AsyncIterator

from mediq.queue.v1 import queue_service_pb2 as requests

from mesh.contract.call import principal
from mesh.rpc.pipeline import Context
from mesh.shared_state.cache import get_or_load
from queue_svc.adapters.facilities import counter_of
from queue_svc.messages.tickets import board_message
from queue_svc.persistence.facility_queries import FacilityQueries
from queue_svc.servicers.base import ServicerBase
from queue_svc.streaming.stream_service import Place, ended

LAST_EVENT_ID = "last-event-id"
"""The header in which a browser says what it saw last (WHATWG HTML, Server-Sent Events)."""


def cursor_in(cursor: str, context: Context) -> str:
    """Where a client was: the header of a browser that came back, or the request's field.

    The header is newer: a browser repeats the address, with the cursor that it began with.
    """
    for key, value in context.invocation_metadata() or ():
        if key == LAST_EVENT_ID and value and isinstance(value, str):
            return value
    return cursor


class Streams(ServicerBase):
    """The RPCs of boards and live streams."""

    async def GetBoard(self, request: requests.GetBoardRequest, context: Context) -> requests.Board:
        place = await self._place(request.institution_id)
        days = place.days()

        def query(reader: FacilityQueries) -> bytes:
            services, _ = reader.board(place.institution_id, days)
            now = self._clock()
            board = board_message(place.institution_id, place.name, place.time_zone, services, now)
            return board.SerializeToString()

        async def load() -> bytes:
            return await self._look(place.institution_id, query)

        found = await get_or_load(
            self._dependencies.cache,
            place.institution_id,
            f"board/{'/'.join(days)}",
            self._dependencies.copy_seconds,
            load,
        )
        return requests.Board.FromString(found)

    async def WatchQueue(
        self, request: requests.WatchQueueRequest, context: Context
    ) -> AsyncIterator[requests.WatchQueueResponse]:
        place = await self._place(request.institution_id)
        cursor = cursor_in(request.cursor, context)
        updates = self._dependencies.streams.watch_queue(place, request.service_id, cursor)
        async for update in ended(updates, requests.WatchQueueResponse):
            yield update

    async def WatchTicket(
        self, request: requests.WatchTicketRequest, context: Context
    ) -> AsyncIterator[requests.WatchTicketResponse]:
        ticket = await self._get(request.id)
        service = ticket.queue.service
        place = Place(
            service.institution_id,
            service.institution_name,
            service.time_zone,
            lambda: self._days(service.time_zone),
        )
        cursor = cursor_in(request.cursor, context)
        updates = self._dependencies.streams.watch_ticket(
            ticket, place, principal().expires_at, cursor
        )
        async for update in ended(updates, requests.WatchTicketResponse):
            yield update

    async def WatchCounter(
        self, request: requests.WatchCounterRequest, context: Context
    ) -> AsyncIterator[requests.WatchCounterResponse]:
        facts = await self._dependencies.facilities.facts(
            request.institution_id, request.service_id, counter_id=request.counter_id
        )
        counter = counter_of(facts, request.counter_id)
        updates = self._dependencies.streams.watch_counter(
            await self._place(request.institution_id),
            request.service_id,
            counter.id,
            principal().expires_at,
            cursor_in(request.cursor, context),
        )
        async for update in ended(updates, requests.WatchCounterResponse):
            yield update

    async def WatchEvents(
        self, request: requests.WatchEventsRequest, context: Context
    ) -> AsyncIterator[requests.WatchEventsResponse]:
        async for update in self._dependencies.tail_events(request.pattern):
            yield update

    async def _place(self, institution_id: str) -> Place:
        institution = (await self._dependencies.facilities.facts(institution_id)).institution
        return Place(
            institution.id,
            institution.name,
            institution.time_zone,
            lambda: self._days(institution.time_zone),
        )
