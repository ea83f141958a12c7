"""The use cases that change tickets: what stands in one service at one moment is done together."""

from collections.abc import Hashable, Sequence
from dataclasses import replace

from mediq.queue.v1 import queue_pb2 as messages

from mesh.clock import Clock
from mesh.contract.call import Principal
from mesh.persistence.batching import KeyedBatcher
from queue_svc.adapters.facilities import Facilities
from queue_svc.application.change_ticket import (
    CallNextTicket,
    CallTicket,
    ChangeTicket,
    MoveTicket,
    SetTicketPriority,
    TransferTicket,
    change_tickets,
)
from queue_svc.application.group_commit import CommandResult, GroupCommit, Outcome
from queue_svc.application.issue_ticket import IssueTicket, issue_tickets, permitted
from queue_svc.application.unit_of_work import UnitsOfWork
from queue_svc.persistence.ticket_queries import TicketQueries
from queue_svc.persistence.ticket_repository import TicketRepository

BATCH = 64
"""Most changes in one transaction."""
LINGER_SECONDS = 0.006
"""How long the tickets of a busy service wait for each other: less than one write to the disk."""


class TicketCommandHandler:
    """Takes commands, asks the facility for what they need, and executes them in batches."""

    def __init__(
        self, commits: GroupCommit, units: UnitsOfWork, facilities: Facilities, clock: Clock
    ) -> None:
        """Starts without a batch.

        Args:
            commits: Executes batches.
            units: Where a ticket's service is read.
            facilities: Gives the facts of facilities.
            clock: Gives the time.
        """
        self._commits = commits
        self._units = units
        self._facilities = facilities
        self._clock = clock
        self._issuing = KeyedBatcher(self._issue_batch, BATCH, LINGER_SECONDS)
        self._changing = KeyedBatcher(self._change_batch, BATCH)

    async def create(self, command: IssueTicket, who: Principal) -> messages.Ticket:
        """Issues a ticket that a person asks for.

        Raises:
            MeshError: As `permitted` and `issue`.
        """
        return await self.issue(permitted(command, who))

    async def issue(self, command: IssueTicket) -> messages.Ticket:
        """Issues a ticket, together with others of the service.

        Raises:
            MeshError: What the facility could not be asked with, ACTIVE_TICKET_EXISTS,
                TICKETS_LIMITED or REQUEST_ID_REUSED.
        """
        facts = await self._facilities.facts_or_error(command.institution_id, command.service_id)
        return await self._issuing.submit(command.service_key, replace(command, facts=facts))

    async def call_next(self, command: CallNextTicket) -> messages.Ticket:
        """Calls the patient whose turn it is.

        Raises:
            MeshError: As `TicketRepository.call_next`, COUNTER_NOT_FOUND, REQUEST_ID_REUSED.
        """
        facts = await self._facilities.facts_or_error(
            command.institution_id, command.service_id, counter_id=command.counter_id
        )
        return await self.change(command.service_key, replace(command, facts=facts))

    async def call(self, command: CallTicket) -> messages.Ticket:
        """Calls one ticket.

        Raises:
            MeshError: As `TicketRepository.call`, COUNTER_NOT_FOUND, REQUEST_ID_REUSED.
        """
        ticket = await self._units.read_tickets(command.scope, TicketQueries.get, command.ticket_id)
        service_key = ticket.queue.service.key
        facts = await self._facilities.facts_or_error(*service_key, counter_id=command.counter_id)
        return await self.change(service_key, replace(command, facts=facts))

    async def move(self, command: MoveTicket) -> messages.Ticket:
        """Moves a ticket to another state.

        Raises:
            MeshError: As `TicketRepository.move`, REQUEST_ID_REUSED.
        """
        return await self.change(command.ticket_id, command)

    async def transfer(self, command: TransferTicket) -> messages.Ticket:
        """Sends a patient on to another service.

        Raises:
            MeshError: As `TicketRepository.transfer`, SERVICE_NOT_FOUND, REQUEST_ID_REUSED.
        """
        ticket = await self._units.read_tickets(command.scope, TicketQueries.get, command.ticket_id)
        facts = await self._facilities.facts_or_error(
            ticket.queue.service.institution_id, command.service_id
        )
        return await self.change(command.ticket_id, replace(command, facts=facts))

    async def set_priority(self, command: SetTicketPriority) -> messages.Ticket:
        """Sets the priority of a waiting ticket.

        Raises:
            MeshError: As `TicketRepository.set_priority`, REQUEST_ID_REUSED.
        """
        return await self.change(command.ticket_id, command)

    async def change(self, key: Hashable, command: ChangeTicket) -> messages.Ticket:
        """Changes a ticket, together with others of the key.

        Args:
            key: What is changed together: a service, or a ticket.
            command: The command, with the facts that it needs.

        Raises:
            MeshError: What the command is refused with, REQUEST_ID_REUSED.
        """
        return await self._changing.submit(key, command)

    async def _issue_batch(self, commands: Sequence[IssueTicket]) -> Sequence[Outcome | Exception]:
        return await self._commits.commit(commands, self._issue)

    async def _change_batch(
        self, commands: Sequence[ChangeTicket]
    ) -> Sequence[Outcome | Exception]:
        return await self._commits.commit(commands, self._change)

    def _issue(
        self, tickets: TicketRepository, commands: Sequence[IssueTicket]
    ) -> list[CommandResult]:
        return issue_tickets(tickets, commands, self._clock())

    def _change(
        self, tickets: TicketRepository, commands: Sequence[ChangeTicket]
    ) -> list[CommandResult]:
        return change_tickets(tickets, commands, self._clock)
