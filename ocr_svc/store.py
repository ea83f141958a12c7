"""The repository of drafts and registrations. What is personal is sealed and bound to its row."""

import datetime
import hashlib
import uuid
from collections.abc import Sequence
from functools import partial
from typing import TypeVar

from pydantic import TypeAdapter
from sqlalchemy import (
    CursorResult,
    Index,
    LargeBinary,
    String,
    Update,
    delete,
    or_,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from mesh.crypto import DecryptionError, FieldCipher
from mesh.errors import Kind
from mesh.storage import UtcDateTime
from ocr_svc.domain import UNFINISHED, Content, Draft, Identity, Registration, State

KEPT_HOURS = 24
"""How long after its end a draft's row, without content, still tells that there was one, and its
request_id is known."""
_SEALED = LargeBinary(2**24 - 1)
_CONTENT: TypeAdapter[Content] = TypeAdapter(Content)
_IDENTITY: TypeAdapter[Identity] = TypeAdapter(Identity)
Value = TypeVar("Value")


class Base(DeclarativeBase):
    """Models of the registration service."""


class DraftRow(Base):
    """A draft. `reading` is its whole content, sealed; empty once confirmed or ended."""

    __tablename__ = "drafts"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    request_id: Mapped[str | None] = mapped_column(String(36), unique=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    reading: Mapped[bytes | None] = mapped_column(_SEALED)
    version: Mapped[int]
    create_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    expire_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime(), index=True)
    confirm_time: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())


class RegistrationRow(Base):
    """A registration. It stays, as the record of the consent; it names nobody but by account."""

    __tablename__ = "registrations"
    __table_args__ = (Index("ix_registrations_due", "state", "next_attempt_time"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    draft_id: Mapped[str] = mapped_column(String(36), unique=True)
    request_id: Mapped[str] = mapped_column(String(36))
    institution_id: Mapped[str] = mapped_column(String(36))
    service_id: Mapped[str] = mapped_column(String(36))
    consent_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    state: Mapped[str] = mapped_column(String(16))
    identity: Mapped[bytes | None] = mapped_column(_SEALED)
    age: Mapped[bytes | None] = mapped_column(_SEALED)
    user_id: Mapped[str] = mapped_column(String(36))
    ticket: Mapped[bytes | None] = mapped_column(_SEALED)
    failure_kind: Mapped[str] = mapped_column(String(40))
    failure_reason: Mapped[str] = mapped_column(String(80))
    attempts: Mapped[int]
    next_attempt_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    lease_owner: Mapped[str] = mapped_column(String(36))
    lease_until: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())
    update_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())


def reading_place(draft_id: str) -> str:
    """What a reading is bound to, so that it cannot be moved to another draft."""
    return f"drafts/{draft_id}/reading"


def registration_place(registration_id: str, name: str) -> str:
    """What a column is bound to, so that it cannot be moved to another registration."""
    return f"registrations/{registration_id}/{name}"


def _changed(session: Session, statement: Update) -> bool:
    result = session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount > 0


