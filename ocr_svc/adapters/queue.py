"""Calls queue_svc: the ticket of a registration, and all tickets of a person."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mediq.queue.v1.queue_pb2 import TicketStatus
from mediq.queue.v1.ticket_service_pb2 import (
    ErasePatientTicketsRequest,
    IssueTicketRequest,
    ListPatientTicketsRequest,
    PatientTicket,
)
from mediq.queue.v1.ticket_service_pb2_grpc import TicketServiceStub

from ocr_svc.domain.erasure import Visits

if TYPE_CHECKING:
    from mediq.queue.v1.ticket_service_pb2_grpc import TicketServiceAsyncStub

    from mesh.rpc.client import Channels

SERVED = frozenset(
    {
        TicketStatus.TICKET_STATUS_SERVING,
        TicketStatus.TICKET_STATUS_DONE,
        TicketStatus.TICKET_STATUS_TRANSFERRED,
    }
)
"""States that make a ticket a visit."""
OPEN = frozenset(
    {
        TicketStatus.TICKET_STATUS_WAITING,
        TicketStatus.TICKET_STATUS_CALLED,
        TicketStatus.TICKET_STATUS_SERVING,
        TicketStatus.TICKET_STATUS_SKIPPED,
    }
)
"""States in which a ticket may still change."""
PAGE_SIZE = 200
"""The most that queue_svc gives at once."""


class Queue:
    """Issues, lists and erases tickets."""

    def __init__(self, channels: Channels) -> None:
        """Calls through `channels`."""
        self._stub: TicketServiceAsyncStub = TicketServiceStub(channels.to("queue_svc"))

    async def issue_ticket(
        self, key: str, institution_id: str, service_id: str, user_id: str, age_years: int
    ) -> bytes:
        """Issues a ticket and returns it, serialized.

        Args:
            key: The request_id: the registration.
            institution_id: Facility.
            service_id: Service of the facility.
            user_id: Patient.
            age_years: Age of the patient. 0: not known.

        Raises:
            MeshError: ACTIVE_TICKET_EXISTS and what else queue_svc refuses.
        """
        ticket = await self._stub.IssueTicket(
            IssueTicketRequest(
                request_id=key,
                institution_id=institution_id,
                service_id=service_id,
                patient_id=user_id,
                age_years=age_years,
            )
        )
        return ticket.SerializeToString()

    async def tickets(self, user_id: str) -> AsyncIterator[PatientTicket]:
        """Yields all tickets of a patient with their changes, newest first."""
        request = ListPatientTicketsRequest(patient_id=user_id, page_size=PAGE_SIZE)
        while True:
            page = await self._stub.ListPatientTickets(request)
            for one in page.tickets:
                yield one
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def visits(self, user_id: str) -> Visits:
        """Returns what an erasure must know of a patient's tickets."""
        open_tickets: list[str] = []
        served: list[datetime] = []
        async for one in self.tickets(user_id):
            if one.ticket.status in OPEN:
                open_tickets.append(one.ticket.id)
            # A service that was begun and taken back is a visit all the same.
            served += [
                change.occur_time.ToDatetime(UTC)
                for change in one.changes
                if change.status in SERVED
            ]
        return Visits(open_tickets, max(served, default=None))

    async def erase(self, key: str, user_id: str) -> None:
        """Takes a patient out of the closed tickets.

        Args:
            key: The request_id: the erasure.
            user_id: The patient.

        Raises:
            MeshError: OPEN_TICKETS.
        """
        await self._stub.ErasePatientTickets(
            ErasePatientTicketsRequest(request_id=key, patient_id=user_id)
        )
