"""The tables of the account service, but for those of the audit trail."""

import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from mesh.idempotency import idempotency_table
from mesh.persistence.database import UtcDateTime

PERSONAL_COLUMNS = (
    "nama",
    "nik",
    "email",
    "tempat_lahir",
    "tanggal_lahir",
    "jenis_kelamin",
    "alamat",
)
"""Encrypted columns of an account."""
SECRET_COLUMNS = ("secret", "pending_secret")
"""Encrypted columns of a second factor."""
ENCRYPTED_BYTES = 1024
"""Room for 200 characters with nonce, tag and key identifier."""


class Base(DeclarativeBase):
    """Collects the models of the account service."""


IDEMPOTENCY = idempotency_table(Base.metadata)


class UserRow(Base):
    """Holds an account. A closed one stays, without its logins, for the records that name it.

    Of an erased one only the identifier, the role and the times are left.
    """

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("nik_index", name="uq_users_nik_index"),
        UniqueConstraint("email_index", name="uq_users_email_index"),
        Index("ix_users_newest", "create_time", "id"),
        Index("ix_users_institution", "institution_id", "create_time"),
        Index("ix_users_closed", "close_time"),
        Index("ix_users_identity", "identity_time"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    institution_id: Mapped[str] = mapped_column(String(36))
    nama: Mapped[bytes | None] = mapped_column(LargeBinary(ENCRYPTED_BYTES))
    nik: Mapped[bytes | None] = mapped_column(LargeBinary(ENCRYPTED_BYTES))
    email: Mapped[bytes | None] = mapped_column(LargeBinary(ENCRYPTED_BYTES))
    tempat_lahir: Mapped[bytes | None] = mapped_column(LargeBinary(ENCRYPTED_BYTES))
    tanggal_lahir: Mapped[bytes | None] = mapped_column(LargeBinary(ENCRYPTED_BYTES))
    jenis_kelamin: Mapped[bytes | None] = mapped_column(LargeBinary(ENCRYPTED_BYTES))
    alamat: Mapped[bytes | None] = mapped_column(LargeBinary(ENCRYPTED_BYTES))
    nik_index: Mapped[str | None] = mapped_column(String(64))
    email_index: Mapped[str | None] = mapped_column(String(64))
    password_hash: Mapped[str | None] = mapped_column(String(60))
    create_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    update_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    close_time: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())
    identity_time: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())
    erase_time: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())


class PatientInstitutionRow(Base):
    """Names a facility that a patient registered at: its staff may reach the patient."""

    __tablename__ = "patient_institutions"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    institution_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    first_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())


class SessionRow(Base):
    """Holds a signed-in session of staff: a family of refresh tokens, of which one is good."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    create_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    expire_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime(), index=True)
    end_time: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime(), index=True)
    end_reason: Mapped[str | None] = mapped_column(String(16))


class RefreshTokenRow(Base):
    """Holds a refresh token: its SHA-256, and what its successor is derived from."""

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), index=True
    )
    use_time: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())
    successor_salt: Mapped[str | None] = mapped_column(String(64))


class LoginAttemptRow(Base):
    """Counts failed tries of one login, by its blind index or that of a known network."""

    __tablename__ = "login_attempts"

    login_index: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int]
    last_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime(), index=True)


class KnownNetworkRow(Base):
    """Holds a network address from which a login has succeeded."""

    __tablename__ = "login_places"
    __table_args__ = (Index("ix_login_places_newest", "login_index", "last_time"),)

    place_index: Mapped[str] = mapped_column(String(64), primary_key=True)
    login_index: Mapped[str] = mapped_column(String(64))
    last_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime(), index=True)


class SecondFactorRow(Base):
    """Holds the one-time codes of an account. Its login is protected once `secret` is there."""

    __tablename__ = "second_factors"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    secret: Mapped[bytes | None] = mapped_column(LargeBinary(ENCRYPTED_BYTES))
    last_step: Mapped[int]
    pending_secret: Mapped[bytes | None] = mapped_column(LargeBinary(ENCRYPTED_BYTES))
    pending_expire_time: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())


class RecoveryCodeRow(Base):
    """Holds a recovery code that was not used yet, by its keyed hash."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    code_index: Mapped[str] = mapped_column(String(64), primary_key=True)
