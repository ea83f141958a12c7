"""The repository of facilities."""

import datetime
import uuid
from collections.abc import Sequence

from sqlalchemy import Double, ForeignKey, Index, SmallInteger, String, UniqueConstraint, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, composite, mapped_column

from institution_svc.domain import (
    Changes,
    Counter,
    HealthcareService,
    Institution,
    Priority,
    PriorityRules,
    Rates,
    ServiceChanges,
    ServiceKind,
    changed,
    require_sound,
    taken,
)
from mesh.audit_trail.recorder import audit_table
from mesh.errors import not_found
from mesh.idempotency import idempotency_table
from mesh.persistence.database import UtcDateTime


class Base(DeclarativeBase):
    """Models of the facility service."""


IDEMPOTENCY = idempotency_table(Base.metadata)
AUDIT = audit_table(Base.metadata)


class InstitutionRow(Base):
    """A facility. A closed one stays, for the tickets that name it.

    A ground has the class that it gives, or NULL when it changes nothing.
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
    """A service of a facility."""

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
    """A counter of a facility."""

    __tablename__ = "counters"
    __table_args__ = (UniqueConstraint("institution_id", "name", name="uq_counters_name"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    institution_id: Mapped[str] = mapped_column(ForeignKey("institutions.id"))
    name: Mapped[str] = mapped_column(String(40))


def _rules(row: InstitutionRow) -> PriorityRules:
    classes = (row.elderly, row.pregnant, row.disabled, row.referral)
    return PriorityRules(
        row.elderly_age, *(None if found is None else Priority(found) for found in classes)
    )


def _institution(row: InstitutionRow) -> Institution:
    return Institution(
        row.id,
        row.name,
        row.city,
        row.address,
        row.time_zone,
        row.create_time,
        row.update_time,
        _rules(row),
    )


def _service(row: ServiceRow) -> HealthcareService:
    return HealthcareService(
        row.id,
        row.institution_id,
        row.name,
        row.prefix,
        row.service_minutes,
        ServiceKind(row.kind),
        row.rates,
        row.standard_wait_minutes,
        row.opens,
        row.closes,
    )


def _counter(row: CounterRow) -> Counter:
    return Counter(row.id, row.institution_id, row.name)


def _service_row(
    session: Session, institution_id: str, service_id: str, *, lock: bool = False
) -> ServiceRow:
    row = session.get(ServiceRow, service_id, with_for_update=lock)
    if row is None or row.institution_id != institution_id:
        raise not_found("service", service_id)
    return row


def _open(session: Session, institution_id: str) -> InstitutionRow:
    row = session.get(InstitutionRow, institution_id)
    if row is None or row.close_time is not None:
        raise not_found("institution", institution_id)
    return row


def create_institution(
    session: Session, name: str, city: str, address: str, time_zone: str, now: datetime.datetime
) -> Institution:
    """Adds a facility, with the usual rules of priority."""
    row = InstitutionRow(
        id=str(uuid.uuid4()),
        name=name,
        city=city,
        address=address,
        time_zone=time_zone,
        create_time=now,
        update_time=now,
        **vars(PriorityRules()),
    )
    session.add(row)
    return _institution(row)


def get_institution(session: Session, institution_id: str) -> Institution:
    """A facility that is open.

    Raises:
        MeshError: INSTITUTION_NOT_FOUND.
    """
    return _institution(_open(session, institution_id))


def update_institution(
    session: Session, institution_id: str, changes: Changes, now: datetime.datetime
) -> Institution:
    """Changes the fields that are given.

    Raises:
        MeshError: INSTITUTION_NOT_FOUND.
    """
    row = _open(session, institution_id)
    given = {field: value for field, value in vars(changes).items() if value is not None}
    rules: PriorityRules | None = given.pop("priority_rules", None)
    if rules is not None:
        given |= vars(rules)
    for field, value in given.items():
        setattr(row, field, value)
    row.update_time = now
    return _institution(row)


def close_institution(session: Session, institution_id: str, now: datetime.datetime) -> None:
    """Closes a facility.

    Raises:
        MeshError: INSTITUTION_NOT_FOUND.
    """
    _open(session, institution_id).close_time = now


def list_institutions(
    session: Session, after: tuple[str, ...] | None, limit: int
) -> list[Institution]:
    """Open facilities by name, from the one after `after` (name, id)."""
    query = select(InstitutionRow).where(InstitutionRow.close_time.is_(None))
    if after is not None:
        name, identifier = after
        query = query.where(
            (InstitutionRow.name > name)
            | ((InstitutionRow.name == name) & (InstitutionRow.id > identifier))
        )
    query = query.order_by(InstitutionRow.name, InstitutionRow.id).limit(limit)
    return [_institution(row) for row in session.scalars(query)]


def all_institutions(session: Session) -> Sequence[Institution]:
    """Every open facility, for the search."""
    query = select(InstitutionRow).where(InstitutionRow.close_time.is_(None))
    return [_institution(row) for row in session.scalars(query)]


def create_service(session: Session, service: HealthcareService) -> HealthcareService:
    """Adds a service to its facility.

    Raises:
        MeshError: RATES_INVALID, HOURS_INVALID, INSTITUTION_NOT_FOUND, SERVICE_NAME_TAKEN or
            SERVICE_PREFIX_TAKEN.
    """
    require_sound(service)
    _open(session, service.institution_id)
    session.add(ServiceRow(**vars(service)))
    try:
        session.flush()
    except IntegrityError as error:
        raise taken("service", "prefix" if "prefix" in str(error.orig) else "name") from error
    return service


def update_service(
    session: Session, institution_id: str, service_id: str, changes: ServiceChanges
) -> HealthcareService:
    """Changes the fields of a service that are given.

    Raises:
        MeshError: INSTITUTION_NOT_FOUND, SERVICE_NOT_FOUND, RATES_INVALID, HOURS_INVALID or
            SERVICE_NAME_TAKEN.
    """
    _open(session, institution_id)
    # Locked: two updates at once, one of `opens` and one of `closes`, must both see the other.
    row = _service_row(session, institution_id, service_id, lock=True)
    made = changed(_service(row), changes)
    for field in vars(changes):
        setattr(row, field, getattr(made, field))
    try:
        session.flush()
    except IntegrityError as error:
        raise taken("service", "name") from error
    return made


def create_counter(session: Session, institution_id: str, name: str) -> Counter:
    """Adds a counter to a facility.

    Raises:
        MeshError: INSTITUTION_NOT_FOUND or COUNTER_NAME_TAKEN.
    """
    _open(session, institution_id)
    row = CounterRow(id=str(uuid.uuid4()), institution_id=institution_id, name=name)
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise taken("counter", "name") from error
    return _counter(row)


def list_services(
    session: Session, institution_id: str, after: tuple[str, ...] | None, limit: int
) -> list[HealthcareService]:
    """Services of an open facility by name, from the one after `after` (name).

    Raises:
        MeshError: INSTITUTION_NOT_FOUND.
    """
    _open(session, institution_id)
    query = select(ServiceRow).where(ServiceRow.institution_id == institution_id)
    if after is not None:
        query = query.where(ServiceRow.name > after[0])
    return [_service(row) for row in session.scalars(query.order_by(ServiceRow.name).limit(limit))]


def list_counters(
    session: Session, institution_id: str, after: tuple[str, ...] | None, limit: int
) -> list[Counter]:
    """Counters of an open facility by name, from the one after `after` (name).

    Raises:
        MeshError: INSTITUTION_NOT_FOUND.
    """
    _open(session, institution_id)
    query = select(CounterRow).where(CounterRow.institution_id == institution_id)
    if after is not None:
        query = query.where(CounterRow.name > after[0])
    return [_counter(row) for row in session.scalars(query.order_by(CounterRow.name).limit(limit))]


def get_service(session: Session, institution_id: str, service_id: str) -> HealthcareService:
    """A service of a facility.

    Raises:
        MeshError: SERVICE_NOT_FOUND.
    """
    return _service(_service_row(session, institution_id, service_id))
