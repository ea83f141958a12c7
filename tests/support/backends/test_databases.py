"""The copies that tests run on are what the migrations make."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine, make_url, text

from mesh.persistence.migrations import config_for, upgrade
from mesh.registry import services_with_database
from tests.support.backends import mariadb
from tests.support.backends.databases import dump, migrated_sqlite, on_empty, on_mariadb_only
from tests.support.backends.mariadb import Databases, fill

every_service = pytest.mark.parametrize("service", services_with_database())


@every_service
def test_a_copied_file_is_at_head(service: str, tmp_path: Path) -> None:
    url = migrated_sqlite(service, tmp_path / "copy.db")
    made = f"sqlite:///{tmp_path / 'made.db'}"
    upgrade(service, made)
    assert dump(url) == dump(made)
    head = ScriptDirectory.from_config(config_for(service, url)).get_current_head()
    assert dump(url)["alembic_version"] == [{"version_num": head}]


@every_service
@on_empty
@on_mariadb_only
def test_tables_on_a_server_are_those_of_the_migrations(service: str, database_url: str) -> None:
    fill(service, database_url)
    engine = create_engine(database_url)
    copied = MetaData()
    copied.reflect(engine)
    found = dump(database_url)

    def statements() -> dict[str, str]:
        with engine.connect() as connection:
            return {
                name: connection.execute(text(f"SHOW CREATE TABLE {name}")).one()[1]
                for name in copied.tables
            }

    before = statements()
    with engine.begin() as connection:
        connection.execute(text("SET FOREIGN_KEY_CHECKS=0"))
        for name in copied.tables:
            connection.execute(text(f"DROP TABLE {name}"))
    upgrade(service, database_url)
    assert dump(database_url) == found
    assert statements() == before
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), copied) == []
    engine.dispose()


@pytest.mark.backends
class TestLent:
    """Databases on a server that one test leaves to the next one."""

    @pytest.fixture
    def databases(self) -> Iterator[Databases]:
        made = Databases()
        yield made
        made.close()

    def test_the_next_one_finds_it_as_the_first_did(self, databases: Databases) -> None:
        with databases.lend("queue_svc") as url:
            new = dump(url)
            outbox = (
                "INSERT INTO outbox (event_id, topic, payload, create_time)"
                " VALUES ('1', 'a', 'b', NOW())"
            )
            change(url, outbox, "DELETE FROM outbox", outbox)
            assert [row["position"] for row in dump(url)["outbox"]] == [2]
        with databases.lend("queue_svc") as again:
            assert (again, dump(again)) == (url, new)
            change(again, outbox)
            assert [row["position"] for row in dump(again)["outbox"]] == [1]

    @pytest.mark.parametrize(
        "statement", ["DROP TABLE outbox", "ALTER TABLE outbox MODIFY payload VARBINARY(9)"]
    )
    def test_changed_tables_are_not_lent_again(self, databases: Databases, statement: str) -> None:
        with databases.lend("queue_svc") as url:
            new = dump(url)
            change(url, statement)
        with databases.lend("queue_svc") as other:
            assert other != url
            assert dump(other) == new

    def test_what_a_test_has_locked_is_not_waited_for(
        self, databases: Databases, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mariadb, "LOCK_SECONDS", 1)
        engine = create_engine(mariadb.SERVER)
        with engine.connect() as connection, databases.lend("queue_svc") as url:
            name = make_url(url).database
            connection.execute(text(f"UPDATE {name}.alembic_version SET version_num = version_num"))
            with databases.lend("queue_svc") as other:
                assert other != url
        engine.dispose()
        with databases.lend("queue_svc") as third:
            assert third == other

    def test_two_at_once_have_two(self, databases: Databases) -> None:
        with databases.lend("queue_svc") as one, databases.lend("queue_svc") as two:
            assert one != two

    def test_none_stays_on_the_server(self) -> None:
        databases = Databases()
        with databases.lend("queue_svc") as url, databases.lend("") as empty:
            names = {make_url(one).database for one in (url, empty)}
        databases.close()
        engine = create_engine(mariadb.SERVER)
        with engine.connect() as connection:
            assert not names & {*connection.scalars(text("SHOW DATABASES"))}
        engine.dispose()


def change(url: str, *statements: str) -> None:
    """Runs statements."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()
