"""The use cases that read tickets, lists of them, and visits."""

import asyncio
import datetime
from collections.abc import Mapping, Sequence
from functools import partial

from mediq.queue.v1 import queue_pb2 as messages
from mediq.queue.v1 import ticket_service_pb2 as requests

from mesh.audit_trail.events import annotate
from mesh.clock import Clock
from mesh.contract import pagination
from mesh.contract.access_scope import AccessScope
from mesh.errors import MeshError, StatusCode, not_found
from mesh.shared_state.cache import Cache, get_or_load
from queue_svc.application.facility_directory import FacilityDirectory
from queue_svc.application.paging import page_of
from queue_svc.application.unit_of_work import UnitsOfWork
from queue_svc.domain.checks import queue_empty
from queue_svc.domain.estimates import WaitingList
from queue_svc.domain.order import pick, rates_of
from queue_svc.domain.states import Status
from queue_svc.domain.tickets import ServiceKey, Ticket
from queue_svc.messages.tickets import (
    history_message,
    journey_message,
    position_message,
    ticket_message,
)
from queue_svc.persistence.ticket_queries import TicketQueries

OWNER_SECONDS = 3600.0
"""How long a ticket's facility and patient are cached. Only an erasure changes the patient: it
deletes the cached value, but not one in the memory of another process."""


def owner_key(ticket_id: str) -> str:
    """Returns where the facility and the patient of a ticket are cached."""
    return f"owner/{ticket_id}"


class TicketReads:
    """Reads tickets that exist for a caller."""

    def __init__(
        self,
        units: UnitsOfWork,
        directory: FacilityDirectory,
        cache: Cache,
        clock: Clock,
        cache_seconds: float,
        *,
        fhir_export: bool,
    ) -> None:
        """Reads in units of work.

        Args:
            units: Opens the tickets.
            directory: Gives the days of facilities.
            cache: Keeps positions and owners.
            clock: Gives the time.
            cache_seconds: Longest use of a cached position, in seconds.
            fhir_export: Whether visits are given out as FHIR Encounters.
        """
        self._units = units
        self._directory = directory
        self._cache = cache
        self._clock = clock
        self._cache_seconds = cache_seconds
        self._fhir_export = fhir_export

    async def find(self, scope: AccessScope, ticket_id: str) -> Ticket:
        """Returns a ticket as the domain knows it.

        Raises:
            MeshError: TICKET_NOT_FOUND.
        """
        return await self._units.read_tickets(scope, TicketQueries.get, ticket_id)

    async def get(self, scope: AccessScope, ticket_id: str) -> messages.Ticket:
        """Returns a ticket.

        Raises:
            MeshError: TICKET_NOT_FOUND.
        """
        return await self._units.read_tickets(scope, query_ticket, ticket_id, self._clock())

    async def position(self, scope: AccessScope, ticket_id: str) -> requests.TicketPosition:
        """Returns the place of a ticket in its waiting list, which may be cached.

        Raises:
            MeshError: TICKET_NOT_FOUND.
        """
        institution_id, patient_id = await self._owner(ticket_id)
        if not scope.covers(institution_id, patient_id):
            raise not_found("ticket", ticket_id)
        annotate(persons=[patient_id])
        found = await get_or_load(
            self._cache,
            institution_id,
            f"position/{ticket_id}",
            self._cache_seconds,
            partial(self._load_position, ticket_id),
        )
        return requests.TicketPosition.FromString(found)

    async def history(self, scope: AccessScope, ticket_id: str) -> requests.TicketHistory:
        """Returns what happened to a ticket.

        Raises:
            MeshError: TICKET_NOT_FOUND.
        """
        ticket, history = await self._units.read_tickets(scope, query_history, ticket_id)
        annotate(persons=[ticket.patient_id])
        return history

    async def list_of_facility(
        self,
        scope: AccessScope,
        request: requests.ListTicketsRequest | requests.ListUpcomingTicketsRequest,
        status: Status | None,
    ) -> tuple[list[messages.Ticket], str]:
        """Returns a page of a facility's tickets in a state, or in any, and the next token."""
        days = await self._directory.active_days(request.institution_id)
        identifiers = await self._units.read_tickets(
            scope,
            TicketQueries.listed,
            request.institution_id,
            request.service_id,
            days,
            status,
            self._clock(),
        )
        return await self._page(scope, identifiers, request.page_token, request.page_size)

    async def list_current(
        self, scope: AccessScope, request: requests.ListCurrentTicketsRequest
    ) -> tuple[list[messages.Ticket], str]:
        """Returns a page of the tickets that counters hold, and the next token."""
        days = await self._directory.active_days(request.institution_id)
        identifiers = await self._units.read_tickets(
            scope, TicketQueries.current, request.institution_id, request.service_id, days
        )
        return await self._page(scope, identifiers, request.page_token, request.page_size)

    async def list_open(
        self, scope: AccessScope, patient_id: str, request: requests.ListMyTicketsRequest
    ) -> tuple[list[messages.Ticket], str]:
        """Returns a page of a patient's open tickets, and the next token."""
        identifiers = await self._units.read_tickets(
            scope, TicketQueries.open_of, patient_id, self._clock()
        )
        return await self._page(scope, identifiers, request.page_token, request.page_size)

    async def peek_next(
        self, scope: AccessScope, institution_id: str, service_id: str
    ) -> messages.Ticket:
        """Returns the ticket whose turn it is.

        Raises:
            MeshError: QUEUE_EMPTY.
        """
        days = await self._directory.active_days(institution_id)
        found = await self._units.read_tickets(
            scope, query_next, institution_id, service_id, days, self._clock()
        )
        if found is None:
            raise queue_empty()
        return found

    async def journey(self, scope: AccessScope, journey_id: str) -> requests.Journey:
        """Returns a visit with its tickets.

        Raises:
            MeshError: JOURNEY_NOT_FOUND.
        """
        return await self._units.read_tickets(scope, query_journey, journey_id, self._clock())

    async def encounter(self, scope: AccessScope, journey_id: str) -> tuple[str, bytes]:
        """Returns a visit as a FHIR Encounter: media type and document.

        Raises:
            MeshError: EXPORT_OFF or JOURNEY_NOT_FOUND.
        """
        if not self._fhir_export:
            raise MeshError(
                "the export of visits is off: MEDIQ_QUEUE_SVC_FHIR_EXPORT=true turns it on",
                StatusCode.UNIMPLEMENTED,
                "EXPORT_OFF",
            )
        # The library behind it is large, and few installations use it.
        from queue_svc.adapters.fhir_encounter import CONTENT_TYPE, encounter

        journey = await self.journey(scope, journey_id)
        annotate(persons=[journey.patient_id])
        return CONTENT_TYPE, await asyncio.to_thread(encounter, journey)

    async def _owner(self, ticket_id: str) -> tuple[str, str]:
        """Returns facility and patient of a ticket."""
        key = owner_key(ticket_id)
        cached = await self._cache.get(key)
        if cached is None:
            ticket = await self.find(AccessScope(), ticket_id)
            cached = f"{ticket.queue.service.institution_id} {ticket.patient_id}".encode()
            await self._cache.set(key, cached, OWNER_SECONDS)
        institution_id, patient_id = cached.decode().split()
        return institution_id, patient_id

    async def _load_position(self, ticket_id: str) -> bytes:
        found = await self._units.read_tickets(
            AccessScope(), query_position, ticket_id, self._clock
        )
        return found.SerializeToString()

    async def _page(
        self, scope: AccessScope, identifiers: Sequence[str], token: str, asked: int
    ) -> tuple[list[messages.Ticket], str]:
        page, next_token = page_of(identifiers, token, pagination.page_size(asked))
        found = await self._units.read_tickets(scope, query_tickets, page, self._clock())
        return found, next_token


