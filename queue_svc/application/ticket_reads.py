"""Reads of tickets."""

import datetime
from collections.abc import Mapping, Sequence

from mediq.queue.v1 import queue_pb2 as messages

from queue_svc.domain.estimates import Line
from queue_svc.domain.tickets import Key, Ticket
from queue_svc.messages.tickets import ticket_message
from queue_svc.persistence.ticket_queries import TicketReader


def described(
    reader: TicketReader, found: Sequence[Ticket], now: datetime.datetime
) -> list[messages.Ticket]:
    """Tickets as messages; the lines that they stand in are read together."""
    waiting = [ticket.queue.service for ticket in found if ticket.waits]
    lines: Mapping[Key, Line] = reader.lines(waiting, now) if waiting else {}
    return [ticket_message(ticket, lines.get(ticket.queue.key)) for ticket in found]
