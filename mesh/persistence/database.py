"""Databases: SQLite and MySQL or MariaDB from the same models, units of work in threads."""

import asyncio
import datetime
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import TypeVar

from sqlalchemy import DateTime, Dialect, create_engine, event, make_url, text
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator, TypeEngine

from mesh.errors import unavailable

__all__ = [
    "Database",
    "UtcDateTime",
    "make_engine",
]

Result = TypeVar("Result")
ATTEMPTS = 5
"""Tries of a unit of work that lost against another one."""
_LOST = {1205, 1213, 1020}
"""MySQL: lock wait timeout, deadlock, record changed since last read."""


class UtcDateTime(TypeDecorator[datetime.datetime]):
    """Stores an aware UTC time with microseconds, without a zone."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime.datetime]:
        """Returns DATETIME(6) for MySQL, which would drop fractions otherwise."""
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(
        self, value: datetime.datetime | None, dialect: Dialect
    ) -> datetime.datetime | None:
        """Returns the time in UTC without a zone."""
        return None if value is None else value.astimezone(datetime.UTC).replace(tzinfo=None)

    def process_result_value(
        self, value: datetime.datetime | None, dialect: Dialect
    ) -> datetime.datetime | None:
        """Returns the time as an aware one."""
        return None if value is None else value.replace(tzinfo=datetime.UTC)


def _sqlite_engine(url: str) -> Engine:
    database = make_url(url).database
    if database:
        Path(database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_engine(
        url, connect_args={"timeout": 10, "check_same_thread": False}, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: object) -> None:
        # A deferred transaction that turns into a writer fails at once when another one wrote.
        options = connection.get_execution_options()  # type: ignore[attr-defined]
        mode = "DEFERRED" if options.get("mediq_read") else "IMMEDIATE"
        connection.exec_driver_sql(f"BEGIN {mode}")  # type: ignore[attr-defined]

    return engine


def make_engine(url: str, connections: int = 8) -> Engine:
    """Makes an engine for an SQLite, MySQL or MariaDB URL.

    MySQL runs at READ COMMITTED: REPEATABLE READ deadlocks when operators claim tickets.

    Args:
        url: SQLAlchemy URL: sqlite:///path or mysql+pymysql://user:password@host/name.
        connections: Most connections to a server.

    Raises:
        ValueError: Another kind of database.
    """
    backend = make_url(url).get_backend_name()
    if backend == "sqlite":
        return _sqlite_engine(url)
    if backend in ("mysql", "mariadb"):
        return create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,
            pool_recycle=1800,
            isolation_level="READ COMMITTED",
            hide_parameters=True,
            connect_args={"charset": "utf8mb4", "connect_timeout": 3},
        )
    raise ValueError(f"{backend} is not supported: use sqlite or mysql+pymysql")


def _lost_race(error: DBAPIError) -> bool:
    code = getattr(error.orig, "args", (None,))[0]
    return code in _LOST or "database is locked" in str(error.orig)


class Database:
    """Runs units of work on the database of one service."""

    def __init__(self, url: str, threads: int = 8) -> None:
        """Opens nothing yet.

        Args:
            url: See `make_engine`.
            threads: Units of work that may run at the same time.
        """
        self.engine = make_engine(url, threads)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sql")

    async def write(self, work: Callable[[Session], Result]) -> Result:
        """Runs one unit of work in one transaction; commits when it returns.

        A unit that lost against another one (deadlock, lock timeout) runs again, so it must have
        no effect outside of the session.

        Raises:
            MeshError: UNAVAILABLE with reason DATABASE_UNAVAILABLE.
        """
        return await self._run(lambda: self._attempt(work, read=False))

    async def read(self, work: Callable[[Session], Result]) -> Result:
        """Runs queries that change nothing.

        Raises:
            MeshError: UNAVAILABLE with reason DATABASE_UNAVAILABLE.
        """
        return await self._run(lambda: self._attempt(work, read=True))

    async def ping(self) -> None:
        """Raises when the database does not answer."""
        await self.read(lambda session: session.execute(text("SELECT 1")))

    async def close(self) -> None:
        """Closes the connections and ends the threads."""
        self._pool.shutdown(wait=True)
        self.engine.dispose()

    async def _run(self, work: Callable[[], Result]) -> Result:
        loop = asyncio.get_running_loop()
        context = copy_context()
        return await loop.run_in_executor(self._pool, lambda: context.run(work))

    def _attempt(self, work: Callable[[Session], Result], *, read: bool) -> Result:
        for attempt in range(ATTEMPTS):
            try:
                options = {"mediq_read": read}
                with (
                    self.engine.connect().execution_options(**options) as connection,
                    Session(connection, expire_on_commit=False) as session,
                    session.begin(),
                ):
                    result = work(session)
                return result
            except OperationalError as error:
                if not _lost_race(error) or attempt == ATTEMPTS - 1:
                    raise unavailable(
                        "the database does not answer", "DATABASE_UNAVAILABLE"
                    ) from error
                time.sleep(random.uniform(0.005, 0.02) * 2**attempt)  # noqa: S311  # nosec B311 # spreads retries
        raise AssertionError("unreachable")
