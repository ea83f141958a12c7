"""The commands that change tickets, and how a batch of them is executed."""

import datetime
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from mesh.clock import Clock
from mesh.contract.access_scope import AccessScope
from mesh.errors import MeshError, StatusCode
from queue_svc.adapters.facilities import Facts, counter_of, require_facts, service_of
from queue_svc.application.group_commit import CommandResult, TicketCommand
from queue_svc.domain.states import Priority, Status
from queue_svc.domain.tickets import ServiceKey, Ticket
from queue_svc.messages.tickets import ticket_message
from queue_svc.persistence.ticket_repository import TicketRepository


@dataclass(frozen=True, kw_only=True)
class ChangeTicket(TicketCommand, ABC):
    """Asks for a change of a ticket."""

    scope: AccessScope
    """The tickets that exist for the caller."""

    @abstractmethod
    def apply(self, tickets: TicketRepository, now: datetime.datetime) -> Ticket:
        """Makes the change. It refuses before it writes: others share its transaction.

        Args:
            tickets: The unit of work.
            now: The moment.

        Returns:
            The ticket that the answer shows.

        Raises:
            MeshError: The change is refused.
        """


@dataclass(frozen=True, kw_only=True)
class CallNextTicket(ChangeTicket):
    """Calls the patient whose turn it is to a counter."""

    institution_id: str
    service_id: str
    counter_id: str
    finish_current: bool
    """Whether what the counter is serving ends first."""
    facts: Facts | None = None

    @property
    def service_key(self) -> ServiceKey:
        """Returns facility and service."""
        return self.institution_id, self.service_id

    def apply(self, tickets: TicketRepository, now: datetime.datetime) -> Ticket:
        facts = require_facts(self.facts)
        return tickets.call_next(
            self.service_key,
            tickets.active_days(facts.institution.time_zone, now),
            counter_of(facts, self.counter_id),
            self.caller,
            now,
            finish_current=self.finish_current,
        )


@dataclass(frozen=True, kw_only=True)
class CallTicket(ChangeTicket):
    """Calls one ticket out of order, or repeats its call."""

    ticket_id: str
    counter_id: str
    facts: Facts | None = None

    def apply(self, tickets: TicketRepository, now: datetime.datetime) -> Ticket:
        counter = counter_of(require_facts(self.facts), self.counter_id)
        return tickets.call(self.ticket_id, counter, self.caller, now)


@dataclass(frozen=True, kw_only=True)
class MoveTicket(ChangeTicket):
    """Moves a ticket to another state, for a reason."""

    ticket_id: str
    status: Status
    reason: str

    def apply(self, tickets: TicketRepository, now: datetime.datetime) -> Ticket:
        return tickets.move(self.ticket_id, self.status, self.reason, self.caller, now)


@dataclass(frozen=True, kw_only=True)
class TransferTicket(ChangeTicket):
    """Sends a patient on to another service of the facility."""

    ticket_id: str
    service_id: str
    reason: str
    facts: Facts | None = None

    def apply(self, tickets: TicketRepository, now: datetime.datetime) -> Ticket:
        service = service_of(require_facts(self.facts))
        return tickets.transfer(self.ticket_id, service, self.reason, self.caller, now)


@dataclass(frozen=True, kw_only=True)
class SetTicketPriority(ChangeTicket):
    """Sets the priority of a waiting ticket."""

    ticket_id: str
    priority: Priority
    reason: str

    def apply(self, tickets: TicketRepository, now: datetime.datetime) -> Ticket:
        return tickets.set_priority(self.ticket_id, self.priority, self.reason, self.caller, now)


def change_tickets(
    tickets: TicketRepository, commands: Sequence[ChangeTicket], clock: Clock
) -> list[CommandResult]:
    """Makes the changes of a batch, one after the other.

    Args:
        tickets: The unit of work.
        commands: The commands, in order.
        clock: Gives the time of each change.

    Raises:
        MeshError: ABORTED; nothing of the batch counts then.
    """
    results: list[tuple[Ticket | MeshError, Sequence[Ticket]]] = []
    tickets.calls_expected = len(commands)
    for one in commands:
        tickets.scope = one.scope
        before = len(tickets.made)
        try:
            ticket = one.apply(tickets, clock())
        except MeshError as error:
            if error.kind is StatusCode.ABORTED:
                raise
            results.append((error, ()))
        else:
            results.append((ticket, [made for _, made in tickets.made[before:]]))
    tickets.finish()
    return [
        CommandResult(one)
        if isinstance(one, MeshError)
        else CommandResult(
            ticket_message(one, tickets.uncached_waiting_list(one, clock())), touched
        )
        for one, touched in results
    ]
