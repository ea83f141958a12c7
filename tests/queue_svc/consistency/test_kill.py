"""The service is killed before each statement of a change: it happened wholly, or not at all."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from mediq.queue.v1 import ticket_service_pb2 as requests
from mediq.queue.v1.queue_pb2 import Ticket
from sqlalchemy import create_engine, make_url, select, text

from mesh.clock import utc_now
from mesh.messaging.events import Subscription
from mesh.persistence.database import make_engine
from queue_svc.persistence.models import IDEMPOTENCY, OUTBOX, Base
from queue_svc.settings import QueueSettings
from tests.queue_svc import ledger
from tests.queue_svc.conftest import (
    FACILITIES,
    SERVING,
    Clock,
    Facilities,
    Metadata,
    Place,
    World,
    uid,
)
from tests.queue_svc.consistency.killed_service import KILL_AT
from tests.queue_svc.stubs import QueueStub
from tests.support.backends import mariadb
from tests.support.backends.databases import migrated_sqlite
from tests.support.mesh import Mesh, partly
from tests.support.runs.depth import DEPTH
from tests.support.waiting import PATIENCE_SECONDS, eventually

MOST_STATEMENTS = 60
"""More than any change has."""
STEP = 2 if DEPTH == 1 else 1
"""From one statement that the service is killed before to the next one."""
Snapshot = dict[str, list[tuple[Any, ...]]]


class Now(Clock):
    """The time, as the killed process has it."""

    def __call__(self) -> datetime.datetime:
        return utc_now()


@dataclass(frozen=True)
class Asked:
    """A request, and who makes it."""

    method: str
    request: Message
    metadata: Metadata = ()

    async def send(self, mesh: Mesh) -> Ticket:
        """Asks the service that runs now."""
        internal = not self.metadata
        async with mesh.channel("queue_svc", "ocr_svc" if internal else "edge") as channel:
            call: Callable[..., Awaitable[Ticket]] = getattr(QueueStub(channel), self.method)
            metadata = self.metadata or None
            return await call(self.request, metadata=metadata, timeout=PATIENCE_SECONDS)


async def issue(world: World) -> Asked:
    await world.take()
    request = requests.IssueTicketRequest(
        request_id=uid(),
        institution_id=world.place.facility,
        service_id=world.place.service,
        patient_id=uid(),
        age_years=70,
    )
    return Asked("IssueTicket", request)


async def first_issue(world: World) -> Asked:
    """The queue is made with its first ticket."""
    request = requests.CreateTicketRequest(
        request_id=uid(),
        institution_id=world.place.facility,
        service_id=world.place.service,
        patient_id=uid(),
    )
    return Asked("CreateTicket", request, world.operator)


async def call_next(world: World) -> Asked:
    """The counter ends what it serves with the same request."""
    for _ in range(3):
        await world.take()
    await world.move(await world.next(), SERVING)
    request = requests.CallNextTicketRequest(
        request_id=uid(),
        institution_id=world.place.facility,
        service_id=world.place.service,
        counter_id=world.place.counters[0],
        finish_current=True,
    )
    return Asked("CallNextTicket", request, world.operator)


async def start(world: World) -> Asked:
    await world.take()
    request = requests.UpdateTicketStatusRequest(
        request_id=uid(), id=(await world.next()).id, status=SERVING
    )
    return Asked("UpdateTicketStatus", request, world.operator)


async def transfer(world: World) -> Asked:
    """The first one of the day: the pharmacy's queue is made too."""
    await world.take()
    ticket = await world.move(await world.next(), SERVING)
    request = requests.TransferTicketRequest(
        request_id=uid(), id=ticket.id, service_id=world.place.pharmacy, reason="resep"
    )
    return Asked("TransferTicket", request, world.operator)


