"""The command that issues a ticket, and how a batch of them is executed."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mesh.contract.call import Principal
from mesh.errors import MeshError, forbidden, invalid
from queue_svc.adapters.facilities import Facts, priority_rules_of, require_facts, service_of
from queue_svc.application.group_commit import CommandResult, TicketCommand
from queue_svc.domain.checks import check_priority
from queue_svc.domain.states import Priority, PriorityReason
from queue_svc.domain.tickets import Service, ServiceKey
from queue_svc.messages.tickets import ticket_message
from queue_svc.persistence.ticket_repository import NewTicket, TicketRepository


@dataclass(frozen=True, kw_only=True)
class IssueTicket(TicketCommand):
    """Asks for a new ticket of a service."""

    institution_id: str
    service_id: str
    patient_id: str
    priority: Priority | None = None
    """The priority that staff state. None: the rules of the facility give it."""
    reason: str = ""
    """Why staff state URGENT; empty otherwise."""
    priority_reasons: Sequence[PriorityReason] = ()
    """What staff see of the patient."""
    age_years: int = 0
    """Age of the patient in years. 0: not known."""
    unattended: bool = False
    """Whether no staff have a hand in it: a patient takes only so many of these."""
    facts: Facts | None = None
    """What the facility says of the service, or the error that it could not be asked with."""

    @property
    def service_key(self) -> ServiceKey:
        """Returns facility and service."""
        return self.institution_id, self.service_id


def permitted(command: IssueTicket, who: Principal) -> IssueTicket:
    """Returns a person's command with its patient, who is the person unless staff ask.

    Raises:
        MeshError: PATIENT_REQUIRED, PRIORITY_REASON_REQUIRED, PRIORITY_STAFF_ONLY or OTHER_PATIENT.
    """
    if who.is_staff:
        if not command.patient_id:
            raise invalid("patient_id", "name the patient", "PATIENT_REQUIRED")
        if command.priority is not None:
            check_priority(command.priority, command.reason)
        return command
    if command.priority is not None or command.reason or command.priority_reasons:
        raise forbidden("only staff set the priority", "PRIORITY_STAFF_ONLY")
    if command.patient_id not in ("", who.subject):
        raise forbidden("a patient takes a ticket for themselves", "OTHER_PATIENT")
    return replace(command, patient_id=who.subject)


def issue_tickets(
    tickets: TicketRepository, commands: Sequence[IssueTicket], now: datetime.datetime
) -> list[CommandResult]:
    """Issues the tickets of a batch, which are all of one service.

    Args:
        tickets: The unit of work.
        commands: The commands, in order.
        now: The moment.
    """
    asked: list[tuple[Service, NewTicket] | MeshError] = [_new_ticket(one) for one in commands]
    found = [one for one in asked if not isinstance(one, MeshError)]
    if not found:
        return [CommandResult(one) for one in asked if isinstance(one, MeshError)]
    issued, waiting_list = tickets.issue(found[-1][0], [new for _, new in found], now)
    tickets.finish()
    results = iter(
        CommandResult(one if isinstance(one, MeshError) else ticket_message(one, waiting_list))
        for one in issued
    )
    return [CommandResult(one) if isinstance(one, MeshError) else next(results) for one in asked]


def _new_ticket(command: IssueTicket) -> tuple[Service, NewTicket] | MeshError:
    """Returns the service and what its new ticket is made from, or why there is none."""
    try:
        facts = require_facts(command.facts)
    except MeshError as error:
        return error
    priority, priority_reason = command.priority, PriorityReason.STAFF
    if priority is None:
        priority, priority_reason = priority_rules_of(facts).choose(
            command.age_years, command.priority_reasons
        )
    return service_of(facts), NewTicket(
        patient_id=command.patient_id,
        priority=priority,
        priority_reason=priority_reason,
        actor=command.caller,
        reason=command.reason,
        unattended=command.unattended,
    )
