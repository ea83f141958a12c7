"""A real process that is killed at work: what it acknowledged is there, and nothing twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from mediq.queue.v1.queue_pb2 import Ticket
from mediq.queue.v1.ticket_service_pb2 import IssueTicketRequest

from tests.queue_svc.conftest import FACILITIES, Facilities, Place, uid
from tests.queue_svc.stubs import QueueStub
from tests.support.mesh import Mesh, partly
from tests.support.waiting import PATIENCE_SECONDS, eventually


@asynccontextmanager
async def process(mesh: Mesh, database: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service as it is started in earnest; the test ends it."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "queue_svc"),
        env={
            **os.environ,
            "MEDIQ_HOME": str(mesh.home),
            "MEDIQ_QUEUE_SVC_PORT": "0",
            "MEDIQ_QUEUE_SVC_DATABASE_URL": f"sqlite:///{database}",
            "MEDIQ_INSTITUTION_SVC_ADDRESS": mesh.addresses["institution_svc"],
        },
        stderr=asyncio.subprocess.PIPE,
    )
    assert started.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in started.stderr:
                if b'"listening"' in line:
                    mesh.addresses["queue_svc"] = f"127.0.0.1:{json.loads(line)['port']}"
                    break
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


def issue(place: Place, key: str) -> IssueTicketRequest:
    """The registration is the key and stands for its patient too."""
    return IssueTicketRequest(
        request_id=key, institution_id=place.facility, service_id=place.service, patient_id=key
    )


async def issued_until_killed(
    mesh: Mesh, place: Place, running: asyncio.subprocess.Process
) -> tuple[dict[str, Ticket], list[str]]:
    """What was acknowledged, and the requests that got no answer."""
    answers: dict[str, Ticket] = {}
    unanswered: list[str] = []

    async def writer(stub: QueueStub) -> None:
        while True:
            key = uid()
            try:
                answers[key] = await stub.IssueTicket(issue(place, key), timeout=PATIENCE_SECONDS)
            except grpc.aio.AioRpcError:
                unanswered.append(key)
                return
            if len(answers) == 40:
                running.send_signal(signal.SIGKILL)

    async with mesh.channel("queue_svc", "ocr_svc") as channel:
        stub = QueueStub(channel)
        await asyncio.gather(*(writer(stub) for _ in range(8)))
    await running.wait()
    return answers, unanswered


async def test_kill_loses_nothing_and_repeats_nothing(mesh: Mesh, tmp_path: Path) -> None:
    facilities, database = Facilities(), tmp_path / "queue.db"
    place = facilities.open()
    async with mesh.double("institution_svc", (partly(FACILITIES), facilities)):
        async with process(mesh, database) as running:
            answers, unanswered = await issued_until_killed(mesh, place, running)
            assert running.returncode == -signal.SIGKILL
        assert len(answers) >= 40
        assert len(unanswered) == 8
        async with process(mesh, database):
            async with mesh.channel("queue_svc", "ocr_svc") as channel:
                stub = QueueStub(channel)
                for key, ticket in answers.items():
                    assert await stub.IssueTicket(issue(place, key)) == ticket
                repeated = [await stub.IssueTicket(issue(place, key)) for key in unanswered]
            with sqlite3.connect(database) as connection:
                numbers = sorted(row[0] for row in connection.execute("SELECT number FROM tickets"))
                await eventually(
                    lambda: connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
                )
            connection.close()
    everyone = [*answers.values(), *repeated]
    assert numbers == [f"A-{number:03d}" for number in range(1, len(everyone) + 1)]
    assert sorted(ticket.number for ticket in everyone) == numbers
