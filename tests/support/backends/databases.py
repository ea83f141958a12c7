"""The databases that tests run on: SQLite, and a real MariaDB or MySQL.

Migrations run once for each service and process: a database of a test is a copy of what they made.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine

from mesh.persistence.migrations import upgrade
from tests.support.backends.mariadb import Databases

SQLITE = "sqlite"
MARIADB = pytest.param("mariadb", marks=pytest.mark.backends)

on_sqlite_only = pytest.mark.parametrize("database_url", [SQLITE], indirect=True)
"""For a test of what is so with SQLite alone."""
on_mariadb_only = pytest.mark.parametrize("database_url", [MARIADB], indirect=True)
"""For a test of what is so with a server alone."""


on_empty = pytest.mark.parametrize("schema", [""], ids=["empty"])
"""For a test that runs the migrations itself."""


@cache
def _sqlite_template(service: str) -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "template.db"
        upgrade(service, f"sqlite:///{file}")
        # The last connection that is closed leaves nothing in the log beside the file.
        return file.read_bytes()


def migrated_sqlite(service: str, file: Path) -> str:
    """Makes an SQLite file with the tables of a service, as its migrations make them.

    Args:
        service: Name of the package, such as queue_svc.
        file: Where; its folder is made.

    Returns:
        The URL of the database.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_sqlite_template(service))
    return f"sqlite:///{file}"


@pytest.fixture
def schema() -> str:
    """The service whose tables a test's database has; none where a test makes them itself."""
    return ""


@pytest.fixture(scope="session")
def mariadb_databases() -> Iterator[Databases]:
    """The databases on the server, which tests of this process use one after another."""
    made = Databases()
    yield made
    made.close()


@pytest.fixture(params=[SQLITE, MARIADB])
def database_url(request: pytest.FixtureRequest, schema: str, tmp_path: Path) -> Iterator[str]:
    """URL of a database of this test alone.

    A server that cannot be reached fails the test.
    """
    if request.param == SQLITE:
        file = tmp_path / "test.db"
        yield migrated_sqlite(schema, file) if schema else f"sqlite:///{file}"
        return
    databases: Databases = request.getfixturevalue("mariadb_databases")
    with databases.lend(schema) as url:
        yield url


def dump(url: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    engine = create_engine(url)
    tables = MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        found = {
            name: [dict(row) for row in connection.execute(table.select()).mappings()]
            for name, table in tables.tables.items()
        }
    engine.dispose()
    return found
