"""The locks that order all changes: a row a queue."""

import datetime

from sqlalchemy import select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from queue_svc.domain.days import service_day
from queue_svc.domain.tickets import Service
from queue_svc.persistence.mapping import new_queue
from queue_svc.persistence.models import QueueRow
from queue_svc.persistence.query_base import Query


class QueueLocks:
    """The queues that one unit of work holds. Each is locked once, and until the end."""

    def __init__(self, session: Session) -> None:
        """Locks in `session`."""
        self._session = session
        self._held: dict[int, QueueRow] = {}

    def joined(self, service: Service, now: datetime.datetime) -> QueueRow:
        """Locks the queue that a service's next ticket joins, and gives it the newest facts."""
        query = _today(select(QueueRow), service, now).with_for_update()
        queue = self._session.scalar(query)
        if queue is None:
            queue = self.hold(self.ensured(service, now))
        self._held[queue.id] = queue
        for name, value in vars(service).items():
            if getattr(queue, name) != value:
                setattr(queue, name, value)
        return queue

    def ensured(self, service: Service, now: datetime.datetime) -> int:
        """Returns the queue of a service's today, and makes it when it is missing."""
        query = _today(select(QueueRow.id), service, now)
        found = self._session.scalar(query)
        if found is not None:
            return found
        day = service_day(now, service.time_zone)
        values = new_queue(service, day, now)
        if self._session.get_bind().dialect.name == "sqlite":
            self._session.execute(sqlite.insert(QueueRow).values(values).on_conflict_do_nothing())
        else:
            # Not INSERT IGNORE: it keeps a shared lock, and two that want more deadlock.
            self._session.execute(
                mysql.insert(QueueRow).values(values).on_duplicate_key_update(day=day)
            )
        return self._session.scalars(query).one()

    def hold(self, queue_id: int) -> QueueRow:
        """Locks a queue's row until the end of the transaction."""
        if queue_id not in self._held:
            self._held[queue_id] = self._session.get_one(
                QueueRow, queue_id, with_for_update=True, populate_existing=True
            )
        return self._held[queue_id]


def _today(query: Query, service: Service, now: datetime.datetime) -> Query:
    return query.where(
        QueueRow.institution_id == service.institution_id,
        QueueRow.service_id == service.service_id,
        QueueRow.day == service_day(now, service.time_zone),
    )
