"""The copies that tests run on are what the migrations make."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine, text

from mesh.persistence.migrations import config_for, upgrade
from mesh.registry import services_with_database
from tests.support.databases import dump, fill_mariadb, migrated_sqlite, on_empty, on_mariadb_only

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
    fill_mariadb(service, database_url)
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
