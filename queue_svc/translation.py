"""Domain values as messages and events."""

import datetime
import uuid
from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from mediq.queue.v1 import queue_pb2 as messages
from mediq.queue.v1 import queue_service_pb2 as requests
from mediq.queue.v1.event_pb2 import TicketEvent, TicketEventType

from mesh.events import Event
from mesh.times import timestamp
from queue_svc.domain.estimates import Line
from queue_svc.domain.numbers import Tally
from queue_svc.domain.tickets import Status, Ticket
from queue_svc.store import Tickets

_EVENTS = {
    Status.CALLED: (TicketEventType.TICKET_EVENT_TYPE_CALLED, "called"),
    Status.CANCELLED: (TicketEventType.TICKET_EVENT_TYPE_CANCELLED, "cancelled"),
}
_ISSUED = (TicketEventType.TICKET_EVENT_TYPE_ISSUED, "issued")
_UPDATED = (TicketEventType.TICKET_EVENT_TYPE_UPDATED, "updated")


def _time(moment: datetime.datetime | None) -> Timestamp | None:
    return None if moment is None else timestamp(moment)


def _milliseconds(value: int | None) -> Duration | None:
    if value is None:
        return None
    return Duration(seconds=value // 1000, nanos=value % 1000 * 1_000_000)


def status_of(ticket: Ticket) -> messages.TicketStatus.ValueType:
    """The state as the contracts number it."""
    return messages.TicketStatus.ValueType(ticket.status)


def ticket_message(ticket: Ticket, line: Line | None) -> messages.Ticket:
    """A ticket with its place in the line; None when there is no line to stand in."""
    wait = None if line is None else line.wait_seconds(ticket)
    service = ticket.queue.service
    return messages.Ticket(
        id=ticket.id,
        number=ticket.number,
        institution_id=service.institution_id,
        institution_name=service.institution_name,
        service_id=service.service_id,
        service_name=service.service_name,
        patient_id=ticket.patient_id,
        priority=messages.Priority.ValueType(ticket.priority),
        status=status_of(ticket),
        service_day=ticket.queue.day,
        time_zone=service.time_zone,
        people_ahead=0 if line is None else line.ahead(ticket),
        estimated_wait=None if wait is None else Duration(seconds=wait),
        counter_name=ticket.counter.name if ticket.counter else "",
        create_time=_time(ticket.create_time),
        call_time=_time(ticket.call_time),
        serve_time=_time(ticket.serve_time),
        close_time=_time(ticket.close_time),
        version=ticket.version,
    )


def described(
    tickets: Tickets, found: Sequence[Ticket], now: datetime.datetime
) -> list[messages.Ticket]:
    """Tickets as messages; the lines that they stand in are read together."""
    waiting = [ticket.queue.service for ticket in found if ticket.status is Status.WAITING]
    lines = tickets.lines(waiting, now)
    return [ticket_message(ticket, lines.get(ticket.queue.key)) for ticket in found]


def position_message(ticket: Ticket, line: Line | None) -> requests.TicketPosition:
    """The place of a ticket in the line, and the last number called."""
    wait = None if line is None else line.wait_seconds(ticket)
    return requests.TicketPosition(
        ticket_id=ticket.id,
        status=status_of(ticket),
        people_ahead=0 if line is None else line.ahead(ticket),
        estimated_wait=None if wait is None else Duration(seconds=wait),
        last_called_number=(line or ticket.queue).last_called_number,
    )


def topic_of(ticket: Ticket, word: str) -> str:
    """The routing key of a ticket's events; `*` as the word stands for all of them."""
    return f"{ticket.queue.service.institution_id}.{ticket.queue.service.service_id}.{word}"


def event_of(ticket: Ticket) -> Event:
    """The event of the change that made a ticket what it is."""
    kind, word = _ISSUED if ticket.version == 1 else _EVENTS.get(ticket.status, _UPDATED)
    made = TicketEvent(
        id=str(uuid.uuid4()),
        type=kind,
        ticket_id=ticket.id,
        number=ticket.number,
        institution_id=ticket.queue.service.institution_id,
        service_id=ticket.queue.service.service_id,
        status=status_of(ticket),
        counter_name=ticket.counter.name if ticket.counter else "",
        occur_time=_time(ticket.update_time),
        version=ticket.version,
    )
    return Event(made.id, topic_of(ticket, word), made.SerializeToString())


def daily_message(day: str, tally: Tally) -> requests.DailyStats:
    """The numbers of one day."""
    return requests.DailyStats(
        day=day,
        issued=tally.issued,
        done=tally.of(Status.DONE),
        no_show=tally.of(Status.NO_SHOW),
        cancelled=tally.of(Status.CANCELLED),
        mean_wait=_milliseconds(tally.mean_wait_ms),
        mean_service=_milliseconds(tally.mean_service_ms),
    )


def now_message(
    institution_id: str, today: str, tallies: dict[tuple[str, str], Tally]
) -> requests.QueueStats:
    """The numbers of a facility now.

    Args:
        institution_id: The facility.
        today: Its day: what is closed counts for today.
        tallies: Numbers by day and service, of all days whose tickets are still called.
    """
    whole = Tally()
    answer = requests.QueueStats(institution_id=institution_id, service_day=today)
    for service_id in sorted({service_id for _, service_id in tallies}):
        one = answer.services.add(service_id=service_id)
        for (day, of), tally in tallies.items():
            if of == service_id:
                one.waiting += tally.of(Status.WAITING)
                one.in_service += tally.in_service
                one.done += tally.of(Status.DONE) if day == today else 0
        answer.waiting += one.waiting
        answer.in_service += one.in_service
        whole.add(tallies.get((today, service_id), Tally()))
    daily = daily_message(today, whole)
    answer.issued, answer.done = daily.issued, daily.done
    answer.no_show, answer.cancelled = daily.no_show, daily.cancelled
    if daily.HasField("mean_wait"):
        answer.mean_wait.CopyFrom(daily.mean_wait)
    return answer
