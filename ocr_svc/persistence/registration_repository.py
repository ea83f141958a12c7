"""Registrations, read and written in one unit of work."""

import datetime
import uuid
from collections.abc import Sequence
from functools import partial

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.errors import StatusCode
from mesh.workflow.leases import LeaseRepository
from ocr_svc.domain.consent import Purpose
from ocr_svc.domain.registration import UNFINISHED, Identity, Registration, State
from ocr_svc.persistence.models import RegistrationRow

_IDENTITY: TypeAdapter[Identity] = TypeAdapter(Identity)


def registration_associated_data(registration_id: str, column: str) -> str:
    """Returns what a column is bound to, so that it cannot be moved to another registration."""
    return f"registrations/{registration_id}/{column}"


class RegistrationRepository(LeaseRepository[RegistrationRow, Registration]):
    """Reads and writes registrations in one unit of work; what is personal is encrypted."""

    def __init__(self, session: Session, cipher: FieldCipher) -> None:
        """Works in `session`; encrypts with `cipher`."""
        super().__init__(session, RegistrationRow, UNFINISHED)
        self._cipher = cipher

    def add(
        self,
        registration: Registration,
        identity: Identity,
        first_attempt_time: datetime.datetime,
    ) -> None:
        """Adds a registration.

        Args:
            registration: The new registration.
            identity: Whom it is for.
            first_attempt_time: When another process may begin, if the confirming one does not.
        """
        associated_data = partial(registration_associated_data, registration.id)
        age = str(registration.age_years).encode()
        self._session.add(
            RegistrationRow(
                id=registration.id,
                draft_id=registration.draft_id,
                request_id=registration.request_id,
                institution_id=registration.institution_id,
                service_id=registration.service_id,
                consent_time=registration.consent_time,
                consent_version=registration.consent_version,
                consent_purposes=" ".join(registration.consent_purposes),
                state=registration.state,
                identity=self._cipher.encrypt(
                    _IDENTITY.dump_json(identity), associated_data("identity")
                ),
                age=self._cipher.encrypt(age, associated_data("age")),
                user_id="",
                failure_kind="",
                failure_reason="",
                attempts=0,
                next_attempt_time=first_attempt_time,
                lease_owner="",
                update_time=registration.consent_time,
            )
        )
        self._session.flush()

    def of_draft(self, draft_id: str) -> Registration | None:
        """Returns the registration of a draft; None when there is none."""
        query = select(RegistrationRow).where(RegistrationRow.draft_id == draft_id)
        row = self._session.scalars(query).one_or_none()
        return None if row is None else self._item(row)

    def of_patient(self, user_id: str) -> Sequence[Registration]:
        """Returns the registrations of a person, newest first."""
        query = (
            select(RegistrationRow)
            .where(RegistrationRow.user_id == user_id)
            .order_by(RegistrationRow.consent_time.desc(), RegistrationRow.id)
        )
        return [self._item(row) for row in self._session.scalars(query)]

    def is_running_for(self, user_id: str, nik: str) -> bool:
        """Returns whether a registration of a person is on its way to a ticket.

        One without an account yet is known by the NIK on the card alone.
        """
        query = select(RegistrationRow.id, RegistrationRow.user_id).where(
            RegistrationRow.state.in_(UNFINISHED)
        )
        return any(
            row.user_id == user_id if row.user_id else self._nik(row.id) == nik
            for row in self._session.execute(query).all()
        )

    def identity(self, registration_id: str) -> Identity:
        """Returns whom a registration without an account is for.

        Raises:
            DecryptionError: The row is damaged, or its key is gone.
        """
        row = self._session.get_one(RegistrationRow, registration_id)
        associated_data = registration_associated_data(row.id, "identity")
        if row.identity is None:
            raise DecryptionError(f"{associated_data} is erased")
        return _IDENTITY.validate_json(self._cipher.decrypt(row.identity, associated_data))

    def set_account(
        self, registration_id: str, owner: str, user_id: str, now: datetime.datetime
    ) -> None:
        """Writes the account. Whom the card names is not needed any more, but for the age."""
        self._session.execute(
            self._owned(registration_id, owner, now).values(
                state=State.ACCOUNT_READY, user_id=user_id, identity=None, attempts=0
            )
        )

    def complete(
        self, registration_id: str, owner: str, ticket: bytes, now: datetime.datetime
    ) -> None:
        """Writes the ticket and ends the lease."""
        associated_data = registration_associated_data(registration_id, "ticket")
        self._session.execute(
            self._owned(registration_id, owner, now).values(
                state=State.COMPLETED,
                age=None,
                ticket=self._cipher.encrypt(ticket, associated_data),
                lease_owner="",
                lease_until=None,
            )
        )

    def fail(
        self,
        registration_id: str,
        owner: str,
        kind: StatusCode,
        reason: str,
        now: datetime.datetime,
    ) -> None:
        """Writes why it cannot be finished, erases whom it was for, and ends the lease."""
        self._session.execute(
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

    def erase_patient(self, user_id: str) -> None:
        """Takes a person out. What proves the consents stays: facility, service, time, version.

        The draft and the request give way too: who knows them must not find the registration. The
        time of the change is not written: it would join the visits that are taken apart.
        """
        query = select(RegistrationRow).where(RegistrationRow.user_id == user_id)
        for row in self._session.scalars(query):
            row.user_id = ""
            row.draft_id = str(uuid.uuid4())
            row.request_id = ""
            row.identity = None
            row.age = None
            row.ticket = None

    def _item(self, row: RegistrationRow) -> Registration:
        ticket, age = (
            self._cipher.decrypt(ciphertext, registration_associated_data(row.id, column))
            if ciphertext
            else b""
            for column, ciphertext in (("ticket", row.ticket), ("age", row.age))
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

    def _nik(self, registration_id: str) -> str:
        try:
            return self.identity(registration_id).nik
        except DecryptionError:
            # It can go on for nobody.
            return ""
