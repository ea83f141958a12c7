"""QueueService: translation between messages and the repository."""

import functools
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

from mediq.institution.v1.institution_service_pb2 import FacilityFacts
from mediq.queue.v1 import queue_pb2 as messages
from mediq.queue.v1 import queue_service_pb2 as requests
from mediq.queue.v1.queue_service_pb2_grpc import QueueServiceServicer
from sqlalchemy.orm import Session

from mesh import pages
from mesh.context import Principal, principal
from mesh.errors import MeshError, forbidden, invalid
from mesh.idempotency import Idempotency
from mesh.outbox import Outbox
from mesh.pipeline import Context
from mesh.storage import Database
from queue_svc.clients import Facilities, counter_of, service_of
from queue_svc.domain.days import Clock, active_days, parse_day, service_day, week_until
from queue_svc.domain.numbers import Tally
from queue_svc.domain.rules import Rules
from queue_svc.domain.tickets import (
    Priority,
    Reach,
    Status,
    Ticket,
    check_priority,
    queue_empty,
)
from queue_svc.live import Live
from queue_svc.store import Issue, OpenTickets, Tickets
from queue_svc.translation import daily_message, described, event_of, now_message, position_message

Result = TypeVar("Result")
SERVICE = "service"
"""Stands for a calling service where a person's account would stand."""


def reach_of(who: Principal) -> Reach:
    """The tickets that exist for a person: a facility's for staff, their own for everyone else."""
    if who.is_network_admin:
        return Reach()
    if who.is_staff:
        return Reach(institution_id=who.institution_id)
    return Reach(patient_id=who.subject)


def _page(identifiers: Sequence[str], token: str, size: int) -> tuple[Sequence[str], str]:
    """A page of a list that moves: it goes on after the ticket that the token names."""
    position = pages.decode_token(token, 2)
    start = 0
    if position is not None:
        offset, last = position
        if not offset.isdecimal():
            raise invalid("page_token", "not a token of ours", "PAGE_TOKEN_INVALID")
        # When that ticket has left the list, others moved up: rather show one twice than none.
        start = identifiers.index(last) + 1 if last in identifiers else int(offset) - 1
    page = identifiers[max(0, start) : max(0, start) + size]
    end = max(0, start) + len(page)
    more = end < len(identifiers)
    return page, pages.encode_token(str(end), page[-1]) if page and more else ""


