"""The repository of accounts, encrypted."""

import datetime
import uuid
from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mesh.contract.access_scope import AccessScope
from mesh.errors import not_found
from mesh.persistence.database import Database
from user_svc.domain import accounts
from user_svc.domain.accounts import Account, Person, Role
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.models import PERSONAL_COLUMNS, UserRow

Result = TypeVar("Result")
ATTEMPTS = 3


async def write_with_retry(database: Database, work: Callable[[Session], Result]) -> Result:
    """Runs a unit of work; when another one wrote the same unique value first, runs it again."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await database.write(work)
        except IntegrityError:
            continue
    return await database.write(work)


class AccountRepository:
    """Reads and writes accounts in one unit of work.

    Two units of work may write the same login at once: the unique index refuses the second one
    with IntegrityError, its unit runs again and then finds the account.
    """

    def __init__(self, session: Session, cipher: AccountCipher) -> None:
        """Works in `session`; `cipher` encrypts."""
        self._session = session
        self._cipher = cipher

    def create(self, person: Person, password_hash: str | None, now: datetime.datetime) -> Account:
        """Adds an account.

        Raises:
            MeshError: ALREADY_EXISTS with reason EMAIL_TAKEN or NIK_TAKEN.
        """
        if person.email and self._find(email_index=self._cipher.email_index(person.email)):
            raise accounts.taken("email")
        if person.nik and self._find(nik_index=self._cipher.nik_index(person.nik)):
            raise accounts.taken("nik")
        return self._insert(person, password_hash, now)

    def ensure_patient(self, person: Person, now: datetime.datetime) -> tuple[Account, bool]:
        """Finds or adds a patient's account, and locks it. What is known stays as it is.

        Returns:
            The account, and whether it is new.

        Raises:
            MeshError: FAILED_PRECONDITION with reason NIK_NAME_MISMATCH.
        """
        row = self._find(lock=True, nik_index=self._cipher.nik_index(person.nik))
        if row is None:
            return self._insert(person, None, now), True
        known = self._account(row)
        accounts.require_same_person(known, person.nama)
        return known, False

    def get(self, account_id: str) -> Account:
        """Returns an open account.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        return self._account(self._open(account_id))

    def get_including_closed(self, account_id: str) -> Account | None:
        """Returns an account, open or closed."""
        row = self._session.get(UserRow, account_id)
        return None if row is None else self._account(row)

    def get_administered(
        self, account_id: str, scope: AccessScope, *, lock: bool = False
    ) -> Account:
        """Returns an open account that exists for an administrator.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        account = self._account(self._open(account_id, lock=lock))
        if not accounts.is_administered(account, scope):
            raise not_found("user", account_id)
        return account

    def find_by_nik(self, nik: str) -> Account | None:
        """Finds the patient with this NIK."""
        row = self._find(nik_index=self._cipher.nik_index(nik))
        return None if row is None else self._account(row)

    def find_credentials(self, email: str) -> tuple[Account, str] | None:
        """Finds and locks the staff account with this login, with the hash of its password."""
        row = self._session.scalars(
            select(UserRow)
            .where(UserRow.email_index == self._cipher.email_index(email))
            .with_for_update()
            .execution_options(populate_existing=True)
        ).one_or_none()
        if row is None or row.password_hash is None:
            return None
        return self._account(row), row.password_hash

    def page(
        self,
        scope: AccessScope,
        role: Role | None,
        after: tuple[datetime.datetime, str] | None,
        limit: int,
    ) -> Sequence[Account]:
        """Lists open accounts that exist for an administrator, newest first.

        Args:
            scope: What exists for the administrator, see `accounts.is_administered`.
            role: Only accounts of this role. None: of every role.
            after: Create time and identifier after which the page begins. None: the first page.
            limit: Most accounts.
        """
        query = select(UserRow).where(UserRow.close_time.is_(None))
        if not scope.is_unlimited:
            query = query.where(
                UserRow.institution_id == scope.institution_id, UserRow.role.in_(accounts.STAFF)
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
        return [self._account(row) for row in self._session.scalars(query)]

    def set_role(self, account_id: str, role: Role, now: datetime.datetime) -> Account:
        """Changes the role of an account.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        row = self._open(account_id)
        row.role, row.update_time = role, now
        return self._account(row)

    def set_password(self, account_id: str, password_hash: str) -> None:
        """Stores the hash of another password.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        self._open(account_id).password_hash = password_hash

    def close(self, account: Account, now: datetime.datetime) -> None:
        """Closes an account: its e-mail address or NIK is free for a new one.

        Raises:
            MeshError: FAILED_PRECONDITION with reason LAST_NETWORK_ADMIN.
        """
        if account.is_network_admin:
            others = self._session.scalars(
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
        self._end(self._open(account.id), now)

    def _end(self, row: UserRow, now: datetime.datetime) -> None:
        """Closes an account, unless it is closed."""
        if row.close_time is None:
            row.close_time = row.update_time = now
            row.nik_index = row.email_index = row.password_hash = None

    def _insert(self, person: Person, password_hash: str | None, now: datetime.datetime) -> Account:
        row = UserRow(
            id=str(uuid.uuid4()),
            role=person.role,
            institution_id=person.institution_id,
            nik_index=self._cipher.nik_index(person.nik) if person.nik else None,
            email_index=self._cipher.email_index(person.email) if person.email else None,
            password_hash=password_hash,
            create_time=now,
            update_time=now,
        )
        for name in PERSONAL_COLUMNS:
            value: str = getattr(person, name)
            if value:
                self._encrypt(row, name, value)
        self._session.add(row)
        self._session.flush()
        return self._account(row)

    def _find(self, *, lock: bool = False, **index: str) -> UserRow | None:
        query = select(UserRow).filter_by(**index)
        return self._session.scalars(query.with_for_update() if lock else query).one_or_none()

    def _open(self, account_id: str, *, lock: bool = False) -> UserRow:
        row = self._session.get(UserRow, account_id, with_for_update=lock)
        if row is None or row.close_time is not None:
            raise not_found("user", account_id)
        return row

    def _account(self, row: UserRow) -> Account:
        personal = {
            name: self._cipher.decrypt(row.id, name, getattr(row, name))
            for name in PERSONAL_COLUMNS
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

    def _encrypt(self, row: UserRow, name: str, value: str) -> None:
        setattr(row, name, self._cipher.encrypt(row.id, name, value))
