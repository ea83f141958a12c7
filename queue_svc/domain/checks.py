"""What may be done to a ticket, and what is refused."""

import datetime
from collections import defaultdict
from collections.abc import Iterable

from mesh.errors import MeshError, StatusCode, failed_precondition, invalid
from queue_svc.domain.rules import Rules
from queue_svc.domain.states import AT_COUNTER, TRANSITIONS, Priority, Status, targets
from queue_svc.domain.tickets import Counter, Ticket

QUOTA_WINDOW = datetime.timedelta(hours=1)
"""The time in which a patient may take so many tickets without staff."""


def check_move(ticket: Ticket, status: Status, reason: str) -> None:
    """Refuses a change of state that nobody may ask for alone.

    Only a call makes a ticket CALLED, and only a transfer makes it TRANSFERRED.

    Raises:
        MeshError: TRANSITION_NOT_ALLOWED; REASON_REQUIRED when a call is taken back without one.
    """
    if status in (Status.CALLED, Status.TRANSFERRED):
        raise _not_allowed(ticket, status)
    _check(ticket, status)
    if status is Status.WAITING and ticket.status in AT_COUNTER and not reason.strip():
        raise invalid("reason", "say why the call is taken back", "REASON_REQUIRED")


def check_transfer(ticket: Ticket, service_id: str) -> None:
    """Refuses to send on a patient who is not being served, or to where they are.

    Raises:
        MeshError: TRANSITION_NOT_ALLOWED or SAME_SERVICE.
    """
    _check(ticket, Status.TRANSFERRED)
    if ticket.queue.service.service_id == service_id:
        raise invalid("service_id", "the patient is at this service", "SAME_SERVICE")


def check_set_priority(ticket: Ticket, priority: Priority, reason: str) -> None:
    """Refuses a priority for a patient who does not wait, and URGENT without a reason.

    Raises:
        MeshError: TICKET_NOT_WAITING or PRIORITY_REASON_REQUIRED.
    """
    if ticket.status is not Status.WAITING:
        raise failed_precondition(
            f"a {ticket.status.name} ticket has no place in the queue",
            "TICKET_NOT_WAITING",
            **{"from": ticket.status.name},
        )
    if priority is Priority.URGENT and not reason.strip():
        raise invalid("reason", "say why it is urgent", "PRIORITY_REASON_REQUIRED")


def check_call(ticket: Ticket, counter: Counter, recalls: int) -> None:
    """Refuses a call that would take a patient from another counter or be one too many.

    Args:
        ticket: The ticket to call.
        counter: The counter that calls.
        recalls: How often a call may be repeated.

    Raises:
        MeshError: TRANSITION_NOT_ALLOWED, CALLED_BY_OTHER_COUNTER or RECALL_LIMIT.
    """
    _check(ticket, Status.CALLED)
    if ticket.status is Status.WAITING:
        return
    if ticket.counter is not None and ticket.counter.id != counter.id:
        raise failed_precondition("another counter called this ticket", "CALLED_BY_OTHER_COUNTER")
    if ticket.calls > recalls:
        raise failed_precondition(f"a call is repeated at most {recalls} times", "RECALL_LIMIT")


def _check(ticket: Ticket, status: Status) -> None:
    if (ticket.status, status) not in TRANSITIONS:
        raise _not_allowed(ticket, status)


def _not_allowed(ticket: Ticket, status: Status) -> MeshError:
    allowed = ",".join(one.name for one in sorted(targets(ticket.status)))
    return failed_precondition(
        f"a {ticket.status.name} ticket cannot be made {status.name} this way",
        "TRANSITION_NOT_ALLOWED",
        **{"from": ticket.status.name, "allowed": allowed},
    )


def check_priority(priority: Priority, reason: str) -> None:
    """Refuses an URGENT ticket that nobody gave a reason for.

    Raises:
        MeshError: PRIORITY_REASON_REQUIRED.
    """
    if priority is Priority.URGENT and not reason.strip():
        raise invalid("priority_reason", "say why it is urgent", "PRIORITY_REASON_REQUIRED")


def active_ticket_exists(ticket_id: str) -> MeshError:
    """Returns the error for a patient who is in this queue already."""
    return MeshError(
        "the patient has an open ticket of this service and day",
        StatusCode.ALREADY_EXISTS,
        "ACTIVE_TICKET_EXISTS",
        resource=("ticket", ticket_id),
    )


def tickets_limited(retry_after_seconds: float) -> MeshError:
    """Returns the error for a patient who has taken too many tickets."""
    return MeshError(
        "the patient has taken many tickets, wait before the next one",
        StatusCode.RESOURCE_EXHAUSTED,
        "TICKETS_LIMITED",
        retry_after_seconds=retry_after_seconds,
    )


def queue_empty() -> MeshError:
    """Returns the error for a call when nobody waits."""
    return MeshError("nobody waits", StatusCode.NOT_FOUND, "QUEUE_EMPTY")


class TicketQuota:
    """Counts the tickets that some patients took lately, whatever became of them.

    Patients are not locked: those who take tickets of several services at the same moment may get
    one more of each.
    """

    def __init__(
        self, taken: Iterable[tuple[str, datetime.datetime]], now: datetime.datetime
    ) -> None:
        """Starts with what was taken before.

        Args:
            taken: Patient and time of each ticket within QUOTA_WINDOW before `now`, oldest first.
            now: The moment.
        """
        self._now = now
        self._times: dict[str, list[datetime.datetime]] = defaultdict(list)
        for patient_id, time in taken:
            self._times[patient_id].append(time)

    def add(self, patient_id: str) -> None:
        """Counts a ticket that is made now."""
        self._times[patient_id].append(self._now)

    def refusal(self, patient_id: str, rules: Rules) -> MeshError | None:
        """Returns TICKETS_LIMITED with the time to wait, if the patient has taken all they may."""
        times = self._times[patient_id]
        if len(times) < rules.tickets_an_hour:
            return None
        free = times[-rules.tickets_an_hour] + QUOTA_WINDOW
        return tickets_limited(max((free - self._now).total_seconds(), 0.001))
