"""Profile reads: those that come at one moment are one query, of the columns that are shown."""

from collections.abc import Sequence

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from mesh.errors import not_found
from mesh.persistence.database import Database
from user_svc.domain.accounts import Account, Role
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.burst_batcher import LINGER_SECONDS, BurstBatcher
from user_svc.persistence.models import Base, UserRow

BATCH = 64
"""Most profiles of one query."""
_KEY = "profiles"
# The table, not the model, and made once: a third less work for a query.
_USERS = Base.metadata.tables[UserRow.__tablename__]
_SHOWN = select(
    *(_USERS.c[name] for name in ("id", "role", "institution_id", "nama", "nik", "email")),
    _USERS.c.create_time,
    _USERS.c.update_time,
).where(_USERS.c.close_time.is_(None), _USERS.c.id.in_(bindparam("ids", expanding=True)))


class ProfileLoader:
    """Reads accounts as their owners see them. Nothing is kept: a read sees what is committed."""

    def __init__(self, database: Database, cipher: AccountCipher) -> None:
        """Reads from `database`; `cipher` decrypts."""
        self._database = database
        self._cipher = cipher
        self._reads = BurstBatcher(self._read_all, BATCH, LINGER_SECONDS)

    async def get(self, account_id: str) -> Account:
        """Returns an open account, without birth and address.

        Raises:
            MeshError: USER_NOT_FOUND, or UNAVAILABLE with reason DATABASE_UNAVAILABLE.
        """
        return await self._reads.submit(_KEY, account_id)

    async def _read_all(self, asked: Sequence[str]) -> Sequence[Account | Exception]:
        return await self._database.read(lambda session: self._found(session, asked))

    def _found(self, session: Session, asked: Sequence[str]) -> list[Account | Exception]:
        found: dict[str, Account | Exception] = {}
        # Several sessions of one account are one identifier of the query.
        for row in session.execute(_SHOWN, {"ids": list(set(asked))}).all():
            try:
                nama, nik, email = (
                    self._cipher.decrypt(row.id, column, getattr(row, column))
                    for column in ("nama", "nik", "email")
                )
            except Exception as error:
                # One row that is damaged is no error of the others.
                found[row.id] = error
                continue
            found[row.id] = Account(
                id=row.id,
                role=Role(row.role),
                institution_id=row.institution_id,
                nama=nama,
                nik=nik,
                email=email,
                create_time=row.create_time,
                update_time=row.update_time,
            )
        return [found.get(one) or not_found("user", one) for one in asked]
