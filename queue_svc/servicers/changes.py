"""Changes of tickets."""

from mediq.queue.v1 import queue_pb2 as messages
from mediq.queue.v1 import queue_service_pb2 as requests

from mesh.contract.access_scope import AccessScope
from mesh.contract.call import principal
from mesh.errors import forbidden, invalid
from mesh.rpc.pipeline import Context
from queue_svc.adapters.facilities import class_rules_of, counter_of, service_of
from queue_svc.application.ticket_commands import ChangeTicket, IssueTicket
from queue_svc.domain.checks import check_priority
from queue_svc.domain.states import Priority, PriorityReason, Status
from queue_svc.domain.tickets import Service, Ticket
from queue_svc.persistence.ticket_repository import NewTicket, TicketRepository
from queue_svc.servicers.base import ServicerBase

SERVICE = "service"
"""Stands for a calling service where a person's account would stand."""


class Changes(ServicerBase):
    """The RPCs that change tickets."""

    async def CreateTicket(
        self, request: requests.CreateTicketRequest, context: Context
    ) -> messages.Ticket:
        who, patient_id = principal(), request.patient_id.lower()
        stated = Priority(request.priority) if request.priority else None
        if who.is_staff:
            if not patient_id:
                raise invalid("patient_id", "name the patient", "PATIENT_REQUIRED")
            if stated is not None:
                check_priority(stated, request.priority_reason)
        elif stated is not None or request.priority_reason or request.priority_grounds:
            raise forbidden("only staff set the priority", "PRIORITY_STAFF_ONLY")
        elif patient_id not in ("", who.subject):
            raise forbidden("a patient takes a ticket for themselves", "OTHER_PATIENT")
        facts = await self._facts(request.institution_id, request.service_id)

        def plan() -> tuple[Service, NewTicket]:
            known = facts()
            if stated is None:
                grounds = [PriorityReason(ground) for ground in request.priority_grounds]
                priority, ground = class_rules_of(known).choose(0, grounds)
            else:
                priority, ground = stated, PriorityReason.STAFF
            return service_of(known), NewTicket(
                patient_id=patient_id or who.subject,
                priority=priority,
                ground=ground,
                actor=who.subject,
                reason=request.priority_reason,
                unattended=not who.is_staff,
            )

        key = request.institution_id, request.service_id
        return await self._dependencies.commands.issue(key, IssueTicket(who.subject, request, plan))

    async def IssueTicket(
        self, request: requests.IssueTicketRequest, context: Context
    ) -> messages.Ticket:
        facts = await self._facts(request.institution_id, request.service_id)

        def plan() -> tuple[Service, NewTicket]:
            known = facts()
            priority, ground = class_rules_of(known).choose(request.age_years, ())
            return service_of(known), NewTicket(
                patient_id=request.patient_id.lower(),
                priority=priority,
                ground=ground,
                actor=SERVICE,
                unattended=True,
            )

        key = request.institution_id, request.service_id
        return await self._dependencies.commands.issue(key, IssueTicket(SERVICE, request, plan))

    async def CallNextTicket(
        self, request: requests.CallNextTicketRequest, context: Context
    ) -> messages.Ticket:
        who = principal()
        place = request.institution_id, request.service_id
        facts = await self._facts(*place, counter_id=request.counter_id)

        def call(store: TicketRepository) -> Ticket:
            return store.call_next(
                place,
                self._days(facts().institution.time_zone),
                counter_of(facts(), request.counter_id),
                who.subject,
                self._clock(),
                finish_current=request.finish_current,
            )

        changing = ChangeTicket(who.subject, request, AccessScope.of(who), call)
        return await self._dependencies.commands.change(place, changing)

    async def CallTicket(
        self, request: requests.CallTicketRequest, context: Context
    ) -> messages.Ticket:
        who = principal()
        service = (await self._get(request.id)).queue.service
        facts = await self._facts(*service.key, counter_id=request.counter_id)

        def call(store: TicketRepository) -> Ticket:
            counter = counter_of(facts(), request.counter_id)
            return store.call(request.id, counter, who.subject, self._clock())

        changing = ChangeTicket(who.subject, request, AccessScope.of(who), call)
        return await self._dependencies.commands.change(service.key, changing)

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
        who = principal()
        ticket = await self._get(request.id)
        facts = await self._facts(ticket.queue.service.institution_id, request.service_id)

        def transfer(store: TicketRepository) -> Ticket:
            return store.transfer(
                request.id, service_of(facts()), request.reason, who.subject, self._clock()
            )

        changing = ChangeTicket(who.subject, request, AccessScope.of(who), transfer)
        return await self._dependencies.commands.change(request.id, changing)

    async def SetTicketPriority(
        self, request: requests.SetTicketPriorityRequest, context: Context
    ) -> messages.Ticket:
        who = principal()

        def set_priority(store: TicketRepository) -> Ticket:
            priority = Priority(request.priority)
            return store.set_priority(
                request.id, priority, request.reason, who.subject, self._clock()
            )

        changing = ChangeTicket(who.subject, request, AccessScope.of(who), set_priority)
        return await self._dependencies.commands.change(request.id, changing)

    async def _move(
        self,
        request: requests.UpdateTicketStatusRequest | requests.CancelTicketRequest,
        status: Status,
    ) -> messages.Ticket:
        who = principal()

        def move(store: TicketRepository) -> Ticket:
            return store.move(request.id, status, request.reason, who.subject, self._clock())

        changing = ChangeTicket(who.subject, request, AccessScope.of(who), move)
        return await self._dependencies.commands.change(request.id, changing)
