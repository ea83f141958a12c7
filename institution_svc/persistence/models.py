"""The tables of the facility service."""

import datetime

from sqlalchemy import Double, ForeignKey, Index, SmallInteger, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, composite, mapped_column

from institution_svc.domain.facilities import Rates
from mesh.audit_trail.recorder import audit_table
from mesh.idempotency import idempotency_table
from mesh.persistence.database import UtcDateTime


class Base(DeclarativeBase):
    """Collects the models of the facility service."""


IDEMPOTENCY = idempotency_table(Base.metadata)
AUDIT = audit_table(Base.metadata)


class InstitutionRow(Base):
    """Stores a facility. A closed one stays, for the tickets that name it.

    A priority reason has the priority that it gives, or NULL when it changes nothing.
    """

    __tablename__ = "institutions"
    __table_args__ = (Index("ix_institutions_name", "name", "id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    city: Mapped[str] = mapped_column(String(80))
    address: Mapped[str] = mapped_column(String(200))
    time_zone: Mapped[str] = mapped_column(String(40))
    create_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    update_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    close_time: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())
    elderly_age: Mapped[int] = mapped_column(SmallInteger())
    elderly: Mapped[int | None] = mapped_column(SmallInteger())
    pregnant: Mapped[int | None] = mapped_column(SmallInteger())
    disabled: Mapped[int | None] = mapped_column(SmallInteger())
    referral: Mapped[int | None] = mapped_column(SmallInteger())


class ServiceRow(Base):
    """Stores a service of a facility."""

    __tablename__ = "services"
    __table_args__ = (
        UniqueConstraint("institution_id", "name", name="uq_services_name"),
        UniqueConstraint("institution_id", "prefix", name="uq_services_prefix"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    institution_id: Mapped[str] = mapped_column(ForeignKey("institutions.id"))
    name: Mapped[str] = mapped_column(String(80))
    prefix: Mapped[str] = mapped_column(String(2))
    service_minutes: Mapped[int]
    kind: Mapped[int] = mapped_column(SmallInteger())
    rates: Mapped[Rates] = composite(
        mapped_column("rate_high", Double()),
        mapped_column("rate_normal", Double()),
        mapped_column("rate_low", Double()),
    )
    standard_wait_minutes: Mapped[int] = mapped_column(SmallInteger())
    opens: Mapped[str] = mapped_column(String(5))
    closes: Mapped[str] = mapped_column(String(5))


class CounterRow(Base):
    """Stores a counter of a facility."""

    __tablename__ = "counters"
    __table_args__ = (UniqueConstraint("institution_id", "name", name="uq_counters_name"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    institution_id: Mapped[str] = mapped_column(ForeignKey("institutions.id"))
    name: Mapped[str] = mapped_column(String(40))
