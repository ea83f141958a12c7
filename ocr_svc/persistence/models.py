"""The tables of the registration service."""

import datetime

from sqlalchemy import Index, LargeBinary, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from mesh.audit_trail.recorder import audit_table
from mesh.persistence.database import UtcDateTime
from mesh.workflow.leases import LeasedRow

_ENCRYPTED = LargeBinary(2**24 - 1)


class Base(DeclarativeBase):
    """Collects the models of the registration service."""


AUDIT = audit_table(Base.metadata)


class DraftRow(Base):
    """Stores a draft. `reading` is its whole content, encrypted; empty once confirmed or ended."""

    __tablename__ = "drafts"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    request_id: Mapped[str | None] = mapped_column(String(36), unique=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    reading: Mapped[bytes | None] = mapped_column(_ENCRYPTED)
    version: Mapped[int]
    create_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    expire_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime(), index=True)
    confirm_time: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())


class RegistrationRow(LeasedRow, Base):
    """Stores a registration. It stays, as the record of the consent.

    It names nobody but by account, and after an erasure nobody at all.
    """

    __tablename__ = "registrations"
    __table_args__ = (
        Index("ix_registrations_due", "state", "next_attempt_time"),
        Index("ix_registrations_user", "user_id"),
    )

    draft_id: Mapped[str] = mapped_column(String(36), unique=True)
    request_id: Mapped[str] = mapped_column(String(36))
    institution_id: Mapped[str] = mapped_column(String(36))
    service_id: Mapped[str] = mapped_column(String(36))
    consent_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    consent_version: Mapped[str] = mapped_column(String(20))
    """Empty: agreed before texts had versions."""
    consent_purposes: Mapped[str] = mapped_column(String(400))
    """Names of the purposes, with blanks between them."""
    identity: Mapped[bytes | None] = mapped_column(_ENCRYPTED)
    age: Mapped[bytes | None] = mapped_column(_ENCRYPTED)
    user_id: Mapped[str] = mapped_column(String(36))
    ticket: Mapped[bytes | None] = mapped_column(_ENCRYPTED)
    failure_kind: Mapped[str] = mapped_column(String(40))
    failure_reason: Mapped[str] = mapped_column(String(80))


class ErasureRow(LeasedRow, Base):
    """Stores an erasure. It stays, so that asking again gives the same one.

    At the end it names nobody in plain.
    """

    __tablename__ = "erasures"
    __table_args__ = (
        Index("ix_erasures_due", "state", "next_attempt_time"),
        Index("ix_erasures_retained", "state", "retain_time"),
    )

    person: Mapped[str] = mapped_column(String(64), unique=True)
    """Keyed fingerprint of the account: who has the account finds the erasure, and nobody finds the
    account."""
    user_id: Mapped[str] = mapped_column(String(36))
    """The account, for the steps. Empty once the data are gone."""
    account: Mapped[bytes | None] = mapped_column(LargeBinary(255))
    """The account once the data are gone, encrypted: who puts back a backup must erase again."""
    round: Mapped[int] = mapped_column(server_default="0")
    create_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    retain_time: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())
