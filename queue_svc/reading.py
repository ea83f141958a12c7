"""What a caller can read of tickets, queues and their histories."""

import datetime
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Row, Select, and_, func, or_, select, union_all
from sqlalchemy.orm import Session

from mesh.crypto import FieldCipher
from mesh.errors import not_found
from queue_svc.domain.days import active_days
from queue_svc.domain.estimates import Line
from queue_svc.domain.numbers import Moment, Part, Tally
from queue_svc.domain.order import Waiting
from queue_svc.domain.rules import Rules
from queue_svc.domain.states import AT_COUNTER, Act, Priority, Status
from queue_svc.domain.tickets import (
    Change,
    Entry,
    Queue,
    Reach,
    Recorded,
    Service,
    Ticket,
)
from queue_svc.lines import Key, Lines
from queue_svc.models import ChangeRow, QueueRow, TicketRow
from queue_svc.rollups import tallies
from queue_svc.rows import CHANGE, TICKET, counter_of, entry_of, queue_of, ticket_of

Query = TypeVar("Query", bound=Select[*tuple[Any, ...]])
HISTORY = (
    CHANGE.c.queue_id,
    CHANGE.c.revision,
    CHANGE.c.act,
    CHANGE.c.ticket_id,
    CHANGE.c.status,
    CHANGE.c.priority,
    CHANGE.c.version,
    CHANGE.c.waiting,
    CHANGE.c.time,
    CHANGE.c.counter_id,
    CHANGE.c.counter_name,
    TICKET.c.number,
    TICKET.c.journey_id,
    QueueRow.institution_id,
    QueueRow.service_id,
    QueueRow.day,
)
"""The columns of a queue's history."""
CALLS_SHOWN = 5
"""Earlier calls of a service that a board shows."""


@dataclass(frozen=True)
class Called:
    """A call as a board shows it."""

    ticket_id: str
    number: str
    counter_name: str
    status: Status
    call_time: datetime.datetime
    calls: int


@dataclass(frozen=True)
class ServiceBoard:
    """One service on a board: its queues of the active days, and its calls, last one first."""

    queues: tuple[Queue, ...]
    current: tuple[Called, ...]
    """Tickets that a counter holds."""
    earlier: tuple[Called, ...]
    """Calls before those."""


