"""What a caller can read of tickets."""

import datetime
from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, select

from mesh.errors import not_found
from queue_svc.domain.days import active_days
from queue_svc.domain.estimates import WaitingList
from queue_svc.domain.order import Waiting
from queue_svc.domain.states import AT_COUNTER, Priority, Status, TicketEventType
from queue_svc.domain.tickets import Change, Queue, Service, ServiceKey, Ticket, TicketChange
from queue_svc.persistence.mapping import TICKET, counter_of, queue_of, ticket_of
from queue_svc.persistence.models import ChangeRow, QueueRow
from queue_svc.persistence.query_base import QueryBase


class TicketQueries(QueryBase):
    """Reads the tickets that exist for one caller, in one unit of work."""

    def get(self, ticket_id: str) -> Ticket:
        """Returns one ticket.

        Raises:
            MeshError: TICKET_NOT_FOUND, also when the caller may not know of it.
        """
        found = self.by_ids([ticket_id])
        if not found:
            raise not_found("ticket", ticket_id)
        return found[0]

    def by_ids(self, identifiers: Collection[str]) -> list[Ticket]:
        """Returns these tickets, in this order; those out of scope are left out."""
        found = {one.id: one for one in self._tickets(TICKET.c.id.in_(identifiers))}
        return [found[identifier] for identifier in identifiers if identifier in found]

    def uncached_waiting_list(self, ticket: Ticket, now: datetime.datetime) -> WaitingList | None:
        """Returns who waits with a ticket that waits, also in a unit of work that has written."""
        if not ticket.waits:
            return None
        return self._waiting_lists.load_uncached(self._session, ticket.queue.service, now)

    def waiting_lists(
        self, services: Collection[Service], now: datetime.datetime
    ) -> dict[ServiceKey, WaitingList]:
        """Returns who waits for these services, by facility and service."""
        return self._waiting_lists.read(self._session, services, now)

    def history(self, ticket_id: str) -> list[TicketChange]:
        """Returns what happened to a ticket, oldest first.

        Raises:
            MeshError: TICKET_NOT_FOUND.
        """
        self.get(ticket_id)
        query = (
            select(ChangeRow).where(ChangeRow.ticket_id == ticket_id).order_by(ChangeRow.version)
        )
        return [self._recorded(row) for row in self._session.scalars(query)]

    def journey(self, journey_id: str) -> list[Ticket]:
        """Returns the tickets of a visit, in order of issue.

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
        """Returns the oldest waiting ticket of each priority, and the queues they wait in."""
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
        """Returns tickets of a facility by service: who waits in calling order, then the others.

        Args:
            institution_id: The facility.
            service_id: The service. Empty: all of them.
            days: Their days.
            status: Only tickets in this state. None: in any.
            now: The moment.
        """
        queues = self._queues(institution_id, days, service_id)
        services = {queue.key: queue.service for queue in queues}
        others: dict[ServiceKey, list[str]] = {key: [] for key in services}
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
        waiting_lists = (
            self.waiting_lists(services.values(), now) if status in (None, Status.WAITING) else {}
        )
        ordered = sorted(services.values(), key=lambda one: (one.service_name, one.service_id))
        return [
            identifier
            for service in ordered
            for identifier in [
                *(waiting_lists[service.key].order if service.key in waiting_lists else ()),
                *others[service.key],
            ]
        ]

    def current(self, institution_id: str, service_id: str, days: Collection[str]) -> list[str]:
        """Returns tickets that a counter holds, last call first. An empty service means all."""
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
        """Returns tickets of a service that were skipped and may come back, last call first."""
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
        """Returns the open tickets of a patient whose day is not over, oldest first."""
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

    def open_in(self, queue_id: int, patients: Collection[str]) -> dict[str, str]:
        """Returns the open tickets of patients in a queue, by patient."""
        query = select(TICKET.c.open_patient_id, TICKET.c.id).where(
            TICKET.c.queue_id == queue_id, TICKET.c.open_patient_id.in_(patients)
        )
        return {row[0]: row[1] for row in self._session.execute(query)}

    def taken_since(
        self, patients: Collection[str], moment: datetime.datetime
    ) -> list[tuple[str, datetime.datetime]]:
        """Returns patient and time of the tickets that patients took after a moment, in order."""
        if not patients:
            return []
        query = (
            select(TICKET.c.patient_id, TICKET.c.create_time)
            .where(TICKET.c.patient_id.in_(patients), TICKET.c.create_time > moment)
            .order_by(TICKET.c.create_time)
        )
        return [(row.patient_id, row.create_time) for row in self._session.execute(query)]

    def class_times(self, ticket: Ticket, most: int) -> list[datetime.datetime]:
        """Returns from when waiting counts for the first of a ticket's priority in its queue."""
        query = (
            select(TICKET.c.queue_time)
            .where(
                TICKET.c.queue_id == ticket.queue.id,
                TICKET.c.status == Status.WAITING,
                TICKET.c.priority == ticket.priority,
            )
            .order_by(TICKET.c.queue_time, TICKET.c.sequence)
            .limit(most)
        )
        return list(self._session.scalars(query))

    def _tickets(self, condition: Any) -> list[Ticket]:
        rows = self._session.execute(self._visible(select(TICKET)).where(condition)).all()
        queues = self._queues_by_id({row.queue_id for row in rows})
        return [ticket_of(row, queues[row.queue_id]) for row in rows]

    def _queues_by_id(self, identifiers: Collection[int]) -> dict[int, Queue]:
        if not identifiers:
            return {}
        query = select(QueueRow).where(QueueRow.id.in_(identifiers))
        return {row.id: queue_of(row) for row in self._session.scalars(query)}

    def _recorded(self, row: ChangeRow) -> TicketChange:
        return TicketChange(
            act=TicketEventType(row.act),
            version=row.version,
            priority=Priority(row.priority),
            change=Change(
                Status(row.status),
                row.time,
                row.actor,
                counter_of(row.counter_id, row.counter_name),
                self._reason(row),
                Priority(row.priority) if row.act == TicketEventType.UPDATED else None,
            ),
        )

    def _reason(self, row: ChangeRow) -> str:
        if row.reason is None:
            return ""
        return self._cipher.decrypt(
            row.reason, reason_associated_data(row.ticket_id, row.version)
        ).decode()


def reason_associated_data(ticket_id: str, version: int) -> str:
    """Returns what a reason is bound to, so that it cannot be moved to another change."""
    return f"ticket_changes/{ticket_id}/{version}/reason"


def _waiting(row: Row[Any]) -> Waiting:
    return Waiting(row.queue_time.timestamp(), row.sequence, row.id, Priority(row.priority))
