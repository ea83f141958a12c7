"""Rows as domain values, and back."""

import datetime
from typing import Any, cast

from sqlalchemy import Row, Table

from queue_svc.domain.states import Priority, PriorityReason, ServiceKind, Status, TicketEventType
from queue_svc.domain.tickets import ChangeLogEntry, Counter, Prediction, Queue, Service, Ticket
from queue_svc.persistence.models import ChangeRow, QueueRow, TicketRow

TICKET = cast(Table, TicketRow.__table__)
CHANGE = cast(Table, ChangeRow.__table__)


def queue_of(row: QueueRow) -> Queue:
    """Returns a queue."""
    return Queue(
        id=row.id,
        service=Service(
            institution_id=row.institution_id,
            institution_name=row.institution_name,
            time_zone=row.time_zone,
            service_id=row.service_id,
            service_name=row.service_name,
            prefix=row.prefix,
            service_minutes=row.service_minutes,
            kind=ServiceKind(row.kind),
            rate_high=row.rate_high,
            rate_normal=row.rate_normal,
            rate_low=row.rate_low,
            standard_minutes=row.standard_minutes,
            opens=row.opens,
            closes=row.closes,
        ),
        day=row.day,
        served=row.served,
        busy_ms=row.busy_ms,
        last_called_number=row.last_called_number,
        last_call_time=row.last_call_time,
        waiting=row.waiting,
    )


def new_queue(service: Service, day: str, now: datetime.datetime) -> dict[str, object]:
    """Returns the values of a queue that nobody has joined yet."""
    return {
        **vars(service),
        "day": day,
        "last_number": 0,
        "last_change_time": now,
        "served": 0,
        "busy_ms": 0,
        "last_called_number": "",
        "revision": 0,
        "waiting": 0,
    }


def counter_of(identifier: str | None, name: str | None) -> Counter | None:
    """Returns a counter; None when none acted."""
    return None if identifier is None else Counter(identifier, name or "")


def ticket_of(row: Row[Any], queue: Queue) -> Ticket:
    """Returns a ticket from all columns of its table."""
    return Ticket(
        id=row.id,
        queue=queue,
        sequence=row.sequence,
        number=row.number,
        patient_id=row.patient_id,
        priority=Priority(row.priority),
        status=Status(row.status),
        version=row.version,
        calls=row.calls,
        queue_time=row.queue_time,
        create_time=row.create_time,
        update_time=row.update_time,
        call_time=row.call_time,
        serve_time=row.serve_time,
        close_time=row.close_time,
        counter=counter_of(row.counter_id, row.counter_name),
        wait_ms=row.wait_ms,
        service_ms=row.service_ms,
        journey_id=row.journey_id,
        arrive_time=row.arrive_time,
        priority_reason=PriorityReason(row.ground),
        previous_id=row.previous_id or "",
        next_id=row.next_id or "",
        prediction=None
        if row.predicted_ms is None
        else Prediction(row.predicted_ms, row.predicted_high_ms),
    )


CHANGING = (
    *("open_patient_id", "priority", "ground", "status", "version", "calls", "queue_time"),
    *("update_time", "call_time", "serve_time", "close_time", "counter_id", "counter_name"),
    *("wait_ms", "service_ms", "next_id"),
)
"""The columns that a change may touch: the names of `state_values`."""


def state_values(ticket: Ticket) -> dict[str, object]:
    """Returns the columns that a change may touch."""
    return {
        "open_patient_id": ticket.patient_id if ticket.open else None,
        "priority": ticket.priority,
        "ground": ticket.priority_reason,
        "status": ticket.status,
        "version": ticket.version,
        "calls": ticket.calls,
        "queue_time": ticket.queue_time,
        "update_time": ticket.update_time,
        "call_time": ticket.call_time,
        "serve_time": ticket.serve_time,
        "close_time": ticket.close_time,
        "counter_id": ticket.counter.id if ticket.counter else None,
        "counter_name": ticket.counter.name if ticket.counter else None,
        "wait_ms": ticket.wait_ms,
        "service_ms": ticket.service_ms,
        "next_id": ticket.next_id or None,
    }


def ticket_values(ticket: Ticket) -> dict[str, object]:
    """Returns all columns of a new ticket."""
    prediction = ticket.prediction
    return {
        **state_values(ticket),
        "id": ticket.id,
        "queue_id": ticket.queue.id,
        "sequence": ticket.sequence,
        "number": ticket.number,
        "patient_id": ticket.patient_id,
        "create_time": ticket.create_time,
        "journey_id": ticket.journey_id,
        "arrive_time": ticket.arrive_time,
        "previous_id": ticket.previous_id or None,
        "predicted_ms": prediction.wait_ms if prediction else None,
        "predicted_high_ms": prediction.high_ms if prediction else None,
    }


def entry_of(row: Any) -> ChangeLogEntry:
    """Returns a change log entry from the columns of `facility_queries.CHANGE_LOG`."""
    return ChangeLogEntry(
        queue_id=row.queue_id,
        revision=row.revision,
        act=TicketEventType(row.act),
        ticket_id=row.ticket_id,
        number=row.number,
        journey_id=row.journey_id,
        institution_id=row.institution_id,
        service_id=row.service_id,
        day=row.day,
        status=Status(row.status),
        priority=Priority(row.priority),
        version=row.version,
        waiting=row.waiting,
        time=row.time,
        counter=counter_of(row.counter_id, row.counter_name),
    )


def change_values(entry: ChangeLogEntry, actor: str, reason: bytes | None) -> dict[str, object]:
    """Returns all columns of a change.

    Args:
        entry: The change.
        actor: Account or service that made it.
        reason: Why, encrypted. None: nobody said.
    """
    counter = entry.counter
    return {
        "ticket_id": entry.ticket_id,
        "version": entry.version,
        "queue_id": entry.queue_id,
        "revision": entry.revision,
        "act": entry.act,
        "status": entry.status,
        "priority": entry.priority,
        "waiting": entry.waiting,
        "time": entry.time,
        "actor": actor,
        "counter_id": counter.id if counter else None,
        "counter_name": counter.name if counter else None,
        "reason": reason,
    }