class TicketReader:
    """The tickets that one caller can reach, in one unit of work."""

    def __init__(
        self, session: Session, reach: Reach, rules: Rules, cipher: FieldCipher, lines: Lines
    ) -> None:
        """Works in `session`.

        Args:
            session: The unit of work.
            reach: Which tickets exist for the caller.
            rules: What the rules depend on.
            cipher: Hides reasons.
            lines: Who waits.
        """
        self._session = session
        self.reach = reach
        self._rules = rules
        self._cipher = cipher
        self._lines = lines

    def get(self, ticket_id: str) -> Ticket:
        """One ticket.

        Raises:
            MeshError: TICKET_NOT_FOUND, also when the caller may not know of it.
        """
        found = self.by_ids([ticket_id])
        if not found:
            raise not_found("ticket", ticket_id)
        return found[0]

    def by_ids(self, identifiers: Collection[str]) -> list[Ticket]:
        """These tickets, in this order; those out of reach are left out."""
        found = {one.id: one for one in self._tickets(TICKET.c.id.in_(identifiers))}
        return [found[identifier] for identifier in identifiers if identifier in found]

    def fresh_line(self, ticket: Ticket, now: datetime.datetime) -> Line | None:
        """Who waits with a ticket that waits, also in a unit of work that has written."""
        if not ticket.waits:
            return None
        return self._lines.fresh(self._session, ticket.queue.service, now)

    def lines(self, services: Collection[Service], now: datetime.datetime) -> dict[Key, Line]:
        """Who waits for these services, by facility and service."""
        return self._lines.read(self._session, services, now)

    def history(self, ticket_id: str) -> list[Recorded]:
        """What happened to a ticket, oldest first.

        Raises:
            MeshError: TICKET_NOT_FOUND.
        """
        self.get(ticket_id)
        query = (
            select(ChangeRow).where(ChangeRow.ticket_id == ticket_id).order_by(ChangeRow.version)
        )
        return [
            Recorded(
                act=Act(row.act),
                version=row.version,
                priority=Priority(row.priority),
                change=Change(
                    Status(row.status),
                    row.time,
                    row.actor,
                    counter_of(row.counter_id, row.counter_name),
                    self._reason(row),
                ),
            )
            for row in self._session.scalars(query)
        ]

    def journey(self, journey_id: str) -> list[Ticket]:
        """The tickets of a visit, in order of issue.

        Raises:
            MeshError: JOURNEY_NOT_FOUND, also when the caller may not know of it.
        """
        found = self._tickets(TICKET.c.journey_id == journey_id)
        if not found:
            raise not_found("journey", journey_id)
        return sorted(found, key=lambda one: (one.create_time, one.id != journey_id, one.id))

    def next_of(
        self, institution_id: str, service_id: str, days: Collection[str]
    ) -> tuple[list[Waiting], list[Queue]]:
        """The oldest waiting ticket of each class, and the queues they wait in."""
        queues = self._queues(institution_id, days, service_id)
        return [_waiting(row) for row in self._heads([queue.id for queue in queues])], queues

    def listed(
        self,
        institution_id: str,
        service_id: str,
        days: Collection[str],
        status: Status | None,
        now: datetime.datetime,
    ) -> list[str]:
        """Tickets of a facility, service by service: who waits in calling order, then the others.

        Args:
            institution_id: The facility.
            service_id: The service. Empty: all of them.
            days: Their days.
            status: Only tickets in this state. None: in any.
            now: The moment.
        """
        queues = self._queues(institution_id, days, service_id)
        services = {queue.key: queue.service for queue in queues}
        others: dict[Key, list[str]] = {key: [] for key in services}
        if status is not Status.WAITING:
            keys = {queue.id: queue.key for queue in queues}
            query = (
                self._visible(select(TICKET.c.id, TICKET.c.queue_id))
                .where(TICKET.c.queue_id.in_(keys), TICKET.c.status != Status.WAITING)
                .order_by(QueueRow.day, TICKET.c.sequence)
            )
            if status is not None:
                query = query.where(TICKET.c.status == status)
            for identifier, queue_id in self._session.execute(query):
                others[keys[queue_id]].append(identifier)
        lines = self.lines(services.values(), now) if status in (None, Status.WAITING) else {}
        ordered = sorted(services.values(), key=lambda one: (one.service_name, one.service_id))
        return [
            identifier
            for service in ordered
            for identifier in [
                *(lines[service.key].order if service.key in lines else ()),
                *others[service.key],
            ]
        ]

    def current(self, institution_id: str, service_id: str, days: Collection[str]) -> list[str]:
        """Tickets that a counter holds, last call first. An empty service means all of them."""
        query = (
            self._visible(select(TICKET.c.id))
            .where(
                QueueRow.institution_id == institution_id,
                QueueRow.day.in_(days),
                TICKET.c.status.in_(AT_COUNTER),
            )
            .order_by(TICKET.c.call_time.desc(), TICKET.c.id)
        )
        if service_id:
            query = query.where(QueueRow.service_id == service_id)
        return list(self._session.scalars(query))

    def skipped(self, institution_id: str, service_id: str, days: Collection[str]) -> list[str]:
        """Tickets of a service that were skipped and may come back, last call first."""
        query = (
            self._visible(select(TICKET.c.id))
            .where(
                QueueRow.institution_id == institution_id,
                QueueRow.service_id == service_id,
                QueueRow.day.in_(days),
                TICKET.c.status == Status.SKIPPED,
            )
            .order_by(TICKET.c.call_time.desc(), TICKET.c.id)
        )
        return list(self._session.scalars(query))

    def open_of(self, patient_id: str, now: datetime.datetime) -> list[str]:
        """The open tickets of a patient whose day is not over, oldest first."""
        query = (
            self._visible(select(TICKET.c.id, QueueRow.day, QueueRow.time_zone))
            .where(
                TICKET.c.open_patient_id == patient_id,
                TICKET.c.create_time >= now - datetime.timedelta(days=2),
            )
            .order_by(TICKET.c.create_time, TICKET.c.id)
        )
        return [
            row.id
            for row in self._session.execute(query)
            if row.day in active_days(now, row.time_zone, self._rules.carry_hours)
        ]

    def queues(self, institution_id: str, days: Collection[str]) -> list[Queue]:
        """The queues of a facility, the older day first."""
        return self._queues(institution_id, days)

    def moments(
        self, queues: Sequence[Queue], now: datetime.datetime
    ) -> dict[tuple[str, str], Moment]:
        """What services look like now, by facility and service.

        Args:
            queues: Their queues of the active days.
            now: The moment.
        """
        keys = {queue.id: queue.key for queue in queues}
        in_service: Counter[Key] = Counter()
        open_counters: dict[Key, set[str]] = defaultdict(set)
        held = (
            select(TICKET.c.queue_id, func.count())
            .where(TICKET.c.queue_id.in_(keys), TICKET.c.status.in_(AT_COUNTER))
            .group_by(TICKET.c.queue_id)
        )
        for queue_id, count in self._session.execute(held):
            in_service[keys[queue_id]] += count
        called = (
            select(TICKET.c.queue_id, TICKET.c.counter_id)
            .where(
                TICKET.c.queue_id.in_(keys),
                TICKET.c.call_time >= now - self._rules.counter_window,
                TICKET.c.counter_id.is_not(None),
            )
            .distinct()
        )
        for queue_id, counter_id in self._session.execute(called):
            open_counters[keys[queue_id]].add(counter_id)
        oldest: dict[Key, float] = {}
        for row in self._heads(list(keys)):
            waited = (now - row.create_time).total_seconds()
            key = keys[row.queue_id]
            oldest[key] = max(0.0, waited, oldest.get(key, 0.0))
        return {
            key: Moment(in_service[key], len(open_counters[key]), oldest.get(key))
            for key in set(keys.values())
        }

    def tallies(self, queues: Sequence[Queue]) -> dict[int, dict[Part, Tally]]:
        """The numbers of queues, by queue."""
        return tallies(self._session, [queue.id for queue in queues])

    def board(
        self, institution_id: str, days: Collection[str], service_id: str = ""
    ) -> tuple[list[ServiceBoard], dict[int, int]]:
        """What a board shows, service by service, and the revision of each queue at that.

        Args:
            institution_id: The facility.
            days: The active days.
            service_id: The service. Empty: all of them.
        """
        rows = self._queue_rows(institution_id, days, service_id)
        groups: dict[Key, list[Queue]] = {}
        for row in rows:
            groups.setdefault((row.institution_id, row.service_id), []).append(queue_of(row))
        boards: list[ServiceBoard] = []
        for queues in groups.values():
            queue_ids = [queue.id for queue in queues]
            current = self._calls(TICKET.c.status.in_(AT_COUNTER), queue_ids, None)
            earlier = self._calls(TICKET.c.status.not_in(AT_COUNTER), queue_ids, CALLS_SHOWN)
            boards.append(ServiceBoard(tuple(queues), current, earlier))
        boards.sort(key=lambda one: (one.queues[-1].service.service_name, one.queues[-1].key))
        return boards, {row.id: row.revision for row in rows}

    def revisions(
        self, institution_id: str, days: Collection[str], service_id: str = ""
    ) -> dict[int, int]:
        """How far the history of each queue of a facility has come."""
        query = self._of_facility(
            select(QueueRow.id, QueueRow.revision), institution_id, days, service_id
        )
        return {row[0]: row[1] for row in self._session.execute(query)}

    def entries(self, seen: Mapping[int, int], limit: int) -> list[Entry]:
        """What happened in queues after some revisions, in the order of their histories.

        Args:
            seen: Last known revision by queue.
            limit: Most entries.
        """
        if not seen:
            return []
        later = [
            and_(CHANGE.c.queue_id == queue_id, CHANGE.c.revision > revision)
            for queue_id, revision in seen.items()
        ]
        query = (
            select(*HISTORY)
            .select_from(ChangeRow)
            .join(TicketRow, TICKET.c.id == CHANGE.c.ticket_id)
            .join(QueueRow, QueueRow.id == CHANGE.c.queue_id)
            .where(or_(*later))
            .order_by(CHANGE.c.time, CHANGE.c.queue_id, CHANGE.c.revision)
            .limit(limit)
        )
        found = [entry_of(row) for row in self._session.execute(query)]
        # Times of one queue never go back, so only different queues are mixed by time.
        return found

    def _tickets(self, condition: Any) -> list[Ticket]:
        rows = self._session.execute(self._visible(select(TICKET)).where(condition)).all()
        queues = self._queues_by_id({row.queue_id for row in rows})
        return [ticket_of(row, queues[row.queue_id]) for row in rows]

    def _queues_by_id(self, identifiers: Collection[int]) -> dict[int, Queue]:
        if not identifiers:
            return {}
        query = select(QueueRow).where(QueueRow.id.in_(identifiers))
        return {row.id: queue_of(row) for row in self._session.scalars(query)}

    def _visible(self, query: Query) -> Query:
        query = query.join(QueueRow, QueueRow.id == TICKET.c.queue_id)
        if self.reach.institution_id is not None:
            query = query.where(QueueRow.institution_id == self.reach.institution_id)
        if self.reach.patient_id is not None:
            query = query.where(TICKET.c.patient_id == self.reach.patient_id)
        return query

    def _queue_rows(
        self, institution_id: str, days: Collection[str], service_id: str = ""
    ) -> Sequence[QueueRow]:
        query = self._of_facility(select(QueueRow), institution_id, days, service_id)
        return self._session.scalars(query.order_by(QueueRow.day, QueueRow.id)).all()

    def _of_facility(
        self, query: Query, institution_id: str, days: Collection[str], service_id: str
    ) -> Query:
        query = query.where(QueueRow.institution_id == institution_id, QueueRow.day.in_(days))
        if service_id:
            query = query.where(QueueRow.service_id == service_id)
        if self.reach.institution_id is not None:
            query = query.where(QueueRow.institution_id == self.reach.institution_id)
        return query

    def _queues(
        self, institution_id: str, days: Collection[str], service_id: str = ""
    ) -> list[Queue]:
        return [queue_of(row) for row in self._queue_rows(institution_id, days, service_id)]

    def _heads(self, queue_ids: Collection[int]) -> Sequence[Row[Any]]:
        """The oldest waiting ticket of each class and queue, all columns."""
        if not queue_ids:
            return []
        heads = [
            select(TICKET)
            .where(
                TICKET.c.queue_id == queue_id,
                TICKET.c.status == Status.WAITING,
                TICKET.c.priority == priority,
            )
            .order_by(TICKET.c.queue_time, TICKET.c.sequence)
            .limit(1)
            .subquery()
            for queue_id in queue_ids
            for priority in Priority
        ]
        return self._session.execute(union_all(*(select(head) for head in heads))).all()

    def _calls(
        self, condition: Any, queue_ids: Collection[int], limit: int | None
    ) -> tuple[Called, ...]:
        query = (
            select(
                TICKET.c.id,
                TICKET.c.number,
                TICKET.c.counter_name,
                TICKET.c.status,
                TICKET.c.call_time,
                TICKET.c.calls,
            )
            .where(TICKET.c.queue_id.in_(queue_ids), TICKET.c.call_time.is_not(None), condition)
            .order_by(TICKET.c.call_time.desc(), TICKET.c.id)
            .limit(limit)
        )
        return tuple(
            Called(row.id, row.number, row.counter_name or "", Status(row.status), *row[4:])
            for row in self._session.execute(query)
        )

    def _reason(self, row: ChangeRow) -> str:
        if row.reason is None:
            return ""
        return self._cipher.decrypt(row.reason, reason_place(row.ticket_id, row.version)).decode()


def reason_place(ticket_id: str, version: int) -> str:
    """What a reason is bound to, so that it cannot be moved to another change."""
    return f"ticket_changes/{ticket_id}/{version}/reason"


def _waiting(row: Row[Any]) -> Waiting:
    return Waiting(row.queue_time.timestamp(), row.sequence, row.id, Priority(row.priority))


OpenReader = Callable[[Session, Reach], TicketReader]
"""Opens the reader for a caller in a unit of work."""
