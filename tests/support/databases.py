"""The databases that tests run on: SQLite, and a real MariaDB or MySQL.

Migrations run once for each service and process: a database of a test is a copy of what they made.
"""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, MetaData, Table, create_engine, inspect, make_url, text

from mesh.persistence.migrations import upgrade

SERVER = os.environ.get("MEDIQ_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/")

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


def _url_of(name: str) -> str:
    return make_url(SERVER).set(database=name).render_as_string(hide_password=False)


def _create(server: Engine) -> str:
    name = f"mediq_test_{uuid4().hex}"
    with server.begin() as connection:
        connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4"))
    return name


def _drop(server: Engine, name: str) -> None:
    with server.begin() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))


@cache
def _mariadb_template(service: str) -> tuple[tuple[str, ...], dict[Table, list[dict[str, Any]]]]:
    """The statements that make the tables of a service, and the rows that are there from the start.

    Raises:
        ValueError: Migrations have made more than tables, which this does not know.
    """
    server = create_engine(SERVER)
    name = _create(server)
    try:
        upgrade(service, _url_of(name))
        made = create_engine(_url_of(name))
        with made.connect() as connection:
            if (
                inspect(connection).get_view_names()
                or connection.execute(text("SHOW TRIGGERS")).all()
            ):
                raise ValueError(f"{service} has views or triggers")
            tables = MetaData()
            tables.reflect(connection)
            statements = tuple(
                connection.execute(text(f"SHOW CREATE TABLE `{table}`")).one()[1]
                for table in tables.tables
            )
            rows = {
                table: [dict(row) for row in connection.execute(table.select()).mappings()]
                for table in tables.tables.values()
            }
        made.dispose()
    finally:
        _drop(server, name)
        server.dispose()
    return statements, {table: found for table, found in rows.items() if found}


def fill_mariadb(service: str, url: str) -> None:
    """Makes the tables of a service in an empty database, as its migrations make them."""
    statements, rows = _mariadb_template(service)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS=0")
        for statement in statements:
            # Percent signs in a statement are no parameters.
            connection.exec_driver_sql(statement.replace("%", "%%"))
        for table, found in rows.items():
            connection.execute(table.insert(), found)
    engine.dispose()


@pytest.fixture
def schema() -> str:
    """The service whose tables a test's database has; none where a test makes them itself."""
    return ""


@pytest.fixture(params=[SQLITE, MARIADB])
def database_url(request: pytest.FixtureRequest, schema: str, tmp_path: Path) -> Iterator[str]:
    """URL of a database of this test alone; one on the server is dropped afterwards.

    A server that cannot be reached fails the test.
    """
    if request.param == SQLITE:
        file = tmp_path / "test.db"
        yield migrated_sqlite(schema, file) if schema else f"sqlite:///{file}"
        return
    server = create_engine(SERVER)
    name = _create(server)
    if schema:
        fill_mariadb(schema, _url_of(name))
    yield _url_of(name)
    _drop(server, name)
    server.dispose()


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
