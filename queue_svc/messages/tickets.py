"""Domain values as messages and events."""

import datetime
import uuid
from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from mediq.queue.v1 import queue_pb2 as messages
from mediq.queue.v1 import ticket_service_pb2 as requests
from mediq.queue.v1.event_pb2 import TicketEvent, TicketEventType

from mesh.clock import timestamp
from mesh.messaging.events import Event
from queue_svc.domain.estimates import WaitingList
from queue_svc.domain.journeys import bpjs_tasks, status_history
from queue_svc.domain.tickets import ChangeLogEntry, Ticket, TicketChange
from queue_svc.messages.routing_keys import routing_key

_EVENTS = uuid.UUID("5c3c1c33-8f0b-4c0e-9a60-6a3b1f3f4b52")
"""Namespace of event identifiers: the same change has the same one wherever it is published."""
THREE = 3
"""People ahead at whom a patient is told to come."""


def _time(moment: datetime.datetime | None) -> Timestamp | None:
    return None if moment is None else timestamp(moment)


def status_of(ticket: Ticket) -> messages.TicketStatus.ValueType:
    """Returns the state as the contracts number it."""
    return messages.TicketStatus.ValueType(ticket.status)


def ticket_message(ticket: Ticket, waiting_list: WaitingList | None) -> messages.Ticket:
    """Returns a ticket with its place in the waiting list; None when there is none to stand in."""
    service = ticket.queue.service
    message = messages.Ticket(
        id=ticket.id,
        number=ticket.number,
        institution_id=service.institution_id,
        institution_name=service.institution_name,
        service_id=service.service_id,
        service_name=service.service_name,
        patient_id=ticket.patient_id,
        priority=messages.Priority.ValueType(ticket.priority),
        priority_ground=messages.PriorityGround.ValueType(ticket.priority_reason),
        status=status_of(ticket),
        service_day=ticket.queue.day,
        time_zone=service.time_zone,
        counter_name=ticket.counter.name if ticket.counter else "",
        create_time=_time(ticket.create_time),
        call_time=_time(ticket.call_time),
        serve_time=_time(ticket.serve_time),
        close_time=_time(ticket.close_time),
        version=ticket.version,
        journey_id=ticket.journey_id,
        arrive_time=_time(ticket.arrive_time),
        previous_ticket_id=ticket.previous_id,
        next_ticket_id=ticket.next_id,
        calls=ticket.calls,
    )
    fill_position(message, ticket, waiting_list)
    return message


def fill_position(
    message: messages.Ticket | requests.TicketPosition,
    ticket: Ticket,
    waiting_list: WaitingList | None,
) -> None:
    """Fills in the place of a ticket in its waiting list; only the last call unless it waits."""
    message.last_called_number = (waiting_list or ticket.queue).last_called_number
    if waiting_list is None or not ticket.waits:
        return
    ahead, wait = waiting_list.ahead(ticket.id), waiting_list.wait(ticket.id)
    if ahead is None or wait is None:
        return
    message.people_ahead = ahead
    message.estimated_wait.seconds = wait.expected_seconds
    message.estimated_wait.SetInParent()
    message.estimated_wait_low.CopyFrom(Duration(seconds=wait.low_seconds))
    message.estimated_wait_high.CopyFrom(Duration(seconds=wait.high_seconds))


def position_message(ticket: Ticket, waiting_list: WaitingList | None) -> requests.TicketPosition:
    """Returns the place of a ticket in its waiting list, and the last number called."""
    message = requests.TicketPosition(ticket_id=ticket.id, status=status_of(ticket))
    fill_position(message, ticket, waiting_list)
    return message


def entry_message(entry: ChangeLogEntry) -> TicketEvent:
    """Returns a change log entry as an event."""
    return TicketEvent(
        id=str(uuid.uuid5(_EVENTS, f"{entry.ticket_id}/{entry.version}")),
        type=TicketEventType.ValueType(entry.act),
        ticket_id=entry.ticket_id,
        number=entry.number,
        institution_id=entry.institution_id,
        service_id=entry.service_id,
        status=messages.TicketStatus.ValueType(entry.status),
        counter_name=entry.counter.name if entry.counter else "",
        occur_time=timestamp(entry.time),
        version=entry.version,
        priority=messages.Priority.ValueType(entry.priority),
        service_day=entry.day,
        revision=entry.revision,
        waiting=entry.waiting,
        journey_id=entry.journey_id,
    )


def event_of(entry: ChangeLogEntry) -> Event:
    """Returns a change log entry on its way to the bus."""
    message = entry_message(entry)
    return Event(message.id, routing_key(message), message.SerializeToString(), entry.time)


def history_message(ticket: Ticket, history: Sequence[TicketChange]) -> requests.TicketHistory:
    """Returns what happened to a ticket."""
    return requests.TicketHistory(
        changes=[
            requests.TicketChange(
                version=one.version,
                type=TicketEventType.ValueType(one.act),
                status=messages.TicketStatus.ValueType(one.change.status),
                priority=messages.Priority.ValueType(one.priority),
                actor=one.change.actor,
                counter_name=one.change.counter.name if one.change.counter else "",
                reason=one.change.reason,
                occur_time=timestamp(one.change.time),
                time_zone=ticket.queue.service.time_zone,
            )
            for one in history
        ]
    )


def journey_message(
    tickets: Sequence[Ticket], described_tickets: Sequence[messages.Ticket]
) -> requests.Journey:
    """Returns a visit with the states that follow from its times."""
    first = tickets[0]
    return requests.Journey(
        id=first.journey_id,
        institution_id=first.queue.service.institution_id,
        patient_id=first.patient_id,
        arrive_time=_time(first.arrive_time),
        tickets=described_tickets,
        bpjs_tasks=[
            requests.BpjsTask(task_id=task.task_id, occur_time=timestamp(task.time))
            for task in bpjs_tasks(tickets)
        ],
        status_history=[
            requests.EncounterPeriod(
                status=period.status, start_time=timestamp(period.start), end_time=_time(period.end)
            )
            for period in status_history(tickets)
        ],
    )
