"""The repository of erasures, and what an erasure does to the registrations of the person."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Index, LargeBinary, String, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.persistence.database import UtcDateTime
from ocr_svc.domain import registration
from ocr_svc.domain.erasure import UNFINISHED, Erasure, State
from ocr_svc.persistence.leases import LeasedRow, Leases, changed
from ocr_svc.persistence.registrations import Base, RegistrationRow, Repository, new_id


class ErasureRow(LeasedRow, Base):
    """An erasure. It stays, so that asking again gives the same one.

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


def account_place(erasure_id: str) -> str:
    """What a sealed account is bound to, so that it cannot be moved to another erasure."""
    return f"erasures/{erasure_id}/account"


REPLAYED = {
    State.RETAINED: State.ACCEPTED,
    State.ACCOUNT_ERASED: State.DUE,
    State.ERASED: State.DUE,
}
"""States in which something is done, and where each begins anew."""


@dataclass(frozen=True)
class Replayed:
    """Erasures that begin anew."""

    persons: Sequence[str]
    """Their accounts."""
    lost: Sequence[str]
    """Identifiers of erasures whose account is not known any more."""
    last: str | None
    """Where the next page goes on. None: there is none."""


class Erasures(Leases[ErasureRow, Erasure]):
    """Erasures in a unit of work."""

    def __init__(self, cipher: FieldCipher, registrations: Repository) -> None:
        """Fingerprints and seals with `cipher`."""
        super().__init__(ErasureRow, UNFINISHED)
        self._cipher = cipher
        self._registrations = registrations

    def _item(self, row: ErasureRow) -> Erasure:
        return Erasure(
            id=row.id,
            user_id=row.user_id,
            create_time=row.create_time,
            retain_time=row.retain_time,
            state=State(row.state),
            attempts=row.attempts,
            lease_until=row.lease_until,
            round=row.round,
        )

    def _person(self, user_id: str) -> str:
        return self._cipher.blind_index(user_id, "erasures/person")

    def of(self, session: Session, user_id: str) -> Erasure | None:
        """The erasure of a person."""
        query = select(ErasureRow).where(ErasureRow.person == self._person(user_id))
        row = session.scalars(query).one_or_none()
        return None if row is None else self._item(row)

    def add(
        self, session: Session, erasure: Erasure, first_attempt_time: datetime.datetime
    ) -> None:
        """Accepts an erasure.

        Args:
            session: The unit of work.
            erasure: The new erasure.
            first_attempt_time: When another process may begin, if the accepting one does not.

        Raises:
            IntegrityError: The person has one.
        """
        session.add(
            ErasureRow(
                id=erasure.id,
                person=self._person(erasure.user_id),
                user_id=erasure.user_id,
                create_time=erasure.create_time,
                retain_time=erasure.retain_time,
                round=erasure.round,
                state=erasure.state,
                attempts=0,
                next_attempt_time=first_attempt_time,
                lease_owner="",
                update_time=erasure.create_time,
            )
        )
        session.flush()

    def begin_again(
        self, session: Session, erasure: Erasure, first_attempt_time: datetime.datetime
    ) -> bool:
        """Accepts an erasure anew that was done.

        Args:
            session: The unit of work.
            erasure: As it is from now on, in the round after the one that was done.
            first_attempt_time: When another process may begin, if the accepting one does not.

        Returns:
            False when another unit of work was faster, or it is not done.
        """
        again = (
            update(ErasureRow)
            .where(
                ErasureRow.id == erasure.id,
                ErasureRow.round == erasure.round - 1,
                ErasureRow.state.in_((State.RETAINED, State.ERASED)),
            )
            .values(
                user_id=erasure.user_id,
                account=None,
                create_time=erasure.create_time,
                retain_time=erasure.retain_time,
                round=erasure.round,
                state=erasure.state,
                attempts=0,
                next_attempt_time=first_attempt_time,
                update_time=erasure.create_time,
            )
        )
        return changed(session, again)

    def replay(
        self,
        session: Session,
        since: datetime.datetime,
        after: str,
        limit: int,
        now: datetime.datetime,
    ) -> Replayed:
        """Begins those anew of which a step was done at or after a moment, by identifier.

        What was promised holds: data that the law wanted to be kept are kept until the same time.

        Args:
            session: The unit of work.
            since: The moment.
            after: The identifier after which the page begins; empty for the first page.
            limit: Most erasures.
            now: The time.
        """
        page = session.scalars(
            select(ErasureRow)
            .where(
                ErasureRow.state.in_(REPLAYED),
                ErasureRow.update_time >= since,
                ErasureRow.id > after,
            )
            .order_by(ErasureRow.id)
            .limit(limit)
            .with_for_update()
        ).all()
        persons, lost = [], []
        for row in page:
            try:
                row.user_id = row.user_id or self._account(row)
            except DecryptionError:
                lost.append(row.id)
                continue
            persons.append(row.user_id)
            row.account = None
            row.state = REPLAYED[State(row.state)]
            row.round += 1
            row.attempts = 0
            # Who does a step at this moment notes nothing: it may be the one that was undone.
            row.lease_owner, row.lease_until = "", None
            row.next_attempt_time = row.update_time = now
        return Replayed(persons, lost, page[-1].id if len(page) == limit else None)

    def _account(self, row: ErasureRow) -> str:
        """The account of an erasure that is finished.

        Raises:
            DecryptionError: It was not kept, is damaged, or its key is unknown.
        """
        if row.account is None:
            raise DecryptionError("not kept")
        return self._cipher.decrypt(row.account, account_place(row.id)).decode()

    def wake(self, session: Session, now: datetime.datetime) -> None:
        """Makes those due whose time of keeping is over."""
        session.execute(
            update(ErasureRow)
            .where(ErasureRow.state == State.RETAINED, ErasureRow.retain_time <= now)
            .values(state=State.DUE, next_attempt_time=now, update_time=now)
        )

    def retained(
        self, session: Session, erasure_id: str, owner: str, now: datetime.datetime
    ) -> None:
        """Notes that the account is closed and its data are kept, and ends the lease."""
        session.execute(
            self._owned(erasure_id, owner, now).values(
                state=State.RETAINED, attempts=0, lease_owner="", lease_until=None
            )
        )

    def account_erased(
        self, session: Session, erasure_id: str, owner: str, now: datetime.datetime
    ) -> None:
        """Notes that user_svc knows nothing of the person any more."""
        session.execute(
            self._owned(erasure_id, owner, now).values(state=State.ACCOUNT_ERASED, attempts=0)
        )

    def erased(
        self, session: Session, erasure_id: str, owner: str, user_id: str, now: datetime.datetime
    ) -> None:
        """Takes the person out of the registrations and out of the erasure itself."""
        sealed = self._cipher.encrypt(user_id.encode(), account_place(erasure_id))
        gone = self._owned(erasure_id, owner, now).values(
            state=State.ERASED, user_id="", account=sealed, lease_owner="", lease_until=None
        )
        if changed(session, gone):
            self._take_out(session, user_id)

    def _take_out(self, session: Session, user_id: str) -> None:
        """What proves the consents stays: facility, service, time, version, purposes.

        The draft and the request give way too: who knows them must not find the registration. The
        time of the change is not noted: it would join the visits that are taken apart.
        """
        rows = session.scalars(select(RegistrationRow).where(RegistrationRow.user_id == user_id))
        for row in rows:
            row.user_id = ""
            row.draft_id = new_id()
            row.request_id = ""
            row.identity = None
            row.age = None
            row.ticket = None

    def registrations(self, session: Session, user_id: str) -> Sequence[registration.Registration]:
        """The registrations of a person, newest first."""
        query = (
            select(RegistrationRow)
            .where(RegistrationRow.user_id == user_id)
            .order_by(RegistrationRow.consent_time.desc(), RegistrationRow.id)
        )
        return [self._registrations.get(session, row.id) for row in session.scalars(query)]

    def registration_runs(self, session: Session, user_id: str, nik: str) -> bool:
        """Whether a registration of the person is on its way to a ticket.

        One without an account yet is known by the NIK on the card alone.
        """
        query = select(RegistrationRow.id, RegistrationRow.user_id).where(
            RegistrationRow.state.in_(registration.UNFINISHED)
        )
        return any(
            row.user_id == user_id if row.user_id else self._nik(session, row.id) == nik
            for row in session.execute(query).all()
        )

    def _nik(self, session: Session, registration_id: str) -> str:
        try:
            return self._registrations.identity(session, registration_id).nik
        except DecryptionError:
            # It can go on for nobody.
            return ""
