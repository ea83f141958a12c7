"""Databases on a real MariaDB or MySQL for tests.

Migrations run once for each service and process. To make the tables of a database takes longer than
most tests, so one that a test has left is emptied for the next one of the service.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, inspect, make_url, text
from sqlalchemy.exc import OperationalError

from mesh.persistence.migrations import upgrade

SERVER = os.environ.get("MEDIQ_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/")
LOCK_SECONDS = 5
"""How long what a test has left locked is waited for, before its database is thrown away."""
Columns = frozenset[tuple[Any, ...]]


def url_of(name: str) -> str:
    """Returns the URL of a database on the server."""
    return make_url(SERVER).set(database=name).render_as_string(hide_password=False)


def create(server: Engine) -> str:
    """Makes an empty database and returns its name."""
    name = f"mediq_test_{uuid4().hex}"
    with server.begin() as connection:
        connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4"))
    return name


def drop(server: Engine, name: str) -> None:
    """Drops a database."""
    with server.begin() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))


@dataclass(frozen=True)
class Template:
    """What migrations make."""

    statements: Sequence[str]
    """Those that make the tables."""
    rows: Mapping[Table, Sequence[dict[str, Any]]]
    """The rows that are there from the start."""


@cache
def template_of(service: str) -> Template:
    """Runs the migrations of a service.

    Raises:
        ValueError: They have made more than tables, which this does not know.
    """
    server = create_engine(SERVER)
    name = create(server)
    try:
        upgrade(service, url_of(name))
        made = create_engine(url_of(name))
        with made.connect() as connection:
            if (
                inspect(connection).get_view_names()
                or connection.execute(text("SHOW TRIGGERS")).all()
            ):
                raise ValueError(f"{service} has views or triggers")
            tables = MetaData()
            tables.reflect(connection)
            statements = [
                connection.execute(text(f"SHOW CREATE TABLE `{table}`")).one()[1]
                for table in tables.tables
            ]
            rows = {
                table: [dict(row) for row in connection.execute(table.select()).mappings()]
                for table in tables.tables.values()
            }
        made.dispose()
    finally:
        drop(server, name)
        server.dispose()
    return Template(statements, {table: found for table, found in rows.items() if found})


def fill(service: str, url: str) -> None:
    """Makes the tables of a service in an empty database, as its migrations make them."""
    template = template_of(service)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS=0")
        for statement in template.statements:
            # Percent signs in a statement are no parameters.
            connection.exec_driver_sql(statement.replace("%", "%%"))
        for table, found in template.rows.items():
            connection.execute(table.insert(), found)
    engine.dispose()


def _columns(connection: Connection, name: str) -> Columns:
    query = (
        "SELECT table_name, column_name, column_type, is_nullable, column_key, collation_name"
        " FROM information_schema.columns WHERE table_schema = :name"
    )
    return frozenset(tuple(row) for row in connection.execute(text(query), {"name": name}))


def empty(service: str, connection: Connection) -> None:
    """Takes all rows of a database, but those that migrations make.

    Raises:
        sqlalchemy.exc.OperationalError: A test has left rows locked.
    """
    query = (
        "SELECT table_name, auto_increment FROM information_schema.tables"
        " WHERE table_schema = DATABASE()"
    )
    counters = {row[0]: row[1] for row in connection.execute(text(query))}
    union = " UNION ALL ".join(
        f"SELECT '{name}' FROM DUAL WHERE EXISTS (SELECT 1 FROM `{name}`)" for name in counters
    )
    waits = f"innodb_lock_wait_timeout={LOCK_SECONDS}, lock_wait_timeout={LOCK_SECONDS}"
    connection.execute(text(f"SET FOREIGN_KEY_CHECKS=0, {waits}"))
    for name in connection.scalars(text(union)).all():
        connection.execute(text(f"DELETE FROM `{name}`"))
    for name, counter in counters.items():
        if counter is not None and counter > 1:
            connection.execute(text(f"ALTER TABLE `{name}` AUTO_INCREMENT = 1"))
    for table, rows in template_of(service).rows.items():
        connection.execute(table.insert(), rows)
    connection.commit()


class Databases:
    """Lends databases with the tables of a service to one test after another."""

    def __init__(self) -> None:
        """Connects when a database is lent."""
        self._server = create_engine(SERVER)
        self._free: dict[str, list[str]] = defaultdict(list)
        self._spoiled: list[str] = []
        self._columns: dict[str, Columns] = {}

    @contextmanager
    def lend(self, service: str) -> Iterator[str]:
        """Gives the URL of a database of one test alone.

        Args:
            service: Name of the package; empty for a database without tables.

        Raises:
            sqlalchemy.exc.OperationalError: The server cannot be reached.
        """
        name = self._free[service].pop() if self._free[service] else self._make(service)
        yield url_of(name)
        if service and self._emptied(service, name):
            self._free[service].append(name)
        else:
            # Not now: who has locked a row of it would be waited for.
            self._spoiled.append(name)

    def close(self) -> None:
        """Drops all databases."""
        for name in [*self._spoiled, *chain.from_iterable(self._free.values())]:
            drop(self._server, name)
        self._server.dispose()

    def _make(self, service: str) -> str:
        name = create(self._server)
        if service:
            fill(service, url_of(name))
            with self._server.connect() as connection:
                self._columns.setdefault(service, _columns(connection, name))
        return name

    def _emptied(self, service: str, name: str) -> bool:
        """Returns whether the database is as new: a test may have changed its tables."""
        engine = create_engine(url_of(name))
        try:
            with engine.connect() as connection:
                if _columns(connection, name) != self._columns[service]:
                    return False
                empty(service, connection)
        except OperationalError:
            return False
        finally:
            engine.dispose()
        return True
