"""The repository on every kind of database, without a server around it."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.orm import Session

from mesh.encryption.field_cipher import FieldCipher
from mesh.errors import MeshError
from mesh.persistence.database import Database, make_engine
from mesh.persistence.migrations import config_for, upgrade
from tests.support.backends.databases import on_empty
from user_svc.domain import login_throttle
from user_svc.domain.accounts import Account, Person, Role
from user_svc.domain.sessions import End, Refresh, SessionRules
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.account_repository import AccountRepository, write_with_retry
from user_svc.persistence.logins import attempt_counters
from user_svc.persistence.logins.session_repository import Opened, SessionRepository
from user_svc.persistence.models import Base

NOW = datetime.datetime(2026, 3, 1, 8, 0, 0, 123456, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)
Sessions = Callable[[Session], SessionRepository]
PATIENT = Person(role=Role.PASIEN, nama="SITI RAHMAWATI", nik="3201015508900001", alamat="JL. A 1")
STAFF = Person(role=Role.ADMIN_FASKES, nama="Budi", email="budi@contoh.example")
OLD_ROWS = (
    "INSERT INTO users (id, role, institution_id, nama, create_time, update_time) "
    "VALUES ('a', 'PASIEN', '', 'encrypted a', '2026-03-01 08:00:00', '2026-03-01 08:00:00')",
    "INSERT INTO users (id, role, institution_id, nama, create_time, update_time) "
    "VALUES ('b', 'OPERATOR', 'f', 'encrypted b', '2026-03-01 08:00:00', '2026-03-01 08:00:00')",
    "INSERT INTO sessions (id, user_id, create_time, expire_time) "
    "VALUES ('s', 'b', '2026-03-01 08:00:00', '2026-03-01 20:00:00')",
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
def cipher() -> FieldCipher:
    return FieldCipher("k", {"k": bytes(32)}, bytes(range(32)))


def repository_of(cipher: FieldCipher) -> Callable[[Session], AccountRepository]:
    return lambda session: AccountRepository(session, AccountCipher(cipher))


class TestMigrations:
    @on_empty
    async def test_models_match(self, database_url: str, database: Database) -> None:
        upgrade("user_svc", database_url)
        with database.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Base.metadata) == []

    @on_empty
    def test_accounts_of_before_stay(self, database_url: str) -> None:
        """There and back, with the rows that refer to them."""
        config = config_for("user_svc", database_url)
        revisions = ScriptDirectory.from_config(config).walk_revisions()
        (before_rights,) = (
            str(one.down_revision) for one in revisions if one.doc == "Rights of patients"
        )
        upgrade("user_svc", database_url, before_rights)
        engine = make_engine(database_url, 1)
        with engine.begin() as connection:
            for statement in OLD_ROWS:
                connection.execute(text(statement))

        def rows() -> list[tuple[object, ...]]:
            query = "SELECT u.nama, s.id FROM users u LEFT JOIN sessions s ON s.user_id = u.id"
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(text(f"{query} ORDER BY u.id"))]

        before = rows()
        upgrade("user_svc", database_url)
        assert rows() == before
        with engine.begin() as connection:
            connection.execute(text("UPDATE users SET nama = NULL WHERE id = 'a'"))
            connection.execute(
                text("INSERT INTO patient_institutions VALUES ('a', 'f', '2026-03-01 08:00:00')")
            )
        command.downgrade(config, before_rights)
        found = rows()
        assert not found[0][0]
        assert found[1:] == before[1:]
        engine.dispose()


class TestAccounts:
    async def test_what_is_stored_comes_back(self, database: Database, cipher: FieldCipher) -> None:
        accounts = repository_of(cipher)
        made = await database.write(lambda s: accounts(s).create(PATIENT, None, NOW))
        assert (made.create_time, made.alamat) == (NOW, "JL. A 1")
        assert await database.read(lambda s: accounts(s).get(made.id)) == made
        assert await database.read(lambda s: accounts(s).find_by_nik(PATIENT.nik)) == made

    async def test_the_second_of_two_writers_finds_the_first(
        self, database: Database, cipher: FieldCipher
    ) -> None:
        accounts = repository_of(cipher)

        def ensure(session: Session) -> tuple[Account, bool]:
            return accounts(session).ensure_patient(PATIENT, NOW)

        found = await asyncio.gather(*(write_with_retry(database, ensure) for _ in range(8)))
        assert len({account.id for account, _ in found}) == 1
        assert sum(created for _, created in found) == 1

    async def test_logins_are_unique_and_free_after_closing(
        self, database: Database, cipher: FieldCipher
    ) -> None:
        accounts = repository_of(cipher)
        for person, reason in ((PATIENT, "NIK_TAKEN"), (STAFF, "EMAIL_TAKEN")):

            def create(session: Session, person: Person = person) -> Account:
                return accounts(session).create(person, "hash", NOW)

            made = await write_with_retry(database, create)
            with pytest.raises(MeshError) as caught:
                await write_with_retry(database, create)
            assert caught.value.reason == reason
            if person is PATIENT:
                await database.write(lambda s: accounts(s).close(made, NOW))  # noqa: B023 - awaited at once
                assert (await write_with_retry(database, create)).id != made.id


class TestSessions:
    @pytest.fixture
    def sessions(self, cipher: FieldCipher) -> Sessions:
        rules = SessionRules(life=60 * SECOND, grace=10 * SECOND)
        return lambda session: SessionRepository(session, cipher, rules)

    @pytest.fixture
    async def opened(self, database: Database, cipher: FieldCipher, sessions: Sessions) -> Opened:
        def begin(session: Session) -> Opened:
            account = repository_of(cipher)(session).create(STAFF, "hash", NOW)
            return sessions(session).open(account.id, NOW)

        return await database.write(begin)

    async def test_one_chain(self, database: Database, sessions: Sessions, opened: Opened) -> None:
        async def show(token: str, after: int) -> tuple[Refresh, str]:
            verdict, found = await database.write(
                lambda s: sessions(s).refresh(token, NOW + after * SECOND)
            )
            return verdict, "" if found is None else found.refresh_token

        first = opened.refresh_token
        both = await asyncio.gather(show(first, 0), show(first, 0))
        assert sorted(verdict.name for verdict, _ in both) == ["REPEAT", "ROTATE"]
        (second,) = {token for _, token in both}
        assert await show(first, 10) == (Refresh.REPEAT, second)
        verdict, third = await show(second, 20)
        assert verdict is Refresh.ROTATE
        assert await show(first, 20) == (Refresh.REUSE, "")
        assert await show(third, 20) == (Refresh.ENDED, "")

    async def test_purge_keeps_what_lives(
        self, database: Database, sessions: Sessions, opened: Opened
    ) -> None:
        await database.write(lambda s: sessions(s).refresh(opened.refresh_token, NOW))
        for after, left in ((60, (1, 2)), (61, (0, 0))):
            await database.write(lambda s: sessions(s).purge(NOW + after * SECOND))  # noqa: B023 - awaited at once
            counts = await database.read(
                lambda s: tuple(
                    s.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar_one()
                    for table in ("sessions", "refresh_tokens")
                )
            )
            assert counts == left

    async def test_all_sessions_of_an_account_end(
        self, database: Database, sessions: Sessions, opened: Opened
    ) -> None:
        more = await database.write(lambda s: sessions(s).open(opened.user_id, NOW))
        await database.write(lambda s: sessions(s).end_all_of(opened.user_id, End.LOGOUT, NOW))
        for one in (opened, more):
            verdict, _ = await database.write(
                lambda s: sessions(s).refresh(one.refresh_token, NOW)  # noqa: B023 - awaited at once
            )
            assert verdict is Refresh.ENDED


class TestThrottle:
    async def test_parallel_tries_all_count(self, database: Database) -> None:
        async def attempt(when: datetime.datetime) -> bool:
            try:
                await write_with_retry(
                    database, lambda s: attempt_counters.charge(s, "a" * 64, when)
                )
            except MeshError as error:
                assert error.reason == "LOGIN_THROTTLED"  # noqa: PT017 - one of many calls
                return False
            return True

        found = await asyncio.gather(*(attempt(NOW) for _ in range(12)))
        assert found.count(True) == login_throttle.FREE_TRIES
        assert await attempt(NOW + SECOND)
        await database.write(lambda s: attempt_counters.clear(s, "a" * 64))
        assert await attempt(NOW + SECOND)

    async def test_purge(self, database: Database) -> None:
        await database.write(lambda s: attempt_counters.charge(s, "b" * 64, NOW))
        for after, left in ((0 * SECOND, 1), (SECOND, 0)):
            when = NOW + login_throttle.FORGOTTEN_AFTER + after
            await database.write(lambda s: attempt_counters.purge(s, when))  # noqa: B023 - awaited at once
            count = await database.read(
                lambda s: s.execute(text("SELECT COUNT(*) FROM login_attempts")).scalar_one()
            )
            assert count == left
