"""The `mediq events` command: the events of the queues, as they come."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import Annotated

import grpc
import typer
from google.protobuf.json_format import MessageToJson
from mediq.queue.v1.event_pb2 import TicketEvent
from mediq.queue.v1.live_service_pb2 import StreamEnd, WatchEventsRequest, WatchEventsResponse
from mediq.queue.v1.live_service_pb2_grpc import LiveServiceStub
from mediq.queue.v1.queue_pb2 import TicketStatus

from mesh.backends import make_bus
from mesh.clock import utc_now
from mesh.contract.status import from_rpc_error
from mesh.errors import MeshError, StatusCode
from mesh.observability import logs
from mesh.rpc.client import Channels
from queue_svc.messages.routing_keys import FEED, routing_key
from queue_svc.settings import QueueSettings
from queue_svc.streaming.event_tail import ALL, tail_events

AGAIN_SECONDS = 1.0
"""Pause before a stream that ended is asked for again."""
app = typer.Typer(help="Events of the queues.")
Updates = AsyncIterator[WatchEventsResponse]


@app.callback()
def events() -> None:
    """Show events of the queues."""


def _line(event: TicketEvent) -> str:
    status = TicketStatus.Name(event.status).removeprefix("TICKET_STATUS_")
    words = (event.occur_time.ToJsonString(), routing_key(event), event.number, status)
    return "  ".join([*words, event.counter_name]).rstrip()


async def _show(updates: Updates, *, as_json: bool) -> StreamEnd:
    """Prints events until the stream ends."""
    async for update in updates:
        if update.HasField("end"):
            return update.end
        if update.HasField("event"):
            event = update.event
            typer.echo(MessageToJson(event, indent=None) if as_json else _line(event))
    return StreamEnd(reason="CANCELLED")


async def _follow(open_stream: Callable[[], Updates], *, as_json: bool) -> None:
    """Prints events for as long as the other side says that it makes sense to ask again."""
    while True:
        end = await _show(open_stream(), as_json=as_json)
        typer.echo(f"the stream ended ({end.reason}): events may be missing here", err=True)
        if not end.retry:
            return
        await asyncio.sleep(AGAIN_SECONDS)


async def _from_service(settings: QueueSettings, pattern: str, *, as_json: bool) -> None:
    address = os.environ.get("MEDIQ_QUEUE_SVC_ADDRESS", f"127.0.0.1:{settings.listen_port}")
    try:
        channels = Channels(settings.tls, "ops", lambda _: address)
    except FileNotFoundError as error:
        text = f"{settings.tls} has no certificates: start the mesh first (mediq up)"
        raise MeshError(text, StatusCode.UNAVAILABLE, "NO_CERTIFICATE") from error
    stub = LiveServiceStub(channels.to(settings.service))
    request = WatchEventsRequest(pattern=pattern)
    try:
        await _follow(lambda: stub.WatchEvents(request).__aiter__(), as_json=as_json)
    except grpc.aio.AioRpcError as error:
        found = from_rpc_error(error)
        if found.kind is StatusCode.UNAVAILABLE:
            found.message = f"queue_svc does not answer at {address}: start the mesh (mediq up)"
        raise found from error
    finally:
        await channels.close()


async def _from_broker(url: str, pattern: str, *, as_json: bool) -> None:
    bus = make_bus(url, FEED)
    try:
        await bus.ping()
        never = asyncio.Event()
        await _follow(lambda: tail_events(bus, pattern, never, utc_now, 60.0), as_json=as_json)
    finally:
        await bus.close()


@app.command("tail")
def tail_command(
    pattern: Annotated[
        str, typer.Option(help="Routing keys, institution.service.event: * one word, # any.")
    ] = ALL,
    amqp: Annotated[
        str,
        typer.Option(
            envvar="MEDIQ_QUEUE_SVC_AMQP_URL",
            help="Listen at the broker itself, amqp://user:password@host/. Else: at queue_svc.",
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an event.")] = False,
) -> None:
    """Print events as they come, one a line, until Ctrl-C."""
    # Standard output is for events; what the bus would warn of is said by the end of a stream.
    logs.configure("mediq", "ERROR")
    if amqp:
        following = _from_broker(amqp, pattern, as_json=as_json)
    else:
        following = _from_service(QueueSettings(), pattern, as_json=as_json)
    try:
        asyncio.run(following)
    except KeyboardInterrupt:
        return
    except MeshError as error:
        raise SystemExit(f"mediq: {error.message} ({error.reason})") from error
    except RuntimeError as error:
        raise SystemExit(f"mediq: {error}") from error
