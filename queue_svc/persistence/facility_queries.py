"""What a facility looks like: boards, numbers, change logs."""

import datetime
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import and_, func, or_, select

from queue_svc.domain.boards import Called, ServiceBoard
from queue_svc.domain.numbers import DayPart, Moment, Tally
from queue_svc.domain.states import AT_COUNTER, Status
from queue_svc.domain.tickets import ChangeLogEntry, Queue, ServiceKey
from queue_svc.persistence.mapping import CHANGE, TICKET, entry_of, queue_of
from queue_svc.persistence.models import ChangeRow, QueueRow, TicketRow
from queue_svc.persistence.query_base import QueryBase
from queue_svc.persistence.statistics_rollups import tallies

CHANGE_LOG = (
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
"""The columns of a change log entry."""
CALLS_SHOWN = 5
"""Earlier calls of a service that a board shows."""


class FacilityQueries(QueryBase):
    """Reads the queues of facilities that exist for one caller, in one unit of work."""

    def queues(self, institution_id: str, days: Collection[str]) -> list[Queue]:
        """Returns the queues of a facility, the older day first."""
        return self._queues(institution_id, days)

    def moments(
        self, queues: Sequence[Queue], now: datetime.datetime
    ) -> dict[tuple[str, str], Moment]:
        """Returns what services look like now, by facility and service.

        Args:
            queues: Their queues of the active days.
            now: The moment.
        """
        keys = {queue.id: queue.key for queue in queues}
        in_service: Counter[ServiceKey] = Counter()
        open_counters: dict[ServiceKey, set[str]] = defaultdict(set)
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
        oldest: dict[ServiceKey, float] = {}
        for row in self._heads(list(keys)):
            waited = (now - row.create_time).total_seconds()
            key = keys[row.queue_id]
            oldest[key] = max(0.0, waited, oldest.get(key, 0.0))
        return {
            key: Moment(in_service[key], len(open_counters[key]), oldest.get(key))
            for key in set(keys.values())
        }

    def tallies(
        self, queues: Sequence[Queue], *, samples: bool = True
    ) -> dict[int, dict[DayPart, Tally]]:
        """Returns the numbers of queues, by queue; the measured times only if they are needed."""
        return tallies(self._session, [queue.id for queue in queues], samples=samples)

    def board(
        self, institution_id: str, days: Collection[str], service_id: str = ""
    ) -> tuple[list[ServiceBoard], dict[int, int]]:
        """Returns what a board shows, service by service, and the revision of each queue at that.

        Args:
            institution_id: The facility.
            days: The active days.
            service_id: The service. Empty: all of them.
        """
        rows = self._queue_rows(institution_id, days, service_id)
        groups: dict[ServiceKey, list[Queue]] = {}
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
        """Returns how far the change log of each queue of a facility has come."""
        query = self._of_facility(
            select(QueueRow.id, QueueRow.revision), institution_id, days, service_id
        )
        return {row[0]: row[1] for row in self._session.execute(query)}

    def entries(self, seen: Mapping[int, int], limit: int) -> list[ChangeLogEntry]:
        """Returns what happened in queues after some revisions, in the order of their change logs.

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
            select(*CHANGE_LOG)
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
