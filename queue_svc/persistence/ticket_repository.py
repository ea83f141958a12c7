"""The changes of tickets.

Every change locks the row of its queue first: numbers stay gap-free, two counters never get the
same ticket, and nobody is told that a queue is empty while a ticket is on its way in. Several
changes may share a transaction; `finish` writes what they have in common.
"""

import datetime
import uuid
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from mesh.contract.access_scope import AccessScope
from mesh.encryption.field_cipher import FieldCipher
from mesh.errors import MeshError, StatusCode, not_found
from queue_svc.domain import checks
from queue_svc.domain import tickets as domain
from queue_svc.domain.estimates import WaitingList, rolling_mean
from queue_svc.domain.order import Rates, Waiting, pick
from queue_svc.domain.rules import Rules
from queue_svc.domain.states import SERVED, Priority, PriorityReason, Status
from queue_svc.domain.tickets import (
    Change,
    ChangeLogEntry,
    Counter,
    Prediction,
    Service,
    ServiceKey,
    Ticket,
)
from queue_svc.persistence.change_log import ChangeLogWriter
from queue_svc.persistence.mapping import (
    CHANGING,
    TICKET,
    queue_of,
    state_values,
    ticket_of,
    ticket_values,
)
from queue_svc.persistence.models import QueueRow
from queue_svc.persistence.queue_locks import QueueLocks
from queue_svc.persistence.ticket_queries import TicketQueries
from queue_svc.persistence.ticket_quota import TicketQuota
from queue_svc.persistence.waiting_lists import WaitingListProjection, waiting_of

ONE = select(TICKET).where(TICKET.c.id == bindparam("of"))
GUARDED = (
    update(TICKET)
    .where(TICKET.c.id == bindparam("of"), TICKET.c.version == bindparam("at"))
    .values({name: bindparam(name) for name in CHANGING})
)
"""A change of a ticket that names the version it changes."""


@dataclass(frozen=True)
class NewTicket:
    """What a new ticket is made from."""

    patient_id: str
    priority: Priority = Priority.NORMAL
    ground: PriorityReason = PriorityReason.NONE
    actor: str = ""
    reason: str = ""
    """Why it is urgent; empty otherwise."""
    unattended: bool = False
    """Whether no staff have a hand in it: a patient takes only so many of these."""


