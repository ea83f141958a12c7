"""The repository of tickets.

Every change locks the row of its queue first: numbers stay gap-free, two counters never get the
same ticket, and nobody is told that a queue is empty while a ticket is on its way in.
"""

import datetime
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Row,
    Select,
    SmallInteger,
    String,
    UniqueConstraint,
    func,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from mesh.crypto import FieldCipher
from mesh.errors import not_found
from mesh.idempotency import idempotency_table
from mesh.outbox import outbox_table
from mesh.storage import UtcDateTime
from queue_svc.domain import tickets as domain
from queue_svc.domain.days import active_days, service_day
from queue_svc.domain.estimates import Line, rolling_mean, service_seconds
from queue_svc.domain.numbers import Tally
from queue_svc.domain.order import Waiting, pick
from queue_svc.domain.rules import Rules
from queue_svc.domain.tickets import (
    AT_COUNTER,
    Change,
    Counter,
    Priority,
    Queue,
    Reach,
    Service,
    Status,
    Ticket,
)


class Base(DeclarativeBase):
    """Models of the queue service."""


IDEMPOTENCY = idempotency_table(Base.metadata)
OUTBOX = outbox_table(Base.metadata)
Query = TypeVar("Query", bound=Select[*tuple[Any, ...]])
_Key = BigInteger().with_variant(Integer, "sqlite")


class QueueRow(Base):
    """The queue of one service on one facility-local day; its lock orders all changes."""

    __tablename__ = "queues"
    __table_args__ = (
        UniqueConstraint("institution_id", "service_id", "day", name="uq_queues_day"),
        Index("ix_queues_days", "institution_id", "day"),
    )

    id: Mapped[int] = mapped_column(_Key, primary_key=True, autoincrement=True)
    institution_id: Mapped[str] = mapped_column(String(36))
    service_id: Mapped[str] = mapped_column(String(36))
    day: Mapped[str] = mapped_column(String(10))
    institution_name: Mapped[str] = mapped_column(String(120))
    service_name: Mapped[str] = mapped_column(String(80))
    time_zone: Mapped[str] = mapped_column(String(40))
    prefix: Mapped[str] = mapped_column(String(2))
    service_minutes: Mapped[int]
    last_number: Mapped[int]
    last_issue_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    served: Mapped[int]
    busy_ms: Mapped[int]
    last_called_number: Mapped[str] = mapped_column(String(12))
    last_call_time: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())


class TicketRow(Base):
    """A ticket. The update of a row names the version that it changes."""

    __tablename__ = "tickets"
    __table_args__ = (
        UniqueConstraint("queue_id", "sequence", name="uq_tickets_sequence"),
        UniqueConstraint("queue_id", "open_patient_id", name="uq_tickets_open"),
        Index("ix_tickets_line", "queue_id", "status", "priority", "queue_time", "sequence"),
        Index("ix_tickets_calls", "queue_id", "call_time", "counter_id"),
        Index("ix_tickets_open_patient", "open_patient_id", "create_time"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"))
    sequence: Mapped[int]
    number: Mapped[str] = mapped_column(String(12))
    patient_id: Mapped[str] = mapped_column(String(36))
    open_patient_id: Mapped[str | None] = mapped_column(String(36))
    """The patient as long as the ticket is open: one open ticket each and queue."""
    priority: Mapped[Priority] = mapped_column(SmallInteger())
    status: Mapped[Status] = mapped_column(SmallInteger())
    version: Mapped[int] = mapped_column()
    calls: Mapped[int]
    queue_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    create_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    update_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    call_time: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())
    serve_time: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())
    close_time: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())
    counter_id: Mapped[str | None] = mapped_column(String(36))
    counter_name: Mapped[str | None] = mapped_column(String(40))
    wait_ms: Mapped[int | None]
    service_ms: Mapped[int | None]

    __mapper_args__ = {"version_id_col": version, "version_id_generator": False}  # noqa: RUF012 - SQLAlchemy's form


