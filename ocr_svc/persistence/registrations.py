"""The repository of drafts and registrations. What is personal is sealed and bound to its row."""

import datetime
import hashlib
import uuid
from functools import partial
from typing import TypeVar

from pydantic import TypeAdapter
from sqlalchemy import Index, LargeBinary, String, delete, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from mesh.audit_trail.recorder import audit_table
from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.errors import StatusCode
from mesh.persistence.database import UtcDateTime
from ocr_svc.domain.consent import Purpose
from ocr_svc.domain.draft import Content, Draft
from ocr_svc.domain.registration import UNFINISHED, Identity, Registration, State
from ocr_svc.persistence.leases import LeasedRow, Leases, changed

KEPT_HOURS = 24
"""How long after its end a draft's row, without content, still tells that there was one, and its
request_id is known."""
_SEALED = LargeBinary(2**24 - 1)
_CONTENT: TypeAdapter[Content] = TypeAdapter(Content)
_IDENTITY: TypeAdapter[Identity] = TypeAdapter(Identity)
Value = TypeVar("Value")


class Base(DeclarativeBase):
    """Models of the registration service."""


AUDIT = audit_table(Base.metadata)


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


class RegistrationRow(LeasedRow, Base):
    """A registration. It stays, as the record of the consent.

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
    identity: Mapped[bytes | None] = mapped_column(_SEALED)
    age: Mapped[bytes | None] = mapped_column(_SEALED)
    user_id: Mapped[str] = mapped_column(String(36))
    ticket: Mapped[bytes | None] = mapped_column(_SEALED)
    failure_kind: Mapped[str] = mapped_column(String(40))
    failure_reason: Mapped[str] = mapped_column(String(80))


def reading_place(draft_id: str) -> str:
    """What a reading is bound to, so that it cannot be moved to another draft."""
    return f"drafts/{draft_id}/reading"


def registration_place(registration_id: str, name: str) -> str:
    """What a column is bound to, so that it cannot be moved to another registration."""
    return f"registrations/{registration_id}/{name}"


class Repository(Leases[RegistrationRow, Registration]):
    """Drafts and registrations in a unit of work; the leases are those of registrations."""

    def __init__(self, cipher: FieldCipher) -> None:
        """Seals with `cipher`."""
        super().__init__(RegistrationRow, UNFINISHED)
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

    def _item(self, row: RegistrationRow) -> Registration:
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
            consent_version=row.consent_version,
            consent_purposes=tuple(Purpose(one) for one in row.consent_purposes.split()),
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
        return changed(
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
        confirmed = changed(
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
                consent_version=registration.consent_version,
                consent_purposes=" ".join(registration.consent_purposes),
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

    def registration_of(self, session: Session, draft_id: str) -> Registration | None:
        """The registration of a draft."""
        query = select(RegistrationRow).where(RegistrationRow.draft_id == draft_id)
        row = session.scalars(query).one_or_none()
        return None if row is None else self._item(row)

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
        kind: StatusCode,
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


def new_id() -> str:
    """An identifier that nobody can guess."""
    return str(uuid.uuid4())
