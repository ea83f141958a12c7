"""`mediq events tail` in a process of its own: at a service, at a broker, and with nobody there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp
from mediq.queue.v1.event_pb2 import TicketEvent, TicketEventType
from mediq.queue.v1.live_service_pb2 import WatchEventsRequest, WatchEventsResponse
from mediq.queue.v1.queue_pb2 import TicketStatus

from mesh.clock import utc_now
from mesh.messaging.events import Event, EventBus, LocalBus
from mesh.messaging.rabbit import RabbitBus
from mesh.rpc.pipeline import Context
from mesh.rpc.server import Server
from queue_svc.messages.routing_keys import FEED, routing_key
from queue_svc.settings import QueueSettings
from queue_svc.streaming.event_tail import tail_events
from tests.support.backends.brokers import AMQP_URL
from tests.support.mesh import Mesh
from tests.support.waiting import PATIENCE_SECONDS

SERVICE = "mediq.queue.v1.LiveService"


class Observed:
    """The one method of the service that the command calls, behind the pipeline of the kit."""

    def __init__(self, bus: EventBus, server: Server) -> None:
        self.bus = bus
        self.server = server

    async def WatchEvents(
        self, request: WatchEventsRequest, context: Context
    ) -> AsyncIterator[WatchEventsResponse]:
        draining = self.server.draining
        async for message in tail_events(self.bus, request.pattern, draining, utc_now, 0.1):
            yield message


def register(servicer: Observed, server: grpc.aio.Server) -> None:
    handler = grpc.unary_stream_rpc_method_handler(
        servicer.WatchEvents,
        WatchEventsRequest.FromString,
        WatchEventsResponse.SerializeToString,
    )
    server.add_registered_method_handlers(SERVICE, {"WatchEvents": handler})


@asynccontextmanager
async def service(mesh: Mesh, bus: EventBus) -> AsyncIterator[dict[str, str]]:
    """The service; gives the variables that lead a command to it."""

    async def build(server: Server) -> None:
        server.add(register, Observed(bus, server))

    async with mesh.serve(QueueSettings(home=mesh.home, port=0), build):
        yield {"MEDIQ_HOME": str(mesh.home), "MEDIQ_QUEUE_SVC_ADDRESS": mesh.addresses["queue_svc"]}


async def command(*arguments: str, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from ops.cli import main; main()", "events", "tail"),
        *arguments,
        env=os.environ | {"COLUMNS": "200"} | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def called(facility: str) -> TicketEvent:
    return TicketEvent(
        id=str(uuid4()),
        type=TicketEventType.TICKET_EVENT_TYPE_CALLED,
        institution_id=facility,
        service_id="poli",
        number="A-001",
        status=TicketStatus.TICKET_STATUS_CALLED,
        counter_name="Loket 1",
        occur_time=Timestamp(seconds=1_772_416_800),
    )


async def first_line(running: asyncio.subprocess.Process, bus: EventBus, made: TicketEvent) -> str:
    """Publishes copies of an event until the command prints one."""
    assert running.stdout is not None
    reading = asyncio.ensure_future(running.stdout.readline())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not reading.done():
            event = Event(str(uuid4()), routing_key(made), made.SerializeToString())
            await bus.publish(event)
            await asyncio.wait({reading}, timeout=0.1)
        return (await reading).decode().rstrip("\n")


async def interrupted(running: asyncio.subprocess.Process) -> str:
    """Presses Ctrl-C; gives what stands on standard error."""
    running.send_signal(signal.SIGINT)
    _, errors = await asyncio.wait_for(running.communicate(), PATIENCE_SECONDS)
    assert running.returncode == 0
    return errors.decode()


async def test_one_line_an_event_until_ctrl_c(mesh: Mesh) -> None:
    bus = LocalBus()
    async with service(mesh, bus) as variables:
        running = await command(**variables)
        line = await first_line(running, bus, called("rsud"))
        assert line == "2026-03-02T02:00:00Z  rsud.poli.called  A-001  CALLED  Loket 1"
        assert await interrupted(running) == ""


async def test_json_for_programs(mesh: Mesh) -> None:
    bus = LocalBus()
    made = called("rsud")
    async with service(mesh, bus) as variables:
        running = await command("--json", "--pattern", "rsud.*.called", **variables)
        line = await first_line(running, bus, made)
        assert ParseDict(json.loads(line), TicketEvent()) == made
        await interrupted(running)


async def test_a_service_that_stops(mesh: Mesh) -> None:
    bus = LocalBus()
    async with service(mesh, bus) as variables:
        running = await command(**variables)
        await first_line(running, bus, called("rsud"))
    _, errors = await asyncio.wait_for(running.communicate(), PATIENCE_SECONDS)
    assert running.returncode == 1
    first, last = errors.decode().splitlines()
    assert first == "the stream ended (SHUTTING_DOWN): events may be missing here"
    assert last.startswith("mediq: queue_svc does not answer at 127.0.0.1:")


@pytest.mark.backends
async def test_at_the_broker_itself() -> None:
    facility = str(uuid4())
    bus = RabbitBus(AMQP_URL, FEED)
    running = await command("--pattern", f"{facility}.#", MEDIQ_QUEUE_SVC_AMQP_URL=AMQP_URL)
    line = await first_line(running, bus, called(facility))
    assert line.endswith(f"{facility}.poli.called  A-001  CALLED  Loket 1")
    assert await interrupted(running) == ""
    await bus.close()


async def failure(*arguments: str, **variables: str) -> str:
    """The one line that a command fails with."""
    running = await command(*arguments, **variables)
    out, errors = await asyncio.wait_for(running.communicate(), PATIENCE_SECONDS)
    assert (running.returncode, out) == (1, b"")
    (line,) = errors.decode().splitlines()
    return line


async def test_no_service(mesh: Mesh) -> None:
    line = await failure(MEDIQ_HOME=str(mesh.home), MEDIQ_QUEUE_SVC_PORT="1")
    assert line == (
        "mediq: queue_svc does not answer at 127.0.0.1:1: start the mesh (mediq up) (UNAVAILABLE)"
    )


async def test_no_certificates(tmp_path: Path) -> None:
    line = await failure(MEDIQ_HOME=str(tmp_path))
    assert line.endswith("has no certificates: start the mesh first (mediq up) (NO_CERTIFICATE)")


async def test_a_bad_pattern(mesh: Mesh) -> None:
    async with service(mesh, LocalBus()) as variables:
        assert "(PATTERN_INVALID)" in await failure("--pattern", "a..b", **variables)


async def test_no_broker() -> None:
    line = await failure("--amqp", "amqp://guest:secret@127.0.0.1:1/")
    assert line == "mediq: the broker does not answer (BROKER_UNAVAILABLE)"


async def test_no_broker_address() -> None:
    line = await failure("--amqp", "guest:secret@rabbit")
    assert line.startswith("mediq: the broker's address is no URL")
    assert "secret" not in line