async def cancel(world: World) -> Asked:
    patient = uid()
    ticket = await world.take(patient=patient)
    request = requests.CancelTicketRequest(request_id=uid(), id=ticket.id, reason="pulang")
    return Asked("CancelTicket", request, world.session(patient))


class SqliteCopies:
    """Databases on SQLite, and copies of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def empty(self) -> str:
        return migrated_sqlite("queue_svc", self._folder / f"{uid()}.db")

    def copy(self, url: str) -> str:
        # The last connection that is closed leaves nothing in the log beside the file.
        source = Path(make_url(url).database or "")
        target = source.with_name(f"{uid()}.db")
        shutil.copy(source, target)
        return f"sqlite:///{target}"

    def close(self) -> None:
        """The folder goes by itself."""


class MariaCopies:
    """The same on MariaDB; all are dropped at the end."""

    def __init__(self) -> None:
        self._server = create_engine(mariadb.SERVER)
        self._names: list[str] = []

    def _create(self) -> str:
        self._names.append(mariadb.create(self._server))
        return self._names[-1]

    def empty(self) -> str:
        url = mariadb.url_of(self._create())
        mariadb.fill("queue_svc", url)
        return url

    def copy(self, url: str) -> str:
        source, name = make_url(url).database, self._create()
        with self._server.begin() as connection:
            for table in (*Base.metadata.tables, "alembic_version"):
                connection.execute(text(f"CREATE TABLE {name}.{table} LIKE {source}.{table}"))
                connection.execute(
                    text(f"INSERT INTO {name}.{table} SELECT * FROM {source}.{table}")
                )
        return mariadb.url_of(name)

    def close(self) -> None:
        for name in self._names:
            mariadb.drop(self._server, name)
        self._server.dispose()


@pytest.fixture
def copies(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteCopies | MariaCopies]:
    made = SqliteCopies(tmp_path) if request.param == "sqlite" else MariaCopies()
    yield made
    made.close()


@asynccontextmanager
async def serving(
    mesh: Mesh, facilities: Facilities, place: Place, url: str
) -> AsyncIterator[tuple[World, Subscription]]:
    """The service in this process, with all that it publishes."""
    async with AsyncExitStack() as stack:
        settings = QueueSettings(
            home=mesh.home, port=0, database_url=url, migrate_at_start=False, drain_seconds=0
        )
        world = World(mesh, settings, Now(), facilities, place, stack)
        subscription = await stack.enter_async_context(world.bus.subscribe("#"))
        await world.start()
        yield world, subscription


class Doomed:
    """Starts services that will kill themselves, each in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._ask, self._answer, self._log = process.stdin, process.stdout, process.stderr

    async def start(self, mesh: Mesh, url: str, kill_at: int) -> int:
        """Starts one, as the only one; gives its process id."""
        environment = {
            "MEDIQ_HOME": str(mesh.home),
            "MEDIQ_QUEUE_SVC_PORT": "0",
            "MEDIQ_QUEUE_SVC_DATABASE_URL": url,
            "MEDIQ_MIGRATE_AT_START": "false",
            "MEDIQ_INSTITUTION_SVC_ADDRESS": mesh.addresses["institution_svc"],
            KILL_AT: str(kill_at),
        }
        self._ask.write(json.dumps(environment).encode() + b"\n")
        child = int(await self._answer.readline())
        async for line in self._log:
            if b'"listening"' in line:
                mesh.addresses["queue_svc"] = f"127.0.0.1:{json.loads(line)['port']}"
                break
        return child

    async def status(self) -> int:
        """How the last one ended."""
        return int(await self._answer.readline())


@pytest.fixture
async def doomed() -> AsyncIterator[Doomed]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.queue_svc.consistency.killed_service"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    yield Doomed(process)
    process.kill()
    await process.communicate()


def snapshot(url: str) -> Snapshot:
    """Every row of every table."""
    engine = make_engine(url, 1)
    with engine.connect() as connection:
        found = {
            name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for name, table in Base.metadata.tables.items()
        }
    engine.dispose()
    return found