class QueueServicer(QueueServiceServicer):
    """Tickets, order, calls and live state of queues."""

    def __init__(
        self,
        database: Database,
        idempotency: Idempotency,
        outbox: Outbox,
        tickets: OpenTickets,
        facilities: Facilities,
        live: Live,
        rules: Rules,
        clock: Clock,
    ) -> None:
        """Serves from `database`.

        Args:
            database: The tickets.
            idempotency: Remembers answers.
            outbox: Takes events.
            tickets: Opens the repository.
            facilities: Knows services and counters.
            live: Follows tickets.
            rules: What the rules depend on.
            clock: Gives the time.
        """
        self._database = database
        self._idempotency = idempotency
        self._outbox = outbox
        self._tickets = tickets
        self._facilities = facilities
        self._live = live
        self._rules = rules
        self._clock = clock

    async def CreateTicket(
        self, request: requests.CreateTicketRequest, context: Context
    ) -> messages.Ticket:
        who = principal()
        priority = Priority(request.priority or Priority.NORMAL)
        if who.is_staff:
            if not request.patient_id:
                raise invalid("patient_id", "name the patient", "PATIENT_REQUIRED")
            check_priority(priority, request.priority_reason)
        elif request.priority or request.priority_reason:
            raise forbidden("only staff set the priority", "PRIORITY_STAFF_ONLY")
        elif request.patient_id not in ("", who.subject):
            raise forbidden("a patient takes a ticket for themselves", "OTHER_PATIENT")
        patient_id = request.patient_id or who.subject
        facts = await self._facts(request.institution_id, request.service_id)
        now = self._clock()

        def issue(tickets: Tickets) -> Ticket:
            what = Issue(service_of(facts()), patient_id, priority, request.priority_reason)
            return tickets.issue(what, who.subject, now)

        return await self._change(who.subject, request, reach_of(who), issue)

    async def IssueTicket(
        self, request: requests.IssueTicketRequest, context: Context
    ) -> messages.Ticket:
        facts = await self._facts(request.institution_id, request.service_id)
        now = self._clock()

        def issue(tickets: Tickets) -> Ticket:
            what = Issue(service_of(facts()), request.patient_id, Priority.NORMAL, "")
            return tickets.issue(what, SERVICE, now)

        return await self._change(SERVICE, request, Reach(), issue)

    async def CallNextTicket(
        self, request: requests.CallNextTicketRequest, context: Context
    ) -> messages.Ticket:
        who = principal()
        facts = await self._facts(
            request.institution_id, request.service_id, counter_id=request.counter_id
        )
        now = self._clock()

        def call(tickets: Tickets) -> Ticket:
            return tickets.call_next(
                request.institution_id,
                request.service_id,
                self._days(facts().institution.time_zone),
                counter_of(facts(), request.counter_id),
                who.subject,
                now,
            )

        return await self._change(who.subject, request, reach_of(who), call)

    async def CallTicket(
        self, request: requests.CallTicketRequest, context: Context
    ) -> messages.Ticket:
        who = principal()
        service = (await self._get(request.id)).queue.service
        facts = await self._facts(
            service.institution_id, service.service_id, counter_id=request.counter_id
        )
        now = self._clock()

        def call(tickets: Tickets) -> Ticket:
            counter = counter_of(facts(), request.counter_id)
            return tickets.call(request.id, counter, who.subject, now)

        return await self._change(who.subject, request, reach_of(who), call)

    async def UpdateTicketStatus(
        self, request: requests.UpdateTicketStatusRequest, context: Context
    ) -> messages.Ticket:
        return await self._move(request, Status(request.status))

    async def CancelTicket(
        self, request: requests.CancelTicketRequest, context: Context
    ) -> messages.Ticket:
        return await self._move(request, Status.CANCELLED)

    async def GetTicket(
        self, request: requests.GetTicketRequest, context: Context
    ) -> messages.Ticket:
        now = self._clock()
        return await self._read(
            lambda tickets: described(tickets, [tickets.get(request.id)], now)[0]
        )

    async def GetTicketPosition(
        self, request: requests.GetTicketPositionRequest, context: Context
    ) -> requests.TicketPosition:
        now = self._clock()

        def look(tickets: Tickets) -> requests.TicketPosition:
            ticket = tickets.get(request.id)
            lines = tickets.lines([ticket.queue.service], now)
            return position_message(ticket, lines.get(ticket.queue.key))

        return await self._read(look)

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

        def look(tickets: Tickets) -> list[str]:
            place = request.institution_id, request.service_id
            return tickets.listed(*place, days, Status.WAITING, now)[:1]

        found = await self._described(await self._read(look))
        if not found:
            raise queue_empty()
        return found[0]

    async def ListCurrentTickets(
        self, request: requests.ListCurrentTicketsRequest, context: Context
    ) -> requests.ListCurrentTicketsResponse:
        days = await self._days_of(request.institution_id)
        identifiers = await self._read(
            lambda tickets: tickets.current(request.institution_id, request.service_id, days)
        )
        page, token = _page(identifiers, request.page_token, pages.page_size(request.page_size))
        return requests.ListCurrentTicketsResponse(
            tickets=await self._described(page), next_page_token=token
        )

    async def ListMyTickets(
        self, request: requests.ListMyTicketsRequest, context: Context
    ) -> requests.ListMyTicketsResponse:
        patient, now = principal().subject, self._clock()
        identifiers = await self._read(lambda tickets: tickets.open_of(patient, now))
        page, token = _page(identifiers, request.page_token, pages.page_size(request.page_size))
        return requests.ListMyTicketsResponse(
            tickets=await self._described(page), next_page_token=token
        )

    async def GetQueueStats(
        self, request: requests.GetQueueStatsRequest, context: Context
    ) -> requests.QueueStats:
        days = await self._days_of(request.institution_id)
        tallies = await self._read(lambda tickets: tickets.tallies(request.institution_id, days))
        return now_message(request.institution_id, days[-1], tallies)

    async def GetDailyStats(
        self, request: requests.GetDailyStatsRequest, context: Context
    ) -> requests.DailyStats:
        day = await self._day(request.institution_id, "day", request.day)
        return (await self._daily(request.institution_id, [day]))[0]

    async def GetWeeklyStats(
        self, request: requests.GetWeeklyStatsRequest, context: Context
    ) -> requests.WeeklyStats:
        last = await self._day(request.institution_id, "last_day", request.last_day)
        days = week_until(parse_day("last_day", last))
        return requests.WeeklyStats(days=await self._daily(request.institution_id, days))

    async def WatchTicket(
        self, request: requests.WatchTicketRequest, context: Context
    ) -> AsyncIterator[requests.WatchTicketResponse]:
        ticket = await self._get(request.id)
        async for update in self._live.watch(ticket, principal().expires_at):
            yield update

    async def _facts(
        self, institution_id: str, service_id: str, *, counter_id: str = ""
    ) -> Callable[[], FacilityFacts]:
        """Gives the facts, or their error, when the effect asks: a repeated request never does."""
        try:
            found = await self._facilities.facts(institution_id, service_id, counter_id=counter_id)
        except MeshError as error:
            return functools.partial(_raise, error)
        return lambda: found

    async def _days_of(self, institution_id: str) -> tuple[str, ...]:
        facts = await self._facilities.facts(institution_id)
        return self._days(facts.institution.time_zone)

    def _days(self, time_zone: str) -> tuple[str, ...]:
        return active_days(self._clock(), time_zone, self._rules.carry_hours)

    async def _day(self, institution_id: str, field: str, asked: str) -> str:
        """The day that a report is asked for; today at the facility when none is named."""
        if asked:
            return parse_day(field, asked).isoformat()
        facts = await self._facilities.facts(institution_id)
        return service_day(self._clock(), facts.institution.time_zone)

    async def _daily(self, institution_id: str, days: Sequence[str]) -> list[requests.DailyStats]:
        tallies = await self._read(lambda tickets: tickets.tallies(institution_id, days))
        sums = {day: Tally() for day in days}
        for (day, _), tally in tallies.items():
            sums[day].add(tally)
        return [daily_message(day, tally) for day, tally in sums.items()]

    async def _read(self, work: Callable[[Tickets], Result]) -> Result:
        reach = reach_of(principal())
        return await self._database.read(lambda session: work(self._tickets(session, reach)))

    async def _get(self, ticket_id: str) -> Ticket:
        return await self._read(lambda tickets: tickets.get(ticket_id))

    async def _described(self, identifiers: Sequence[str]) -> list[messages.Ticket]:
        now = self._clock()
        return await self._read(
            lambda tickets: described(tickets, tickets.by_ids(identifiers), now)
        )

    async def _listed(
        self,
        request: requests.ListTicketsRequest | requests.ListUpcomingTicketsRequest,
        service_id: str,
        status: Status | None,
    ) -> tuple[list[messages.Ticket], str]:
        days = await self._days_of(request.institution_id)
        now = self._clock()
        identifiers = await self._read(
            lambda tickets: tickets.listed(request.institution_id, service_id, days, status, now)
        )
        page, token = _page(identifiers, request.page_token, pages.page_size(request.page_size))
        return await self._described(page), token

    async def _move(
        self,
        request: requests.UpdateTicketStatusRequest | requests.CancelTicketRequest,
        status: Status,
    ) -> messages.Ticket:
        who, now = principal(), self._clock()

        def move(tickets: Tickets) -> Ticket:
            return tickets.move(request.id, status, request.reason, who.subject, now)

        return await self._change(who.subject, request, reach_of(who), move)

    async def _change(
        self,
        caller: str,
        request: requests.CreateTicketRequest
        | requests.IssueTicketRequest
        | requests.CallNextTicketRequest
        | requests.CallTicketRequest
        | requests.UpdateTicketStatusRequest
        | requests.CancelTicketRequest,
        reach: Reach,
        work: Callable[[Tickets], Ticket],
    ) -> messages.Ticket:
        """One change with its event and its answer, in one transaction."""
        now = self._clock()

        def unit(session: Session) -> messages.Ticket:
            tickets = self._tickets(session, reach)
            ticket = work(tickets)
            self._outbox.add(session, event_of(ticket))
            return described(tickets, [ticket], now)[0]

        answer = await self._idempotency.once(caller, request, messages.Ticket, unit)
        self._outbox.wake()
        return answer


def _raise(error: MeshError) -> FacilityFacts:
    raise error
