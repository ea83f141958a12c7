"""The RPCs of tickets: requests as commands and queries, and their answers."""

from google.api.httpbody_pb2 import HttpBody
from mediq.queue.v1 import queue_pb2 as messages
from mediq.queue.v1 import ticket_service_pb2 as requests
from mediq.queue.v1.ticket_service_pb2_grpc import TicketServiceServicer

from mesh.contract.access_scope import AccessScope
from mesh.contract.call import principal
from mesh.rpc.pipeline import Context
from queue_svc.application.change_ticket import (
    CallNextTicket,
    CallTicket,
    MoveTicket,
    SetTicketPriority,
    TransferTicket,
)
from queue_svc.application.issue_ticket import IssueTicket
from queue_svc.domain.states import Priority, PriorityReason, Status
from queue_svc.servicers.dependencies import Dependencies

SERVICE = "service"
"""Stands for a calling service where a person's account would stand."""


def caller_scope() -> AccessScope:
    """Returns what exists for the person behind the call."""
    return AccessScope.of(principal())


class TicketServicer(TicketServiceServicer):
    """Serves tickets: issue, calls, states, lists, visits, and the rights of a person."""

    def __init__(self, dependencies: Dependencies) -> None:
        """Serves with the use cases of tickets."""
        self._commands = dependencies.commands
        self._tickets = dependencies.tickets
        self._patients = dependencies.patients

    async def CreateTicket(
        self, request: requests.CreateTicketRequest, context: Context
    ) -> messages.Ticket:
        who = principal()
        command = IssueTicket(
            caller=who.subject,
            request=request,
            institution_id=request.institution_id,
            service_id=request.service_id,
            patient_id=request.patient_id,
            priority=Priority(request.priority) if request.priority else None,
            reason=request.priority_reason,
            priority_reasons=[PriorityReason(reason) for reason in request.priority_grounds],
            unattended=not who.is_staff,
        )
        return await self._commands.create(command, who)

    async def IssueTicket(
        self, request: requests.IssueTicketRequest, context: Context
    ) -> messages.Ticket:
        command = IssueTicket(
            caller=SERVICE,
            request=request,
            institution_id=request.institution_id,
            service_id=request.service_id,
            patient_id=request.patient_id,
            age_years=request.age_years,
            unattended=True,
        )
        return await self._commands.issue(command)

    async def CallNextTicket(
        self, request: requests.CallNextTicketRequest, context: Context
    ) -> messages.Ticket:
        command = CallNextTicket(
            caller=principal().subject,
            request=request,
            scope=caller_scope(),
            institution_id=request.institution_id,
            service_id=request.service_id,
            counter_id=request.counter_id,
            finish_current=request.finish_current,
        )
        return await self._commands.call_next(command)

    async def CallTicket(
        self, request: requests.CallTicketRequest, context: Context
    ) -> messages.Ticket:
        command = CallTicket(
            caller=principal().subject,
            request=request,
            scope=caller_scope(),
            ticket_id=request.id,
            counter_id=request.counter_id,
        )
        return await self._commands.call(command)

    async def UpdateTicketStatus(
        self, request: requests.UpdateTicketStatusRequest, context: Context
    ) -> messages.Ticket:
        return await self._move(request, Status(request.status))

    async def CancelTicket(
        self, request: requests.CancelTicketRequest, context: Context
    ) -> messages.Ticket:
        return await self._move(request, Status.CANCELLED)

    async def TransferTicket(
        self, request: requests.TransferTicketRequest, context: Context
    ) -> messages.Ticket:
        command = TransferTicket(
            caller=principal().subject,
            request=request,
            scope=caller_scope(),
            ticket_id=request.id,
            service_id=request.service_id,
            reason=request.reason,
        )
        return await self._commands.transfer(command)

    async def SetTicketPriority(
        self, request: requests.SetTicketPriorityRequest, context: Context
    ) -> messages.Ticket:
        command = SetTicketPriority(
            caller=principal().subject,
            request=request,
            scope=caller_scope(),
            ticket_id=request.id,
            priority=Priority(request.priority),
            reason=request.reason,
        )
        return await self._commands.set_priority(command)

    async def GetTicket(
        self, request: requests.GetTicketRequest, context: Context
    ) -> messages.Ticket:
        return await self._tickets.get(caller_scope(), request.id)

    async def GetTicketPosition(
        self, request: requests.GetTicketPositionRequest, context: Context
    ) -> requests.TicketPosition:
        return await self._tickets.position(caller_scope(), request.id)

    async def GetTicketHistory(
        self, request: requests.GetTicketHistoryRequest, context: Context
    ) -> requests.TicketHistory:
        return await self._tickets.history(caller_scope(), request.id)

    async def ListTickets(
        self, request: requests.ListTicketsRequest, context: Context
    ) -> requests.ListTicketsResponse:
        status = Status(request.status) if request.status else None
        found, token = await self._tickets.list_of_facility(caller_scope(), request, status)
        return requests.ListTicketsResponse(tickets=found, next_page_token=token)

    async def ListUpcomingTickets(
        self, request: requests.ListUpcomingTicketsRequest, context: Context
    ) -> requests.ListUpcomingTicketsResponse:
        found, token = await self._tickets.list_of_facility(caller_scope(), request, Status.WAITING)
        return requests.ListUpcomingTicketsResponse(tickets=found, next_page_token=token)

    async def ListCurrentTickets(
        self, request: requests.ListCurrentTicketsRequest, context: Context
    ) -> requests.ListCurrentTicketsResponse:
        found, token = await self._tickets.list_current(caller_scope(), request)
        return requests.ListCurrentTicketsResponse(tickets=found, next_page_token=token)

    async def ListMyTickets(
        self, request: requests.ListMyTicketsRequest, context: Context
    ) -> requests.ListMyTicketsResponse:
        found, token = await self._tickets.list_open(caller_scope(), principal().subject, request)
        return requests.ListMyTicketsResponse(tickets=found, next_page_token=token)

    async def PeekNextTicket(
        self, request: requests.PeekNextTicketRequest, context: Context
    ) -> messages.Ticket:
        return await self._tickets.peek_next(
            caller_scope(), request.institution_id, request.service_id
        )

    async def GetJourney(
        self, request: requests.GetJourneyRequest, context: Context
    ) -> requests.Journey:
        return await self._tickets.journey(caller_scope(), request.id)

    async def ExportEncounter(
        self, request: requests.ExportEncounterRequest, context: Context
    ) -> HttpBody:
        content_type, document = await self._tickets.encounter(caller_scope(), request.id)
        return HttpBody(content_type=content_type, data=document)

    async def ListPatientTickets(
        self, request: requests.ListPatientTicketsRequest, context: Context
    ) -> requests.ListPatientTicketsResponse:
        return await self._patients.list_tickets(
            request.patient_id, request.page_token, request.page_size
        )

    async def ErasePatientTickets(
        self, request: requests.ErasePatientTicketsRequest, context: Context
    ) -> requests.ErasePatientTicketsResponse:
        return await self._patients.erase(SERVICE, request.patient_id, request)

    async def _move(
        self,
        request: requests.UpdateTicketStatusRequest | requests.CancelTicketRequest,
        status: Status,
    ) -> messages.Ticket:
        command = MoveTicket(
            caller=principal().subject,
            request=request,
            scope=caller_scope(),
            ticket_id=request.id,
            status=status,
            reason=request.reason,
        )
        return await self._commands.move(command)
