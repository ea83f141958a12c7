"""Reads of tickets."""

import datetime
from collections.abc import Mapping, Sequence

from mediq.queue.v1 import queue_pb2 as messages

from queue_svc.domain.estimates import WaitingList
from queue_svc.domain.tickets import ServiceKey, Ticket
from queue_svc.messages.tickets import ticket_message
from queue_svc.persistence.ticket_queries import TicketQueries


def describe_tickets(
    reader: TicketQueries, found: Sequence[Ticket], now: datetime.datetime
) -> list[messages.Ticket]:
    """Tickets as messages; the lines that they stand in are read together."""
    waiting = [ticket.queue.service for ticket in found if ticket.waits]
    waiting_lists: Mapping[ServiceKey, WaitingList] = (
        reader.waiting_lists(waiting, now) if waiting else {}
    )
    return [ticket_message(ticket, waiting_lists.get(ticket.queue.key)) for ticket in found]