class Repository:
    """Drafts and registrations in a unit of work."""

    def __init__(self, cipher: FieldCipher) -> None:
        """Seals with `cipher`."""
        self._cipher = cipher

    def fingerprint(self, content: bytes) -> str:
        """A keyed fingerprint of what a request carries."""
        return self._cipher.blind_index(hashlib.sha256(content).hexdigest(), "request")

    def _seal(self, adapter: TypeAdapter[Value], value: Value, place: str) -> bytes:
        return self._cipher.encrypt(adapter.dump_json(value), place)

    def _open(self, adapter: TypeAdapter[Value], sealed: bytes | None, place: str) -> Value | None:
        if sealed is None:
            return None
        return adapter.validate_json(self._cipher.decrypt(sealed, place))

    def _draft(self, row: DraftRow) -> Draft:
        content = self._open(_CONTENT, row.reading, reading_place(row.id))
        return Draft(row.id, row.expire_time, row.version, content, row.confirm_time is not None)

    def _registration(self, row: RegistrationRow) -> Registration:
        ticket, age = (
            self._cipher.decrypt(sealed, registration_place(row.id, name)) if sealed else b""
            for name, sealed in (("ticket", row.ticket), ("age", row.age))
        )
        return Registration(
            id=row.id,
            draft_id=row.draft_id,
            request_id=row.request_id,
            institution_id=row.institution_id,
            service_id=row.service_id,
            consent_time=row.consent_time,
            state=State(row.state),
            user_id=row.user_id,
            ticket=ticket,
            failure_kind=row.failure_kind,
            failure_reason=row.failure_reason,
            attempts=row.attempts,
            age_years=int(age) if age else 0,
            lease_until=row.lease_until,
        )

    def add_draft(
        self,
        session: Session,
        draft: Draft,
        request_id: str,
        fingerprint: str,
        now: datetime.datetime,
    ) -> None:
        """Adds a draft.

        Args:
            session: The unit of work.
            draft: The draft, with its content.
            request_id: Key of the upload. Empty: it has none.
            fingerprint: Of the photo.
            now: When it was uploaded.

        Raises:
            IntegrityError: Another upload with this request_id was faster.
        """
        assert draft.content is not None
        session.add(
            DraftRow(
                id=draft.id,
                request_id=request_id or None,
                fingerprint=fingerprint,
                reading=self._seal(_CONTENT, draft.content, reading_place(draft.id)),
                version=draft.version,
                create_time=now,
                expire_time=draft.expire_time,
            )
        )
        session.flush()

    def uploaded(self, session: Session, request_id: str) -> tuple[Draft, str] | None:
        """The draft of an earlier upload with this request_id, and its photo's fingerprint."""
        row = session.scalars(
            select(DraftRow).where(DraftRow.request_id == request_id)
        ).one_or_none()
        return None if row is None else (self._draft(row), row.fingerprint)

    def draft(self, session: Session, draft_id: str) -> Draft | None:
        """A draft, in whatever state."""
        row = session.get(DraftRow, draft_id)
        return None if row is None else self._draft(row)

    def replace_content(self, session: Session, draft: Draft, content: Content) -> bool:
        """Changes a draft. False when it has changed since it was read: nothing happens."""
        return _changed(
            session,
            update(DraftRow)
            .where(DraftRow.id == draft.id, DraftRow.version == draft.version)
            .values(
                reading=self._seal(_CONTENT, content, reading_place(draft.id)),
                version=draft.version + 1,
            ),
        )

    def erase_ended(self, session: Session, now: datetime.datetime) -> None:
        """Erases the content of drafts that have ended, and rows that nobody asks for any more."""
        session.execute(
            update(DraftRow)
            .where(DraftRow.expire_time <= now, DraftRow.reading.is_not(None))
            .values(reading=None, version=DraftRow.version + 1)
        )
        oldest = now - datetime.timedelta(hours=KEPT_HOURS)
        session.execute(delete(DraftRow).where(DraftRow.expire_time <= oldest))

    def confirm(
        self,
        session: Session,
        draft: Draft,
        registration: Registration,
        identity: Identity,
        first_attempt_time: datetime.datetime,
    ) -> bool:
        """Turns a draft into a registration: the identity moves, the rest of the reading goes.

        Args:
            session: The unit of work.
            draft: The draft as it was read.
            registration: The new registration.
            identity: Whom it is for.
            first_attempt_time: When another process may begin, if the confirming one does not.

        Returns:
            False when the draft has changed since it was read: nothing happens.
        """
        confirmed = _changed(
            session,
            update(DraftRow)
            .where(DraftRow.id == draft.id, DraftRow.version == draft.version)
            .values(
                reading=None, version=draft.version + 1, confirm_time=registration.consent_time
            ),
        )
        if not confirmed:
            return False
        place = partial(registration_place, registration.id)
        age = str(registration.age_years).encode()
        session.add(
            RegistrationRow(
                id=registration.id,
                draft_id=draft.id,
                request_id=registration.request_id,
                institution_id=registration.institution_id,
                service_id=registration.service_id,
                consent_time=registration.consent_time,
                state=registration.state,
                identity=self._seal(_IDENTITY, identity, place("identity")),
                age=self._cipher.encrypt(age, place("age")),
                user_id="",
                failure_kind="",
                failure_reason="",
                attempts=0,
                next_attempt_time=first_attempt_time,
                lease_owner="",
                update_time=registration.consent_time,
            )
        )
        session.flush()
        return True

    def registration(self, session: Session, registration_id: str) -> Registration:
        """A registration that exists."""
        return self._registration(session.get_one(RegistrationRow, registration_id))

    def registration_of(self, session: Session, draft_id: str) -> Registration | None:
        """The registration of a draft."""
        query = select(RegistrationRow).where(RegistrationRow.draft_id == draft_id)
        row = session.scalars(query).one_or_none()
        return None if row is None else self._registration(row)

    def identity(self, session: Session, registration_id: str) -> Identity:
        """Whom a registration without an account is for.

        Raises:
            DecryptionError: The row is damaged, or its key is gone.
        """
        row = session.get_one(RegistrationRow, registration_id)
        found = self._open(_IDENTITY, row.identity, registration_place(row.id, "identity"))
        if found is None:
            raise DecryptionError(f"registrations/{registration_id}/identity is erased")
        return found

    def due(self, session: Session, now: datetime.datetime, limit: int) -> Sequence[str]:
        """Registrations with a step to do that nobody works on, longest waiting first."""
        return session.scalars(
            select(RegistrationRow.id)
            .where(
                RegistrationRow.state.in_(UNFINISHED),
                RegistrationRow.next_attempt_time <= now,
                or_(RegistrationRow.lease_until.is_(None), RegistrationRow.lease_until <= now),
            )
            .order_by(RegistrationRow.next_attempt_time)
            .limit(limit)
        ).all()

    def claim(
        self,
        session: Session,
        registration_id: str,
        owner: str,
        now: datetime.datetime,
        until: datetime.datetime,
    ) -> Registration | None:
        """Leases a registration for one step, or renews the lease.

        Args:
            session: The unit of work.
            registration_id: The registration.
            owner: Who works on it.
            now: The time.
            until: End of the lease.

        Returns:
            The registration; None when it is finished or another one has the lease.
        """
        claimed = _changed(
            session,
            update(RegistrationRow)
            .where(
                RegistrationRow.id == registration_id,
                RegistrationRow.state.in_(UNFINISHED),
                or_(
                    RegistrationRow.lease_owner == owner,
                    RegistrationRow.lease_until.is_(None),
                    RegistrationRow.lease_until <= now,
                ),
            )
            .values(lease_owner=owner, lease_until=until),
        )
        return self.registration(session, registration_id) if claimed else None

    def _owned(self, registration_id: str, owner: str, now: datetime.datetime) -> Update:
        """A change by the owner of the lease; who lost it changes nothing."""
        return (
            update(RegistrationRow)
            .where(
                RegistrationRow.id == registration_id,
                RegistrationRow.lease_owner == owner,
                RegistrationRow.state.in_(UNFINISHED),
            )
            .values(update_time=now)
        )

    def account_ready(
        self,
        session: Session,
        registration_id: str,
        owner: str,
        user_id: str,
        now: datetime.datetime,
    ) -> None:
        """Notes the account. Whom the card names is not needed any more, but for the age."""
        session.execute(
            self._owned(registration_id, owner, now).values(
                state=State.ACCOUNT_READY, user_id=user_id, identity=None, attempts=0
            )
        )

    def completed(
        self,
        session: Session,
        registration_id: str,
        owner: str,
        ticket: bytes,
        now: datetime.datetime,
    ) -> None:
        """Notes the ticket and ends the lease."""
        session.execute(
            self._owned(registration_id, owner, now).values(
                state=State.COMPLETED,
                age=None,
                ticket=self._cipher.encrypt(ticket, registration_place(registration_id, "ticket")),
                lease_owner="",
                lease_until=None,
            )
        )

    def failed(
        self,
        session: Session,
        registration_id: str,
        owner: str,
        kind: Kind,
        reason: str,
        now: datetime.datetime,
    ) -> None:
        """Notes why it cannot be finished, erases whom it was for, and ends the lease."""
        session.execute(
            self._owned(registration_id, owner, now).values(
                state=State.FAILED,
                identity=None,
                age=None,
                failure_kind=kind.value,
                failure_reason=reason,
                lease_owner="",
                lease_until=None,
            )
        )

    def put_off(
        self,
        session: Session,
        registration_id: str,
        owner: str,
        next_attempt_time: datetime.datetime,
        now: datetime.datetime,
    ) -> None:
        """Counts a try that came to nothing and ends the lease."""
        session.execute(
            self._owned(registration_id, owner, now).values(
                attempts=RegistrationRow.attempts + 1,
                next_attempt_time=next_attempt_time,
                lease_owner="",
                lease_until=None,
            )
        )

    def release(
        self, session: Session, registration_id: str, owner: str, now: datetime.datetime
    ) -> None:
        """Ends the lease of a step that was not finished: another process may go on at once."""
        session.execute(
            self._owned(registration_id, owner, now).values(
                next_attempt_time=now, lease_owner="", lease_until=None
            )
        )


def new_id() -> str:
    """An identifier that nobody can guess."""
    return str(uuid.uuid4())