class TicketRepository(TicketQueries):
    """The tickets that exist for one caller, and what can be done to them."""

    def __init__(
        self,
        session: Session,
        scope: AccessScope,
        rules: Rules,
        cipher: FieldCipher,
        waiting_lists: WaitingListProjection,
    ) -> None:
        """Works in `session`; see `TicketQueries`."""
        super().__init__(session, scope, rules, cipher, waiting_lists)
        # A queue's row is written once, at the end, however many changes it has seen.
        session.autoflush = False
        self.calls_expected = 1
        """Calls of the next patient that the unit of work may make."""
        self._fronts: dict[int, dict[Priority, deque[Waiting]]] = {}
        self._change_log = ChangeLogWriter(session, cipher)
        self._locks = QueueLocks(session)
        self._queue_ids: dict[object, Sequence[int]] = {}

    @property
    def made(self) -> Sequence[tuple[ChangeLogEntry, Ticket]]:
        """Returns what happened in this unit of work, in order, and each ticket after it."""
        return self._change_log.made

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
        present = self._present(queue, {one.patient_id for one in new_tickets})
        quota = TicketQuota(
            self._session, {one.patient_id for one in new_tickets if one.unattended}, now
        )
        results: list[Ticket | MeshError] = []
        for one in new_tickets:
            if one.patient_id in present:
                results.append(domain.active_ticket_exists(present[one.patient_id]))
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
        heads = [front[0] for classes in fronts.values() for front in classes.values() if front]
        chosen = pick(heads, _rates(queues), now.timestamp())
        if chosen is None:
            raise domain.queue_empty()
        if finish_current:
            self._finish_current(queues, counter, actor, now)
        row = self._session.execute(ONE, {"of": chosen.id}).one()
        queue = queues[row.queue_id]
        ticket = ticket_of(row, queue_of(queue))
        called = self._change(ticket, queue, Change(Status.CALLED, now, actor, counter))
        front = fronts[queue.id]
        front[chosen.priority].popleft()
        # An end of what was read is not the end of the class.
        if front[chosen.priority]:
            self._fronts[queue.id] = front
        return called

    def _front(self, queue_id: int) -> dict[Priority, deque[Waiting]]:
        """Returns the first who wait of each class, enough for the calls of the unit of work."""
        front = self._fronts.get(queue_id)
        if front is None:
            front = {priority: deque() for priority in Priority}
            for row in self._heads([queue_id], self.calls_expected):
                one = Waiting(
                    row.queue_time.timestamp(), row.sequence, row.id, Priority(row.priority)
                )
                front[one.priority].append(one)
        return front

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
            queue_time = domain.back_in(
                ticket.queue_time, self._class_times(ticket), self._rules.places_back
            )
            ticket = replace(ticket, queue_time=queue_time)
        return self._change(ticket, queue, Change(status, now, actor, ticket.counter, reason))

    def set_priority(
        self, ticket_id: str, priority: Priority, reason: str, actor: str, now: datetime.datetime
    ) -> Ticket:
        """Sets the class of a waiting ticket. Its time of waiting stays.

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
        present = self._present(target, {ticket.patient_id})
        if present:
            raise domain.active_ticket_exists(present[ticket.patient_id])
        new_ticket = NewTicket(ticket.patient_id, ticket.priority, ticket.ground)
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

    def finish(self) -> None:
        """Writes what the changes of the unit of work have in common. Nothing comes after it."""
        self._change_log.flush()
        self._session.flush()

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
            ground=what.ground,
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

    def _change(self, ticket: Ticket, queue: QueueRow, change: Change) -> Ticket:
        time = max(change.time, queue.last_change_time)
        after = domain.changed(ticket, replace(change, time=time))
        if after.status is Status.CALLED:
            queue.last_called_number, queue.last_call_time = after.number, after.update_time
        if after.status in SERVED and after.call_time is not None:
            busy_ms = domain.milliseconds(after.call_time, after.update_time)
            queue.busy_ms = rolling_mean(queue.busy_ms, queue.served, busy_ms)
            queue.served += 1
        values = {"of": ticket.id, "at": ticket.version, **state_values(after)}
        if self._session.execute(GUARDED, values).rowcount != 1:  # type: ignore[attr-defined]
            raise MeshError("the ticket changed meanwhile", StatusCode.ABORTED, "VERSION_CONFLICT")
        self._record(ticket, after, queue, change.actor, change.reason, acting=change.counter)
        return replace(after, queue=queue_of(queue))

    def _record(
        self,
        before: Ticket | None,
        after: Ticket,
        queue: QueueRow,
        actor: str,
        reason: str,
        acting: Counter | None = None,
    ) -> None:
        self._fronts.pop(queue.id, None)
        self._change_log.record(before, after, queue, actor, reason, acting)

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

    def _present(self, queue: QueueRow, patients: Collection[str]) -> dict[str, str]:
        """Returns the open tickets of patients in a queue, by patient."""
        query = select(TICKET.c.open_patient_id, TICKET.c.id).where(
            TICKET.c.queue_id == queue.id, TICKET.c.open_patient_id.in_(patients)
        )
        return {row[0]: row[1] for row in self._session.execute(query)}

    def _class_times(self, ticket: Ticket) -> list[datetime.datetime]:
        query = (
            select(TICKET.c.queue_time)
            .where(
                TICKET.c.queue_id == ticket.queue.id,
                TICKET.c.status == Status.WAITING,
                TICKET.c.priority == ticket.priority,
            )
            .order_by(TICKET.c.queue_time, TICKET.c.sequence)
            .limit(self._rules.places_back)
        )
        return list(self._session.scalars(query))

    def _locked_queues(self, service_key: ServiceKey, days: Collection[str]) -> dict[int, QueueRow]:
        key = self.scope, service_key, tuple(days)
        if key not in self._queue_ids:
            query = self._of_facility(select(QueueRow.id), service_key[0], days, service_key[1])
            self._queue_ids[key] = self._session.scalars(query.order_by(QueueRow.id)).all()
        return {queue_id: self._locks.hold(queue_id) for queue_id in self._queue_ids[key]}

    def _queue_of(self, ticket_id: str) -> int:
        queue_id = self._session.scalar(
            self._visible(select(TICKET.c.queue_id)).where(TICKET.c.id == ticket_id)
        )
        if queue_id is None:
            raise not_found("ticket", ticket_id)
        return int(queue_id)

    def _locked(self, ticket_id: str) -> tuple[Ticket, QueueRow]:
        """Locks a ticket's queue, then reads the ticket, in this order as everywhere."""
        queue = self._locks.hold(self._queue_of(ticket_id))
        row = self._session.execute(ONE, {"of": ticket_id}).one()
        return ticket_of(row, queue_of(queue)), queue


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