def describe_tickets(
    queries: TicketQueries, found: Sequence[Ticket], now: datetime.datetime
) -> list[messages.Ticket]:
    """Returns tickets as messages; the waiting lists that they stand in are read together."""
    waiting = [ticket.queue.service for ticket in found if ticket.waits]
    waiting_lists: Mapping[ServiceKey, WaitingList] = (
        queries.waiting_lists(waiting, now) if waiting else {}
    )
    return [ticket_message(ticket, waiting_lists.get(ticket.queue.key)) for ticket in found]


def query_ticket(queries: TicketQueries, ticket_id: str, now: datetime.datetime) -> messages.Ticket:
    """Reads a ticket.

    Raises:
        MeshError: TICKET_NOT_FOUND.
    """
    return describe_tickets(queries, [queries.get(ticket_id)], now)[0]


def query_tickets(
    queries: TicketQueries, identifiers: Sequence[str], now: datetime.datetime
) -> list[messages.Ticket]:
    """Reads tickets, in this order."""
    return describe_tickets(queries, queries.by_ids(identifiers), now)


def query_position(queries: TicketQueries, ticket_id: str, clock: Clock) -> requests.TicketPosition:
    """Reads the place of a ticket in its waiting list.

    Raises:
        MeshError: TICKET_NOT_FOUND.
    """
    ticket = queries.get(ticket_id)
    waiting_lists = queries.waiting_lists([ticket.queue.service], clock())
    return position_message(ticket, waiting_lists.get(ticket.queue.key))


def query_history(queries: TicketQueries, ticket_id: str) -> tuple[Ticket, requests.TicketHistory]:
    """Reads a ticket and what happened to it.

    Raises:
        MeshError: TICKET_NOT_FOUND.
    """
    ticket = queries.get(ticket_id)
    return ticket, history_message(ticket, queries.history(ticket_id))


def query_next(
    queries: TicketQueries,
    institution_id: str,
    service_id: str,
    days: Sequence[str],
    now: datetime.datetime,
) -> messages.Ticket | None:
    """Reads the ticket whose turn it is; None when nobody waits."""
    heads, queues = queries.next_of(institution_id, service_id, days)
    if not queues:
        return None
    chosen = pick(heads, rates_of(queues[-1].service), now.timestamp())
    return None if chosen is None else query_tickets(queries, [chosen.id], now)[0]


def query_journey(
    queries: TicketQueries, journey_id: str, now: datetime.datetime
) -> requests.Journey:
    """Reads a visit with its tickets.

    Raises:
        MeshError: JOURNEY_NOT_FOUND.
    """
    tickets = queries.journey(journey_id)
    return journey_message(tickets, describe_tickets(queries, tickets, now))