def pending(url: str) -> list[str]:
    """Events that wait, in order."""
    engine = make_engine(url, 1)
    with engine.connect() as connection:
        found = connection.scalars(select(OUTBOX.c.event_id).order_by(OUTBOX.c.position)).all()
    engine.dispose()
    return list(found)


def checked(url: str) -> int:
    """How many changes there are, when all is in order."""
    engine = make_engine(url, 1)
    books = ledger.books(engine)
    engine.dispose()
    for book in books:
        ledger.check(book)
    return sum(len(book.changes) for book in books)


async def drained(url: str) -> None:
    await eventually(lambda: not pending(url))


async def killed(doomed: Doomed, mesh: Mesh, url: str, asked: Asked, kill_at: int) -> bool:
    """Asks a process that will be killed; whether it was killed before it had answered."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        child = await doomed.start(mesh, url, kill_at)
        with suppress(grpc.aio.AioRpcError):
            await asked.send(mesh)
            # It may have met its end after the answer, in the relay of the event.
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            await doomed.status()
            return False
        assert await doomed.status() == -signal.SIGKILL
        return True


CASES = [(issue, 1), (first_issue, 1), (call_next, 2), (start, 1), (transfer, 2), (cancel, 1)]
"""Requests, and how many changes each makes."""
ON_SERVER = (first_issue, call_next, transfer)
"""Those with the most statements: on a server that is enough."""


@pytest.mark.deep
@pytest.mark.parametrize(
    ("copies", "prepare", "changes"),
    [
        *(pytest.param("sqlite", *case) for case in CASES),
        *(
            pytest.param("mariadb", *case, marks=pytest.mark.backends)
            for case in CASES
            if case[0] in ON_SERVER
        ),
    ],
    indirect=["copies"],
)
async def test_killed_before_any_statement(
    mesh: Mesh,
    doomed: Doomed,
    copies: SqliteCopies | MariaCopies,
    prepare: Callable[[World], Awaitable[Asked]],
    changes: int,
) -> None:
    facilities = Facilities()
    place, prepared = facilities.open(), copies.empty()
    async with mesh.double("institution_svc", (partly(FACILITIES), facilities)):
        async with serving(mesh, facilities, place, prepared) as (world, _):
            asked = await prepare(world)
            await drained(prepared)
        before, count = snapshot(prepared), checked(prepared)
        happened: list[bool] = []
        kill_at, step = 1, STEP
        while True:
            assert kill_at < MOST_STATEMENTS, "the change never came to its end"
            url = copies.copy(prepared)
            if not await killed(doomed, mesh, url, asked, kill_at):
                if step == 1:
                    break
                # The last statement is after the commit: it is never left out.
                kill_at, step = kill_at - 1, 1
                continue
            kill_at += step
            happened.append(checked(url) > count)
            if happened[-1]:
                assert checked(url) == count + changes
                assert len(snapshot(url)[IDEMPOTENCY.name]) == len(before[IDEMPOTENCY.name]) + 1
            else:
                assert snapshot(url) == before
            waiting = pending(url)
            async with serving(mesh, facilities, place, url) as (_, subscription):
                # Whatever was killed, the request can be repeated, and has one effect.
                first, again = await asked.send(mesh), await asked.send(mesh)
                await drained(url)
                published = [
                    subscription.queue.get_nowait() for _ in range(subscription.queue.qsize())
                ]
            assert first == again
            assert checked(url) == count + changes
            # What the killed one had not published, or all; in order, and once.
            assert (
                len(published)
                == len({one.id for one in published})
                == (len(waiting) if happened[-1] else changes)
            )
            assert [one.id for one in published][: len(waiting)] == waiting
        # Nothing had happened before any statement, all of it after the commit.
        assert happened == sorted(happened)
        assert happened.count(False) >= 6 // STEP
        assert any(happened), happened
