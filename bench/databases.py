"""Databases of a measurement on MariaDB or MySQL: gone when it ends."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pymysql
from pymysql.connections import Connection as Sql
from sqlalchemy import make_url

from bench.table import Row
from mesh.persistence.migrations import upgrade

SERVER = os.environ.get("MEDIQ_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/")


def connect(database: str | None = None) -> Sql:
    """A connection as plain code would open it, READ COMMITTED."""
    url = make_url(SERVER)
    return pymysql.connect(
        host=url.host or "127.0.0.1",
        port=url.port or 3306,
        user=url.username or "root",
        password=url.password or "",
        database=database,
        charset="utf8mb4",
        init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    )


def query(database: str | None, text: str, *values: object) -> list[tuple[Any, ...]]:
    """The rows of one query."""
    with contextlib.closing(connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute(text, values)
        return list(cursor.fetchall())


@contextmanager
def database(service: str) -> Iterator[str]:
    """A database of its own with the tables of a service; dropped at the end."""
    name = f"mediq_bench_{os.getpid()}_{uuid4().hex[:8]}"
    query(None, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        upgrade(service, url_of(name))
        yield name
    finally:
        query(None, f"DROP DATABASE {name}")


def url_of(name: str) -> str:
    """The URL of a database for a service."""
    return make_url(SERVER).set(database=name).render_as_string(hide_password=False)


def require_durable() -> Row:
    """The setting that every figure depends on.

    Raises:
        SystemExit: The database does not write to the disk at each commit.
    """
    ((name, value),) = query(None, "SHOW VARIABLES LIKE 'innodb_flush_log_at_trx_commit'")
    ((version,),) = query(None, "SELECT VERSION()")
    if value != "1":
        raise SystemExit(f"{name} is {value}: set it to 1, or commits are not on the disk")
    return Row(name, float(value), "", note=version)
