"""What can be done to tickets: issue, call, move, transfer."""

import datetime
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import insert, select

from mesh.errors import MeshError
from queue_svc.domain import checks
from queue_svc.domain import tickets as domain
from queue_svc.domain.estimates import WaitingList
from queue_svc.domain.order import Rates, back_in, pick
from queue_svc.domain.states import Priority, PriorityReason, Status
from queue_svc.domain.tickets import (
    Change,
    Counter,
    Prediction,
    Service,
    ServiceKey,
    Ticket,
)
from queue_svc.domain.waiting_lists import waiting_of
from queue_svc.persistence.locked_tickets import ONE, LockedTickets
from queue_svc.persistence.mapping import (
    TICKET,
    queue_of,
    ticket_of,
    ticket_values,
)
from queue_svc.persistence.models import QueueRow


@dataclass(frozen=True)
class NewTicket:
    """Holds what a new ticket is made from."""

    patient_id: str
    priority: Priority = Priority.NORMAL
    priority_reason: PriorityReason = PriorityReason.NONE
    actor: str = ""
    reason: str = ""
    """Why it is urgent; empty otherwise."""
    unattended: bool = False
    """Whether no staff have a hand in it: a patient takes only so many of these."""


class TicketRepository(LockedTickets):
    """Does what can be done to the tickets that exist for one caller."""

    def issue(
        self, service: Service, new_tickets: Sequence[NewTicket], now: datetime.datetime
    ) -> tuple[list[Ticket | MeshError], WaitingList | None]:
        """Makes tickets with the next numbers of a queue.

        Args:
            service: What the facility says of the service.
            new_tickets: The tickets to make, in order.
            now: The moment.

        Returns:
            For each a ticket, ACTIVE_TICKET_EXISTS for a patient who is in the queue, or
            TICKETS_LIMITED for one who has taken too many; and the waiting list that the new
            tickets join.
        """
        queue = self._locks.joined(service, now)
        present = self.open_in(queue.id, {one.patient_id for one in new_tickets})
        unattended = {one.patient_id for one in new_tickets if one.unattended}
        quota = checks.TicketQuota(self.taken_since(unattended, now - checks.QUOTA_WINDOW), now)
        results: list[Ticket | MeshError] = []
        for one in new_tickets:
            if one.patient_id in present:
                results.append(checks.active_ticket_exists(present[one.patient_id]))
                continue
            refusal = quota.refusal(one.patient_id, self._rules) if one.unattended else None
            if refusal is not None:
                results.append(refusal)
                continue
            ticket = self._new(queue, one, now)
            quota.add(one.patient_id)
            present[one.patient_id] = ticket.id
            results.append(ticket)
        made, waiting_list = self._placed([one for one in results if isinstance(one, Ticket)], now)
        for what, result in zip(new_tickets, results, strict=True):
            if isinstance(result, Ticket):
                self._record(None, made[result.id], queue, what.actor, what.reason)
        return [made[one.id] if isinstance(one, Ticket) else one for one in results], waiting_list

    def call_next(
        self,
        service_key: ServiceKey,
        days: Collection[str],
        counter: Counter,
        actor: str,
        now: datetime.datetime,
        *,
        finish_current: bool = False,
    ) -> Ticket:
        """Claims the ticket whose turn it is.

        Args:
            service_key: Facility and service.
            days: The days whose tickets are called.
            counter: The counter that calls.
            actor: The person at it.
            now: The moment.
            finish_current: End first what the counter is serving.

        Raises:
            MeshError: QUEUE_EMPTY; nothing is ended then.
        """
        queues = self._locked_queues(service_key, days)
        fronts = {queue_id: self._front(queue_id) for queue_id in queues}
        heads = [front[0] for front_of in fronts.values() for front in front_of.values() if front]
        chosen = pick(heads, _rates(queues), now.timestamp())
        if chosen is None:
            raise checks.queue_empty()
        if finish_current:
            self._finish_current(queues, counter, actor, now)
        row = self._session.execute(ONE, {"of": chosen.id}).one()
        queue = queues[row.queue_id]
        ticket = ticket_of(row, queue_of(queue))
        called = self._change(ticket, queue, Change(Status.CALLED, now, actor, counter))
        front = fronts[queue.id]
        front[chosen.priority].popleft()
        # An end of what was read is not the end of the priority.
        if front[chosen.priority]:
            self._fronts[queue.id] = front
        return called

    def call(self, ticket_id: str, counter: Counter, actor: str, now: datetime.datetime) -> Ticket:
        """Calls one ticket out of order, or repeats its call.

        Raises:
            MeshError: TICKET_NOT_FOUND, TRANSITION_NOT_ALLOWED, CALLED_BY_OTHER_COUNTER or
                RECALL_LIMIT.
        """
        ticket, queue = self._locked(ticket_id)
        checks.check_call(ticket, counter, self._rules.recalls)
        return self._change(ticket, queue, Change(Status.CALLED, now, actor, counter))

    def move(
        self, ticket_id: str, status: Status, reason: str, actor: str, now: datetime.datetime
    ) -> Ticket:
        """Moves a ticket to another state.

        Raises:
            MeshError: TICKET_NOT_FOUND, TRANSITION_NOT_ALLOWED or REASON_REQUIRED.
        """
        ticket, queue = self._locked(ticket_id)
        checks.check_move(ticket, status, reason)
        if ticket.status is Status.SKIPPED and status is Status.WAITING:
            queue_time = back_in(
                ticket.queue_time,
                self.class_times(ticket, self._rules.places_back),
                self._rules.places_back,
            )
            ticket = replace(ticket, queue_time=queue_time)
        return self._change(ticket, queue, Change(status, now, actor, ticket.counter, reason))

    def set_priority(
        self, ticket_id: str, priority: Priority, reason: str, actor: str, now: datetime.datetime
    ) -> Ticket:
        """Sets the priority of a waiting ticket. Its time of waiting stays.

        Raises:
            MeshError: TICKET_NOT_FOUND, TICKET_NOT_WAITING or PRIORITY_REASON_REQUIRED.
        """
        ticket, queue = self._locked(ticket_id)
        checks.check_set_priority(ticket, priority, reason)
        change = Change(Status.WAITING, now, actor, reason=reason, priority=priority)
        return self._change(ticket, queue, change)

    def transfer(
        self, ticket_id: str, service: Service, reason: str, actor: str, now: datetime.datetime
    ) -> Ticket:
        """Sends a patient on to another service of the facility.

        Returns:
            The new ticket, which waits there.

        Raises:
            MeshError: TICKET_NOT_FOUND, TRANSITION_NOT_ALLOWED, SAME_SERVICE or
                ACTIVE_TICKET_EXISTS.
        """
        # Refused before the other service gets a queue; checked again under the locks.
        checks.check_transfer(self.get(ticket_id), service.service_id)
        target_id = self._locks.ensured(service, now)
        own_id = self._queue_of(ticket_id)
        # In one order everywhere: two transfers that cross do not wait for each other.
        for queue_id in sorted({own_id, target_id}):
            self._locks.hold(queue_id)
        ticket, queue = self._locked(ticket_id)
        checks.check_transfer(ticket, service.service_id)
        target = self._locks.joined(service, now)
        present = self.open_in(target.id, {ticket.patient_id})
        if present:
            raise checks.active_ticket_exists(present[ticket.patient_id])
        new_ticket = NewTicket(ticket.patient_id, ticket.priority, ticket.priority_reason)
        # A clock that was put back does not make the second ticket older than the first.
        time = max(now, queue.last_change_time)
        joined = replace(
            self._new(target, new_ticket, time),
            journey_id=ticket.journey_id,
            arrive_time=ticket.arrive_time,
            previous_id=ticket.id,
        )
        (made,) = self._placed([joined], now)[0].values()
        self._record(None, made, target, actor, reason)
        change = Change(Status.TRANSFERRED, now, actor, ticket.counter, reason, next_id=made.id)
        self._change(ticket, queue, change)
        return made

    def _new(self, queue: QueueRow, what: NewTicket, now: datetime.datetime) -> Ticket:
        queue.last_number += 1
        time = max(now, queue.last_change_time)
        identifier = str(uuid.uuid4())
        return Ticket(
            id=identifier,
            queue=queue_of(queue),
            sequence=queue.last_number,
            number=domain.number_of(queue.prefix, queue.last_number),
            patient_id=what.patient_id,
            priority=what.priority,
            priority_reason=what.priority_reason,
            status=Status.WAITING,
            version=1,
            calls=0,
            queue_time=time,
            create_time=time,
            update_time=time,
            journey_id=identifier,
            arrive_time=time,
        )

    def _placed(
        self, tickets: Sequence[Ticket], now: datetime.datetime
    ) -> tuple[dict[str, Ticket], WaitingList | None]:
        """Saves new tickets of one queue with the wait that they are told; returns them by id."""
        if not tickets:
            return {}, None
        service = tickets[0].queue.service
        waiting_list = self._waiting_lists.read(self._session, [service], now)[service.key]
        waiting_list = waiting_list.joining([waiting_of(ticket) for ticket in tickets])
        predicted = {ticket.id: _predicted(ticket, waiting_list) for ticket in tickets}
        self._session.execute(insert(TICKET), [ticket_values(one) for one in predicted.values()])
        return predicted, waiting_list

    def _finish_current(
        self,
        queues: Mapping[int, QueueRow],
        counter: Counter,
        actor: str,
        now: datetime.datetime,
    ) -> None:
        serving = select(TICKET).where(
            TICKET.c.queue_id.in_(queues),
            TICKET.c.status == Status.SERVING,
            TICKET.c.counter_id == counter.id,
        )
        for row in self._session.execute(serving).all():
            queue = queues[row.queue_id]
            ticket = ticket_of(row, queue_of(queue))
            self._change(ticket, queue, Change(Status.DONE, now, actor, counter))


def _rates(queues: Mapping[int, QueueRow]) -> Rates:
    if not queues:
        return Rates()
    newest = max(queues.values(), key=lambda queue: queue.day)
    return Rates(newest.rate_high, newest.rate_normal, newest.rate_low)


def _predicted(ticket: Ticket, waiting_list: WaitingList) -> Ticket:
    wait = waiting_list.wait(ticket.id)
    if wait is None:
        return ticket
    return replace(
        ticket, prediction=Prediction(wait.expected_seconds * 1000, wait.high_seconds * 1000)
    )
