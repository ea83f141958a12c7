"""The tables of the queue service."""

import datetime

from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from mesh.audit_trail.recorder import audit_table
from mesh.idempotency import idempotency_table
from mesh.persistence.database import UtcDateTime
from mesh.persistence.outbox import outbox_table
from queue_svc.domain.states import Priority, PriorityReason, ServiceKind, Status, TicketEventType


class Base(DeclarativeBase):
    """Collects the models of the queue service."""


IDEMPOTENCY = idempotency_table(Base.metadata)
OUTBOX = outbox_table(Base.metadata)
AUDIT = audit_table(Base.metadata)
_Key = BigInteger().with_variant(Integer, "sqlite")


class QueueRow(Base):
    """Holds the queue of one service on one facility-local day; its lock orders all changes."""

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
    kind: Mapped[ServiceKind] = mapped_column(SmallInteger())
    rate_high: Mapped[float] = mapped_column(Double())
    rate_normal: Mapped[float] = mapped_column(Double())
    rate_low: Mapped[float] = mapped_column(Double())
    standard_minutes: Mapped[int]
    opens: Mapped[str] = mapped_column(String(5))
    closes: Mapped[str] = mapped_column(String(5))
    last_number: Mapped[int]
    last_change_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    served: Mapped[int]
    busy_ms: Mapped[int]
    last_called_number: Mapped[str] = mapped_column(String(12))
    last_call_time: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())
    revision: Mapped[int]
    """Changes of its tickets so far: the place of the last one in the queue's history."""
    waiting: Mapped[int]
    """Tickets that wait."""


class TicketRow(Base):
    """Holds a ticket. The update of a row names the version that it changes."""

    __tablename__ = "tickets"
    __table_args__ = (
        UniqueConstraint("queue_id", "sequence", name="uq_tickets_sequence"),
        UniqueConstraint("queue_id", "open_patient_id", name="uq_tickets_open"),
        Index("ix_tickets_line", "queue_id", "status", "priority", "queue_time", "sequence"),
        Index("ix_tickets_calls", "queue_id", "call_time", "counter_id"),
        Index("ix_tickets_arrivals", "queue_id", "create_time"),
        Index("ix_tickets_open_patient", "open_patient_id", "create_time"),
        Index("ix_tickets_journey", "journey_id"),
        Index("ix_tickets_patient", "patient_id", "create_time"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"))
    sequence: Mapped[int]
    number: Mapped[str] = mapped_column(String(12))
    patient_id: Mapped[str] = mapped_column(String(36))
    """The patient's account; after an erasure a name of the visit that stands for nobody."""
    open_patient_id: Mapped[str | None] = mapped_column(String(36))
    """The patient as long as the ticket is open: one open ticket each and queue."""
    priority: Mapped[Priority] = mapped_column(SmallInteger())
    ground: Mapped[PriorityReason] = mapped_column(SmallInteger())
    status: Mapped[Status] = mapped_column(SmallInteger())
    version: Mapped[int]
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
    predicted_ms: Mapped[int | None]
    """The wait that the patient was told with the ticket."""
    predicted_high_ms: Mapped[int | None]
    """Upper end of the range that was shown."""
    journey_id: Mapped[str] = mapped_column(String(36))
    arrive_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    previous_id: Mapped[str | None] = mapped_column(String(36))
    next_id: Mapped[str | None] = mapped_column(String(36))


class ChangeRow(Base):
    """Holds one change of a ticket; the first one is its issue.

    The rows of a queue are its history: `revision` counts them without gap, so that whoever has
    seen one knows what comes after it.
    """

    __tablename__ = "ticket_changes"
    __table_args__ = (UniqueConstraint("queue_id", "revision", name="uq_ticket_changes_revision"),)

    ticket_id: Mapped[str] = mapped_column(ForeignKey("tickets.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"))
    revision: Mapped[int]
    act: Mapped[TicketEventType] = mapped_column(SmallInteger())
    status: Mapped[Status] = mapped_column(SmallInteger())
    priority: Mapped[Priority] = mapped_column(SmallInteger())
    waiting: Mapped[int]
    """Tickets of the queue that wait after the change."""
    time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    actor: Mapped[str] = mapped_column(String(36))
    counter_id: Mapped[str | None] = mapped_column(String(36))
    counter_name: Mapped[str | None] = mapped_column(String(40))
    reason: Mapped[bytes | None] = mapped_column(LargeBinary(1024))
    """Encrypted: it may tell of an illness."""


class RollupRow(Base):
    """Counts and sums of one part of a queue's day, kept with every change."""

    __tablename__ = "rollups"

    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"), primary_key=True)
    hour: Mapped[int] = mapped_column(SmallInteger(), primary_key=True, autoincrement=False)
    """Facility-local hour in which it happened, 0 to 23."""
    priority: Mapped[Priority] = mapped_column(SmallInteger(), primary_key=True)
    counter_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    """Counter that acted; empty when none did."""
    counter_name: Mapped[str] = mapped_column(String(40))
    issued: Mapped[int]
    called: Mapped[int]
    done: Mapped[int]
    no_show: Mapped[int]
    cancelled: Mapped[int]
    transferred: Mapped[int]
    within_standard: Mapped[int]
    wait_ms: Mapped[int] = mapped_column(BigInteger())
    service_ms: Mapped[int] = mapped_column(BigInteger())
    compared: Mapped[int]
    within_ten_minutes: Mapped[int]
    under_upper_bound: Mapped[int]


class RollupSampleRow(Base):
    """Counts how often a time of one size was measured in one part of a queue's day."""

    __tablename__ = "rollup_samples"

    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"), primary_key=True)
    hour: Mapped[int] = mapped_column(SmallInteger(), primary_key=True, autoincrement=False)
    priority: Mapped[Priority] = mapped_column(SmallInteger(), primary_key=True)
    counter_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    sample: Mapped[int] = mapped_column(SmallInteger(), primary_key=True, autoincrement=False)
    """What was measured: a wait, a service, or the error of an estimate."""
    bucket: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    count: Mapped[int]