class ChangeRow(Base):
    """One change of a ticket; the first one is its issue."""

    __tablename__ = "ticket_changes"

    ticket_id: Mapped[str] = mapped_column(ForeignKey("tickets.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    status: Mapped[Status] = mapped_column(SmallInteger())
    time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    actor: Mapped[str] = mapped_column(String(36))
    counter_id: Mapped[str | None] = mapped_column(String(36))
    counter_name: Mapped[str | None] = mapped_column(String(40))
    reason: Mapped[bytes | None] = mapped_column(LargeBinary(1024))
    """Encrypted: it may tell of an illness."""


@dataclass(frozen=True)
class Issue:
    """What a new ticket is made from."""

    service: Service
    patient_id: str
    priority: Priority
    reason: str
    """Why it is urgent; empty otherwise."""


def _queue(row: QueueRow) -> Queue:
    return Queue(
        id=row.id,
        service=Service(
            institution_id=row.institution_id,
            institution_name=row.institution_name,
            time_zone=row.time_zone,
            service_id=row.service_id,
            service_name=row.service_name,
            prefix=row.prefix,
            service_minutes=row.service_minutes,
        ),
        day=row.day,
        served=row.served,
        busy_ms=row.busy_ms,
        last_called_number=row.last_called_number,
        last_call_time=row.last_call_time,
    )


def _counter(identifier: str | None, name: str | None) -> Counter | None:
    return None if identifier is None else Counter(identifier, name or "")


def _ticket(row: TicketRow, queue: QueueRow) -> Ticket:
    return Ticket(
        id=row.id,
        queue=_queue(queue),
        sequence=row.sequence,
        number=row.number,
        patient_id=row.patient_id,
        priority=Priority(row.priority),
        status=Status(row.status),
        version=row.version,
        calls=row.calls,
        queue_time=row.queue_time,
        create_time=row.create_time,
        update_time=row.update_time,
        call_time=row.call_time,
        serve_time=row.serve_time,
        close_time=row.close_time,
        counter=_counter(row.counter_id, row.counter_name),
        wait_ms=row.wait_ms,
        service_ms=row.service_ms,
    )


def _new_queue(service: Service, day: str, now: datetime.datetime) -> dict[str, object]:
    return {
        **vars(service),
        "day": day,
        "last_number": 0,
        "last_issue_time": now,
        "served": 0,
        "busy_ms": 0,
        "last_called_number": "",
    }


OpenTickets = Callable[[Session, Reach], "Tickets"]
"""Opens the repository for a caller in a unit of work."""


class Tickets:
    """The tickets that one caller can reach, in one unit of work."""

    def __init__(self, session: Session, reach: Reach, rules: Rules, cipher: FieldCipher) -> None:
        """Works in `session`.

        Args:
            session: The unit of work.
            reach: Which tickets exist for the caller.
            rules: What the rules depend on.
            cipher: Hides reasons.
        """
        self._session = session
        self._reach = reach
        self._rules = rules
        self._cipher = cipher

    def issue(self, what: Issue, actor: str, now: datetime.datetime) -> Ticket:
        """Makes a ticket with the next number of its queue.

        Raises:
            MeshError: ACTIVE_TICKET_EXISTS.
        """
        queue = self._locked_queue_of(what.service, now)
        present = self._session.scalar(
            select(TicketRow.id).where(
                TicketRow.queue_id == queue.id, TicketRow.open_patient_id == what.patient_id
            )
        )
        if present is not None:
            raise domain.active_ticket_exists(present)
        for field, value in vars(what.service).items():
            setattr(queue, field, value)
        queue.last_number += 1
        queue.last_issue_time = time = max(now, queue.last_issue_time)
        row = TicketRow(
            id=str(uuid.uuid4()),
            queue_id=queue.id,
            sequence=queue.last_number,
            number=domain.number_of(queue.prefix, queue.last_number),
            patient_id=what.patient_id,
            open_patient_id=what.patient_id,
            priority=what.priority,
            status=Status.WAITING,
            version=1,
            calls=0,
            queue_time=time,
            create_time=time,
            update_time=time,
        )
        self._session.add(row)
        self._session.flush()
        self._note(row, Change(Status.WAITING, time, actor, reason=what.reason))
        return _ticket(row, queue)

    def call_next(
        self,
        institution_id: str,
        service_id: str,
        days: Collection[str],
        counter: Counter,
        actor: str,
        now: datetime.datetime,
    ) -> Ticket:
        """Claims the ticket whose turn it is.

        Raises:
            MeshError: QUEUE_EMPTY.
        """
        query = self._queues(institution_id, days).where(QueueRow.service_id == service_id)
        queues = {row.id: row for row in self._session.scalars(query.with_for_update())}
        chosen = pick(self._heads(queues), self._rules.rates, now)
        if chosen is None:
            raise domain.queue_empty()
        row = self._session.get_one(TicketRow, chosen.id)
        return self._change(row, queues[row.queue_id], Change(Status.CALLED, now, actor, counter))

    def call(self, ticket_id: str, counter: Counter, actor: str, now: datetime.datetime) -> Ticket:
        """Calls one ticket out of order, or repeats its call.

        Raises:
            MeshError: TICKET_NOT_FOUND, TRANSITION_NOT_ALLOWED, CALLED_BY_OTHER_COUNTER or
                RECALL_LIMIT.
        """
        row, queue = self._locked(ticket_id)
        domain.check_call(_ticket(row, queue), counter, self._rules.recalls)
        return self._change(row, queue, Change(Status.CALLED, now, actor, counter))

    def move(
        self, ticket_id: str, status: Status, reason: str, actor: str, now: datetime.datetime
    ) -> Ticket:
        """Moves a ticket to another state.

        Raises:
            MeshError: TICKET_NOT_FOUND, TRANSITION_NOT_ALLOWED or REASON_REQUIRED.
        """
        row, queue = self._locked(ticket_id)
        ticket = _ticket(row, queue)
        domain.check_move(ticket, status, reason)
        if ticket.status is Status.SKIPPED and status is Status.WAITING:
            row.queue_time = domain.back_in(
                row.queue_time, self._class_times(row), self._rules.places_back
            )
        return self._change(row, queue, Change(status, now, actor, ticket.counter, reason))

    def get(self, ticket_id: str) -> Ticket:
        """One ticket.

        Raises:
            MeshError: TICKET_NOT_FOUND, also when the caller may not know of it.
        """
        found = self.by_ids([ticket_id])
        if not found:
            raise not_found("ticket", ticket_id)
        return found[0]

    def by_ids(self, identifiers: Sequence[str]) -> list[Ticket]:
        """These tickets, in this order; those out of reach are left out."""
        query = self._visible(select(TicketRow, QueueRow)).where(TicketRow.id.in_(identifiers))
        found = {row.id: _ticket(row, queue) for row, queue in self._session.execute(query).all()}
        return [found[identifier] for identifier in identifiers if identifier in found]

    def changes_of(self, ticket_id: str) -> list[Change]:
        """What happened to a ticket after its issue, without the reasons.

        Raises:
            MeshError: TICKET_NOT_FOUND.
        """
        query = (
            self._visible(select(ChangeRow).join(TicketRow, TicketRow.id == ChangeRow.ticket_id))
            .where(ChangeRow.ticket_id == ticket_id, ChangeRow.version > 1)
            .order_by(ChangeRow.version)
        )
        return [
            Change(
                Status(row.status), row.time, row.actor, _counter(row.counter_id, row.counter_name)
            )
            for row in self._session.scalars(query)
        ]

    def lines(
        self, services: Iterable[Service], now: datetime.datetime
    ) -> dict[tuple[str, str], Line]:
        """Who waits for these services, by facility and service. Three queries for all of them."""
        wanted = {
            (service.institution_id, service.service_id, day)
            for service in services
            for day in active_days(now, service.time_zone, self._rules.carry_hours)
        }
        if not wanted:
            return {}
        key = tuple_(QueueRow.institution_id, QueueRow.service_id, QueueRow.day)
        queues = {
            row.id: _queue(row)
            for row in self._session.scalars(
                select(QueueRow).where(key.in_(wanted)).order_by(QueueRow.day)
            )
        }
        groups: dict[tuple[str, str], list[Queue]] = defaultdict(list)
        for queue in queues.values():
            groups[queue.key].append(queue)
        waiting: dict[tuple[str, str], list[Waiting]] = defaultdict(list)
        for queue_id, identifier, priority, queue_time, sequence in self._session.execute(
            select(
                TicketRow.queue_id,
                TicketRow.id,
                TicketRow.priority,
                TicketRow.queue_time,
                TicketRow.sequence,
            ).where(TicketRow.queue_id.in_(queues), TicketRow.status == Status.WAITING)
        ):
            one = Waiting(identifier, Priority(priority), queue_time, sequence)
            waiting[queues[queue_id].key].append(one)
        counters: dict[tuple[str, str], set[str | None]] = defaultdict(set)
        for queue_id, counter_id in self._session.execute(
            select(TicketRow.queue_id, TicketRow.counter_id)
            .where(
                TicketRow.queue_id.in_(queues),
                TicketRow.call_time >= now - self._rules.counter_window,
                TicketRow.counter_id.is_not(None),
            )
            .distinct()
        ):
            counters[queues[queue_id].key].add(counter_id)
        return {
            key: Line(
                waiting=tuple(waiting[key]),
                rates=self._rules.rates,
                now=now,
                service_seconds=service_seconds(days[-1]),
                counters=max(1, len(counters[key])),
                last_called_number=max(days, key=_last_call).last_called_number,
            )
            for key, days in groups.items()
        }

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
        query = self._visible(
            select(TicketRow.id, TicketRow.status, TicketRow.sequence, QueueRow)
        ).where(QueueRow.institution_id == institution_id, QueueRow.day.in_(days))
        if service_id:
            query = query.where(QueueRow.service_id == service_id)
        if status is not None:
            query = query.where(TicketRow.status == status)
        rows = self._session.execute(query).all()
        queues = {row.QueueRow.id: _queue(row.QueueRow) for row in rows}
        waits = any(row.status == Status.WAITING for row in rows)
        lines = self.lines([queue.service for queue in queues.values()], now) if waits else {}
        places = {
            identifier: place
            for line in lines.values()
            for place, identifier in enumerate(line.order)
        }

        def rank(row: Row[str, Status, int, QueueRow]) -> tuple[str | int, ...]:
            identifier, state, sequence, queue = row
            turn = (0, places.get(identifier, 0)) if state == Status.WAITING else (1, 0)
            return queue.service_name, queue.service_id, *turn, queue.day, sequence

        return [row.id for row in sorted(rows, key=rank)]

    def current(self, institution_id: str, service_id: str, days: Collection[str]) -> list[str]:
        """Tickets that a counter holds, last call first. An empty service means all of them."""
        query = (
            self._visible(select(TicketRow.id))
            .where(
                QueueRow.institution_id == institution_id,
                QueueRow.day.in_(days),
                TicketRow.status.in_(AT_COUNTER),
            )
            .order_by(TicketRow.call_time.desc(), TicketRow.id)
        )
        if service_id:
            query = query.where(QueueRow.service_id == service_id)
        return list(self._session.scalars(query))

    def open_of(self, patient_id: str, now: datetime.datetime) -> list[str]:
        """The open tickets of a patient whose day is not over, oldest first."""
        query = (
            self._visible(select(TicketRow.id, QueueRow.day, QueueRow.time_zone))
            .where(
                TicketRow.open_patient_id == patient_id,
                TicketRow.create_time >= now - datetime.timedelta(days=2),
            )
            .order_by(TicketRow.create_time, TicketRow.id)
        )
        return [
            row.id
            for row in self._session.execute(query)
            if row.day in active_days(now, row.time_zone, self._rules.carry_hours)
        ]

    def tallies(self, institution_id: str, days: Collection[str]) -> dict[tuple[str, str], Tally]:
        """Numbers of a facility by day and service."""
        query = (
            self._visible(
                select(
                    QueueRow.day,
                    QueueRow.service_id,
                    TicketRow.status,
                    func.count(),
                    func.sum(TicketRow.wait_ms),
                    func.count(TicketRow.wait_ms),
                    func.sum(TicketRow.service_ms),
                    func.count(TicketRow.service_ms),
                )
            )
            .where(QueueRow.institution_id == institution_id, QueueRow.day.in_(days))
            .group_by(QueueRow.day, QueueRow.service_id, TicketRow.status)
        )
        found: dict[tuple[str, str], Tally] = defaultdict(Tally)
        for day, service_id, status, count, wait, called, service, served in self._session.execute(
            query
        ):
            found[day, service_id].add(
                Tally({Status(status): count}, int(wait or 0), called, int(service or 0), served)
            )
        return dict(found)

    def _visible(self, query: Query) -> Query:
        query = query.join(QueueRow, QueueRow.id == TicketRow.queue_id)
        if self._reach.institution_id is not None:
            query = query.where(QueueRow.institution_id == self._reach.institution_id)
        if self._reach.patient_id is not None:
            query = query.where(TicketRow.patient_id == self._reach.patient_id)
        return query

    def _queues(self, institution_id: str, days: Collection[str]) -> Select[QueueRow]:
        query = select(QueueRow).where(
            QueueRow.institution_id == institution_id, QueueRow.day.in_(days)
        )
        if self._reach.institution_id is not None:
            query = query.where(QueueRow.institution_id == self._reach.institution_id)
        return query.order_by(QueueRow.day)

    def _locked_queue_of(self, service: Service, now: datetime.datetime) -> QueueRow:
        day = service_day(now, service.time_zone)
        query = (
            select(QueueRow)
            .where(
                QueueRow.institution_id == service.institution_id,
                QueueRow.service_id == service.service_id,
                QueueRow.day == day,
            )
            .with_for_update()
        )
        row = self._session.scalar(query)
        if row is not None:
            return row
        values = _new_queue(service, day, now)
        if self._session.get_bind().dialect.name == "sqlite":
            self._session.execute(sqlite.insert(QueueRow).values(values).on_conflict_do_nothing())
        else:
            # Not INSERT IGNORE: it keeps a shared lock, and two that want more deadlock.
            self._session.execute(
                mysql.insert(QueueRow).values(values).on_duplicate_key_update(day=day)
            )
        return self._session.execute(query).scalar_one()

    def _locked(self, ticket_id: str) -> tuple[TicketRow, QueueRow]:
        """A ticket and its queue. The queue's lock comes first, as everywhere."""
        queue_id = self._session.scalar(
            self._visible(select(TicketRow.queue_id)).where(TicketRow.id == ticket_id)
        )
        if queue_id is None:
            raise not_found("ticket", ticket_id)
        queue = self._session.get_one(QueueRow, queue_id, with_for_update=True)
        return self._session.get_one(TicketRow, ticket_id), queue

    def _heads(self, queues: Collection[int]) -> list[Waiting]:
        if not queues:
            return []
        heads = [
            select(
                TicketRow.id.label("id"),
                TicketRow.priority.label("priority"),
                TicketRow.queue_time.label("queue_time"),
                TicketRow.sequence.label("sequence"),
            )
            .where(
                TicketRow.queue_id == queue_id,
                TicketRow.status == Status.WAITING,
                TicketRow.priority == priority,
            )
            .order_by(TicketRow.queue_time, TicketRow.sequence)
            .limit(1)
            .subquery()
            for queue_id in queues
            for priority in Priority
        ]
        query = union_all(*(select(head) for head in heads))
        return [
            Waiting(row.id, Priority(row.priority), row.queue_time, row.sequence)
            for row in self._session.execute(query)
        ]

    def _class_times(self, row: TicketRow) -> list[datetime.datetime]:
        query = (
            select(TicketRow.queue_time)
            .where(
                TicketRow.queue_id == row.queue_id,
                TicketRow.status == Status.WAITING,
                TicketRow.priority == row.priority,
            )
            .order_by(TicketRow.queue_time, TicketRow.sequence)
            .limit(self._rules.places_back)
        )
        return list(self._session.scalars(query))

    def _change(self, row: TicketRow, queue: QueueRow, change: Change) -> Ticket:
        ticket = domain.changed(_ticket(row, queue), change)
        for field in (
            *("status", "version", "calls", "update_time", "call_time", "serve_time"),
            *("close_time", "wait_ms", "service_ms"),
        ):
            setattr(row, field, getattr(ticket, field))
        row.counter_id = ticket.counter.id if ticket.counter else None
        row.counter_name = ticket.counter.name if ticket.counter else None
        row.open_patient_id = ticket.patient_id if ticket.open else None
        if ticket.status is Status.CALLED:
            queue.last_called_number, queue.last_call_time = ticket.number, ticket.update_time
        if ticket.status is Status.DONE and ticket.call_time is not None:
            busy = ticket.update_time - ticket.call_time
            busy_ms = round(busy.total_seconds() * 1000)
            queue.busy_ms = rolling_mean(queue.busy_ms, queue.served, busy_ms)
            queue.served += 1
        self._session.flush()
        self._note(row, change)
        return _ticket(row, queue)

    def _note(self, row: TicketRow, change: Change) -> None:
        place = f"ticket_changes/{row.id}/{row.version}/reason"
        self._session.add(
            ChangeRow(
                ticket_id=row.id,
                version=row.version,
                status=change.status,
                time=row.update_time,
                actor=change.actor,
                counter_id=change.counter.id if change.counter else None,
                counter_name=change.counter.name if change.counter else None,
                reason=self._cipher.encrypt(change.reason.encode(), place)
                if change.reason
                else None,
            )
        )


def _last_call(queue: Queue) -> datetime.datetime:
    return queue.last_call_time or datetime.datetime.min.replace(tzinfo=datetime.UTC)
