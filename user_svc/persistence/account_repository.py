"""The repository of accounts, encrypted."""

import datetime
import uuid
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mesh.encryption.field_cipher import FieldCipher
from mesh.errors import not_found
from mesh.persistence.database import Database
from user_svc.domain import accounts
from user_svc.domain.accounts import Account, Person, Role, Viewer
from user_svc.persistence.models import PERSONAL_COLUMNS, UserRow

Result = TypeVar("Result")
ATTEMPTS = 3


def personal_place(account_id: str, name: str) -> str:
    """What a personal column is bound to, so that it cannot be moved to another account."""
    return f"users/{account_id}/{name}"


async def write_with_retry(database: Database, work: Callable[[Session], Result]) -> Result:
    """Runs a unit of work; when another one wrote the same unique value first, runs it again."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await database.write(work)
        except IntegrityError:
            continue
    return await database.write(work)


class Accounts:
    """Accounts, sealed by a cipher.

    Two units of work may write the same login at once: the unique index refuses the second one
    with IntegrityError, its unit runs again and then finds the account.
    """

    def __init__(self, cipher: FieldCipher) -> None:
        """Seals with `cipher`."""
        self._cipher = cipher

    def nik_index(self, nik: str) -> str:
        """The blind index of a NIK."""
        return self._cipher.blind_index(nik, "nik")

    def email_index(self, email: str) -> str:
        """The blind index of an e-mail address."""
        return self._cipher.blind_index(accounts.fold_email(email), "email")

    def place_index(self, email: str, network: str) -> str:
        """The blind index of an e-mail address at a network address."""
        return self._cipher.blind_index(f"{network} {accounts.fold_email(email)}", "place")

    def unseal(self, account_id: str, column: str, sealed: bytes | None) -> str:
        """The text of a sealed column of an account; empty without one.

        Raises:
            DecryptionError: It is damaged, from another place, or its key is unknown.
        """
        if sealed is None:
            return ""
        return self._cipher.decrypt(sealed, personal_place(account_id, column)).decode()

    def create(
        self, session: Session, person: Person, password_hash: str | None, now: datetime.datetime
    ) -> Account:
        """Adds an account.

        Raises:
            MeshError: ALREADY_EXISTS with reason EMAIL_TAKEN or NIK_TAKEN.
        """
        if person.email and self._find(session, email_index=self.email_index(person.email)):
            raise accounts.taken("email")
        if person.nik and self._find(session, nik_index=self.nik_index(person.nik)):
            raise accounts.taken("nik")
        return self._insert(session, person, password_hash, now)

    def ensure_patient(
        self, session: Session, person: Person, now: datetime.datetime
    ) -> tuple[Account, bool]:
        """The patient's account, locked, and whether it was made now. What is known stays as it is.

        Raises:
            MeshError: FAILED_PRECONDITION with reason NIK_NAME_MISMATCH.
        """
        row = self._find(session, lock=True, nik_index=self.nik_index(person.nik))
        if row is None:
            return self._insert(session, person, None, now), True
        known = self._account(row)
        accounts.require_same_person(known, person.nama)
        return known, False

    def get(self, session: Session, account_id: str) -> Account:
        """An open account.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        return self._account(self._open(session, account_id))

    def get_including_closed(self, session: Session, account_id: str) -> Account | None:
        """An account, open or closed."""
        row = session.get(UserRow, account_id)
        return None if row is None else self._account(row)

    def visible(
        self, session: Session, account_id: str, viewer: Viewer, *, lock: bool = False
    ) -> Account:
        """An open account that an administrator may see.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        account = self._account(self._open(session, account_id, lock=lock))
        if not viewer.sees(account):
            raise not_found("user", account_id)
        return account

    def by_nik(self, session: Session, nik: str) -> Account | None:
        """The patient with this NIK."""
        row = self._find(session, nik_index=self.nik_index(nik))
        return None if row is None else self._account(row)

    def credentials(self, session: Session, email: str) -> tuple[Account, str] | None:
        """The staff account with this login, and the hash of its password. Locks the account."""
        row = session.scalars(
            select(UserRow)
            .where(UserRow.email_index == self.email_index(email))
            .with_for_update()
            .execution_options(populate_existing=True)
        ).one_or_none()
        if row is None or row.password_hash is None:
            return None
        return self._account(row), row.password_hash

    def page(
        self,
        session: Session,
        viewer: Viewer,
        role: Role | None,
        after: tuple[datetime.datetime, str] | None,
        limit: int,
    ) -> list[Account]:
        """Open accounts, newest first, from the one after `after` (create time, id)."""
        query = select(UserRow).where(UserRow.close_time.is_(None))
        if viewer.institution_id:
            query = query.where(
                UserRow.institution_id == viewer.institution_id, UserRow.role.in_(accounts.STAFF)
            )
        if role is not None:
            query = query.where(UserRow.role == role)
        if after is not None:
            time, identifier = after
            query = query.where(
                (UserRow.create_time < time)
                | ((UserRow.create_time == time) & (UserRow.id < identifier))
            )
        query = query.order_by(UserRow.create_time.desc(), UserRow.id.desc()).limit(limit)
        return [self._account(row) for row in session.scalars(query)]

    def set_role(
        self, session: Session, account_id: str, role: Role, now: datetime.datetime
    ) -> Account:
        """Changes the role of an account.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        row = self._open(session, account_id)
        row.role, row.update_time = role, now
        return self._account(row)

    def set_password(self, session: Session, account_id: str, password_hash: str) -> None:
        """Stores the hash of a password anew."""
        self._open(session, account_id).password_hash = password_hash

    def close(self, session: Session, account: Account, now: datetime.datetime) -> None:
        """Closes an account: its e-mail address or NIK is free for a new one.

        Raises:
            MeshError: FAILED_PRECONDITION with reason LAST_NETWORK_ADMIN.
        """
        if account.is_network_admin:
            others = session.scalars(
                select(UserRow.id)
                .where(
                    UserRow.institution_id == "",
                    UserRow.role == Role.ADMIN_FASKES,
                    UserRow.close_time.is_(None),
                    UserRow.id != account.id,
                )
                .with_for_update()
            ).all()
            if not others:
                raise accounts.last_network_admin()
        self._end(self._open(session, account.id), now)

    def _end(self, row: UserRow, now: datetime.datetime) -> None:
        """Closes an account, unless it is closed."""
        if row.close_time is None:
            row.close_time = row.update_time = now
            row.nik_index = row.email_index = row.password_hash = None

    def _insert(
        self, session: Session, person: Person, password_hash: str | None, now: datetime.datetime
    ) -> Account:
        row = UserRow(
            id=str(uuid.uuid4()),
            role=person.role,
            institution_id=person.institution_id,
            nik_index=self.nik_index(person.nik) if person.nik else None,
            email_index=self.email_index(person.email) if person.email else None,
            password_hash=password_hash,
            create_time=now,
            update_time=now,
        )
        for name in PERSONAL_COLUMNS:
            value: str = getattr(person, name)
            if value:
                self._seal(row, name, value)
        session.add(row)
        session.flush()
        return self._account(row)

    def _find(self, session: Session, *, lock: bool = False, **index: str) -> UserRow | None:
        query = select(UserRow).filter_by(**index)
        return session.scalars(query.with_for_update() if lock else query).one_or_none()

    def _open(self, session: Session, account_id: str, *, lock: bool = False) -> UserRow:
        row = session.get(UserRow, account_id, with_for_update=lock)
        if row is None or row.close_time is not None:
            raise not_found("user", account_id)
        return row

    def _account(self, row: UserRow) -> Account:
        personal = {
            name: self.unseal(row.id, name, getattr(row, name)) for name in PERSONAL_COLUMNS
        }
        return Account(
            id=row.id,
            role=Role(row.role),
            institution_id=row.institution_id,
            create_time=row.create_time,
            update_time=row.update_time,
            identity_time=row.identity_time,
            **personal,
        )

    def _seal(self, row: UserRow, name: str, value: str) -> None:
        place = personal_place(row.id, name)
        setattr(row, name, self._cipher.encrypt(value.encode(), place))
