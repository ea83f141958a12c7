"""A visit in the words of BPJS Antrean Online and of SATUSEHAT, told by its tickets alone."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from queue_svc.domain.states import SERVED, ServiceKind, Status
from queue_svc.domain.tickets import Ticket

ABSENT = 99
"""Task id of BPJS for a patient who was absent or cancelled."""
TICK = datetime.timedelta(milliseconds=1)
"""The unit of BPJS: its `waktu` is a Unix time in milliseconds."""
_STAGES = (ServiceKind.REGISTRATION, ServiceKind.CLINIC, ServiceKind.PHARMACY)
"""The stages that BPJS knows, in its order. It has no way back from one to the one before."""
_LOST = frozenset({Status.NO_SHOW, Status.CANCELLED})
"""States in which a ticket ends without service."""


@dataclass(frozen=True)
class Task:
    """Describes one task of BPJS Antrean Online.

    The ids are those of its web service `antrean/updatewaktu`: 1 waits for registration, 2 is
    being registered, 3 waits for the clinic, 4 is in the clinic, 5 waits for the pharmacy (out
    of the clinic), 6 the medicine is being made, 7 it is handed over, 99 absent or cancelled.
    """

    task_id: int
    """1 to 7, or 99."""
    time: datetime.datetime
    """When it was reached, UTC, in whole milliseconds."""


@dataclass(frozen=True)
class Period:
    """Describes one entry of Encounter.statusHistory (FHIR R4)."""

    status: str
    """Code of EncounterStatus: arrived, in-progress, finished or cancelled."""
    start: datetime.datetime
    """When it began, UTC."""
    end: datetime.datetime | None
    """When it ended, UTC. None while it lasts."""


def bpjs_tasks(tickets: Sequence[Ticket]) -> list[Task]:
    """Returns the tasks that a visit has reached, by id.

    A visit has the tasks of the stages that it went through: 1-2-3-4-5-6-7 for a new patient,
    who begins at a registration; 3-4-5-6-7 for a known one, who begins at a clinic; 6-7 at a
    pharmacy. A stage that was passed over is left out, never made up. Services of kind OTHER
    add nothing, and neither does a ticket of a stage before the one reached already. Of
    several tickets in one stage, the first start and the last end count; the end is told once
    the patient is in a later stage or the visit is over, so that it does not change again.
    99 ends a visit that was given up before 5, or before 7 when it began at a pharmacy.

    Each time is later than the one before, as BPJS demands: one that would not be is put 1 ms
    after it.

    Args:
        tickets: The tickets of one visit, in order of issue.
    """
    registration, clinic, pharmacy = _by_stage(tickets)
    over = _over(tickets)
    found: list[tuple[int, datetime.datetime | None]] = []
    if registration:
        found += [(1, registration[0].create_time), (2, _start(registration))]
    if registration and (clinic or pharmacy or over):
        found.append((3, _end(registration)))
    elif clinic and not registration:
        found.append((3, clinic[0].create_time))
    if clinic:
        found.append((4, _start(clinic)))
    if clinic and (pharmacy or over):
        found.append((5, _end(clinic)))
    if pharmacy:
        found.append((6, _start(pharmacy)))
    if pharmacy and over:
        found.append((7, _end(pharmacy)))
    reached = [(task_id, time) for task_id, time in found if time is not None]
    served = any(task_id in (5, 7) for task_id, _ in reached)
    if (registration or clinic or pharmacy) and tickets[-1].status in _LOST and not served:
        reached.append((ABSENT, tickets[-1].close_time or tickets[-1].update_time))
    return _in_order(reached)


def status_history(tickets: Sequence[Ticket]) -> list[Period]:
    """Returns the states of a visit for SATUSEHAT, each beginning where the one before ended.

    arrived lasts from the arrival until care begins: the first start of service anywhere but
    at a registration (SATUSEHAT: the first assessment). in-progress lasts until the end of the
    last service that was given. finished and cancelled are moments: their start is their end.
    A visit that is over and was served at a registration only has that service as its care. A
    visit is cancelled when it was given up before care began; given up later, it is finished.

    Args:
        tickets: The tickets of one visit, in order of issue.
    """
    if not tickets:
        return []
    last = tickets[-1]
    arrival = _utc(tickets[0].arrive_time or tickets[0].create_time)
    care = [one for one in tickets if one.queue.service.kind is not ServiceKind.REGISTRATION]
    begun = _start(care) or (_start(tickets) if last.status is Status.DONE else None)
    if begun is None:
        if last.status not in _LOST:
            return [Period("arrived", arrival, None)]
        end = max(arrival, _utc(last.close_time or last.update_time))
        return [Period("arrived", arrival, end), Period("cancelled", end, end)]
    start = max(arrival, _utc(begun))
    arrived = Period("arrived", arrival, start)
    ended = _end(tickets)
    if ended is None or not _over(tickets):
        return [arrived, Period("in-progress", start, None)]
    end = max(start, _utc(ended))
    return [arrived, Period("in-progress", start, end), Period("finished", end, end)]


def _by_stage(tickets: Sequence[Ticket]) -> tuple[list[Ticket], list[Ticket], list[Ticket]]:
    """Returns the tickets of each stage, without those that go back to an earlier one."""
    found: tuple[list[Ticket], list[Ticket], list[Ticket]] = ([], [], [])
    stage = 0
    for ticket in tickets:
        kind = ticket.queue.service.kind
        if kind in _STAGES and _STAGES.index(kind) >= stage:
            stage = _STAGES.index(kind)
            found[stage].append(ticket)
    return found


def _over(tickets: Sequence[Ticket]) -> bool:
    """Returns whether no service follows. One that was sent on has a next ticket to come."""
    return bool(tickets) and tickets[-1].status in _LOST | {Status.DONE}


def _start(tickets: Sequence[Ticket]) -> datetime.datetime | None:
    """Returns when the first service began; None when none has."""
    return next((one.serve_time for one in tickets if one.serve_time is not None), None)


def _end(tickets: Sequence[Ticket]) -> datetime.datetime | None:
    """Returns when the last service ended; None when none has."""
    ends = [one.close_time for one in tickets if one.status in SERVED]
    return ends[-1] if ends else None


def _utc(time: datetime.datetime) -> datetime.datetime:
    return time.astimezone(datetime.UTC)


def _in_order(reached: Sequence[tuple[int, datetime.datetime]]) -> list[Task]:
    """Returns the tasks in whole milliseconds, each at least one after the one before."""
    tasks: list[Task] = []
    for task_id, exact in reached:
        time = _utc(exact)
        time = time.replace(microsecond=time.microsecond // 1000 * 1000)
        if tasks:
            time = max(time, tasks[-1].time + TICK)
        tasks.append(Task(task_id, time))
    return tasks
