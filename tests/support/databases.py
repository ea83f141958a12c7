"""The databases that repository tests run on: SQLite, and a real MariaDB or MySQL."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import MetaData, create_engine, make_url, text

SERVER = os.environ.get("MEDIQ_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/")

SQLITE = "sqlite"
MARIADB = pytest.param("mariadb", marks=pytest.mark.backends)

on_sqlite_only = pytest.mark.parametrize("database_url", [SQLITE], indirect=True)
"""For a test of what is so with SQLite alone."""
on_mariadb_only = pytest.mark.parametrize("database_url", [MARIADB], indirect=True)
"""For a test of what is so with a server alone."""


@pytest.fixture(params=[SQLITE, MARIADB])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database; one on the server is dropped afterwards.

    A server that cannot be reached fails the test.
    """
    if request.param == SQLITE:
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    name = f"mediq_test_{uuid4().hex}"
    server = create_engine(SERVER)
    with server.begin() as connection:
        connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4"))
    yield make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    with server.begin() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))
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
