"""Tickets, lists of them, and visits."""

import asyncio

from google.api.httpbody_pb2 import HttpBody
from mediq.queue.v1 import queue_pb2 as messages
from mediq.queue.v1 import queue_service_pb2 as requests

from mesh.audit_trail.recorder import annotate
from mesh.contract import pagination
from mesh.contract.access_scope import AccessScope
from mesh.contract.call import principal
from mesh.errors import MeshError, StatusCode, not_found
from mesh.rpc.pipeline import Context
from mesh.shared_state.cache import get_or_load
from queue_svc.application.ticket_reads import describe_tickets
from queue_svc.domain.order import pick
from queue_svc.domain.states import Status
from queue_svc.domain.tickets import queue_empty
from queue_svc.messages.tickets import history_message, journey_message, position_message
from queue_svc.persistence.ticket_queries import TicketQueries
from queue_svc.persistence.waiting_lists import rates_of
from queue_svc.servicers.base import ServicerBase, page_of

OWNER_SECONDS = 3600.0
"""How long a ticket's facility and patient are remembered. Only an erasure changes the patient: it
deletes the copy, but not one in the memory of another process."""


def owner_key(ticket_id: str) -> str:
    """Where the facility and the patient of a ticket are remembered."""
    return f"owner/{ticket_id}"


class TicketReads(ServicerBase):
    """The RPCs that read tickets."""

    async def GetTicket(
        self, request: requests.GetTicketRequest, context: Context
    ) -> messages.Ticket:
        now = self._clock()
        return await self._read(
            lambda reader: describe_tickets(reader, [reader.get(request.id)], now)[0]
        )

    async def GetTicketPosition(
        self, request: requests.GetTicketPositionRequest, context: Context
    ) -> requests.TicketPosition:
        institution_id, patient_id = await self._owner(request.id)
        if not AccessScope.of(principal()).covers(institution_id, patient_id):
            raise not_found("ticket", request.id)
        annotate(persons=[patient_id])

        def query(reader: TicketQueries) -> bytes:
            ticket = reader.get(request.id)
            waiting_lists = reader.waiting_lists([ticket.queue.service], self._clock())
            return position_message(ticket, waiting_lists.get(ticket.queue.key)).SerializeToString()

        async def load() -> bytes:
            return await self._read(query, AccessScope())

        found = await get_or_load(
            self._dependencies.cache,
            institution_id,
            f"position/{request.id}",
            self._dependencies.copy_seconds,
            load,
        )
        return requests.TicketPosition.FromString(found)

    async def GetTicketHistory(
        self, request: requests.GetTicketHistoryRequest, context: Context
    ) -> requests.TicketHistory:
        def query(reader: TicketQueries) -> requests.TicketHistory:
            ticket = reader.get(request.id)
            annotate(persons=[ticket.patient_id])
            return history_message(ticket, reader.history(request.id))

        return await self._read(query)

    async def ListTickets(
        self, request: requests.ListTicketsRequest, context: Context
    ) -> requests.ListTicketsResponse:
        status = Status(request.status) if request.status else None
        found, token = await self._listed(request, request.service_id, status)
        return requests.ListTicketsResponse(tickets=found, next_page_token=token)

    async def ListUpcomingTickets(
        self, request: requests.ListUpcomingTicketsRequest, context: Context
    ) -> requests.ListUpcomingTicketsResponse:
        found, token = await self._listed(request, request.service_id, Status.WAITING)
        return requests.ListUpcomingTicketsResponse(tickets=found, next_page_token=token)

    async def PeekNextTicket(
        self, request: requests.PeekNextTicketRequest, context: Context
    ) -> messages.Ticket:
        days = await self._days_of(request.institution_id)
        now = self._clock()

        def query(reader: TicketQueries) -> list[messages.Ticket]:
            heads, queues = reader.next_of(request.institution_id, request.service_id, days)
            if not queues:
                return []
            chosen = pick(heads, rates_of(queues[-1].service), now.timestamp())
            return (
                [] if chosen is None else describe_tickets(reader, reader.by_ids([chosen.id]), now)
            )

        found = await self._read(query)
        if not found:
            raise queue_empty()
        return found[0]

    async def ListCurrentTickets(
        self, request: requests.ListCurrentTicketsRequest, context: Context
    ) -> requests.ListCurrentTicketsResponse:
        days = await self._days_of(request.institution_id)
        identifiers = await self._read(
            lambda reader: reader.current(request.institution_id, request.service_id, days)
        )
        page, token = page_of(
            identifiers, request.page_token, pagination.page_size(request.page_size)
        )
        return requests.ListCurrentTicketsResponse(
            tickets=await self._described(page), next_page_token=token
        )

    async def ListMyTickets(
        self, request: requests.ListMyTicketsRequest, context: Context
    ) -> requests.ListMyTicketsResponse:
        patient, now = principal().subject, self._clock()
        identifiers = await self._read(lambda reader: reader.open_of(patient, now))
        page, token = page_of(
            identifiers, request.page_token, pagination.page_size(request.page_size)
        )
        return requests.ListMyTicketsResponse(
            tickets=await self._described(page), next_page_token=token
        )

    async def GetJourney(
        self, request: requests.GetJourneyRequest, context: Context
    ) -> requests.Journey:
        return await self._journey(request.id)

    async def ExportEncounter(
        self, request: requests.ExportEncounterRequest, context: Context
    ) -> HttpBody:
        if not self._dependencies.fhir_export:
            raise MeshError(
                "the export of visits is off: MEDIQ_QUEUE_SVC_FHIR_EXPORT=true turns it on",
                StatusCode.UNIMPLEMENTED,
                "EXPORT_OFF",
            )
        # The library behind it is large, and few installations use it.
        from queue_svc.adapters.fhir_encounter import CONTENT_TYPE, encounter

        journey = await self._journey(request.id)
        annotate(persons=[journey.patient_id])
        document = await asyncio.to_thread(encounter, journey)
        return HttpBody(content_type=CONTENT_TYPE, data=document)

    async def _journey(self, journey_id: str) -> requests.Journey:
        now = self._clock()

        def query(reader: TicketQueries) -> requests.Journey:
            tickets = reader.journey(journey_id)
            return journey_message(tickets, describe_tickets(reader, tickets, now))

        return await self._read(query)

    async def _owner(self, ticket_id: str) -> tuple[str, str]:
        """Facility and patient of a ticket."""
        key = owner_key(ticket_id)
        known = await self._dependencies.cache.get(key)
        if known is None:
            ticket = await self._read(lambda reader: reader.get(ticket_id), AccessScope())
            known = f"{ticket.queue.service.institution_id} {ticket.patient_id}".encode()
            await self._dependencies.cache.set(key, known, OWNER_SECONDS)
        institution_id, patient_id = known.decode().split()
        return institution_id, patient_id

    async def _listed(
        self,
        request: requests.ListTicketsRequest | requests.ListUpcomingTicketsRequest,
        service_id: str,
        status: Status | None,
    ) -> tuple[list[messages.Ticket], str]:
        days = await self._days_of(request.institution_id)
        now = self._clock()
        identifiers = await self._read(
            lambda reader: reader.listed(request.institution_id, service_id, days, status, now)
        )
        page, token = page_of(
            identifiers, request.page_token, pagination.page_size(request.page_size)
        )
        return await self._described(page), token
