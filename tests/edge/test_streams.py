"""Live streams: ids, reconnection, chunks, many at once."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import grpc
import httpx
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from mediq.policy.v1.policy_pb2 import Role, Scope
from mediq.queue.v1.live_service_pb2 import (
    Board,
    BoardService,
    Heartbeat,
    StreamEnd,
    WatchQueueRequest,
    WatchQueueResponse,
    WatchTicketResponse,
)
from mediq.queue.v1.live_service_pb2_grpc import LiveServiceStub
from mediq.queue.v1.queue_pb2 import Ticket

from edge import EdgeSettings, to_yaml
from edge.filters.event_stream import (
    MAX_HELD_BYTES,
    RETRY_MILLISECONDS,
    stream_events,
    stream_filter,
)
from edge.messages import Config, extension, socket_address
from edge.routes.route_table import route_config, routed_methods
from edge.settings import DEFAULT_RATES
from tests.edge import sse
from tests.edge.conftest import ORIGIN, Edge, another, reason, running, started
from tests.edge.upstreams import Context
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_SECONDS, eventually

PLACE = "11111111-1111-4111-8111-111111111111"
SERVICE = "/mediq.queue.v1.LiveService"
BOARD = f"/queue/boards/{PLACE}/live"
CURSOR = "2024-05-01:7b9f.5f_0e-42"
HEARTBEAT_SECONDS = 15
"""Longest silence of a stream (heartbeat_seconds of queue_svc)."""
WATCHERS = 500
"""Phones of one hall."""
CLIENT_WATCHERS = 50
"""Streams of one client of the test."""
SLEEPERS = 12
"""Phones that hold a stream and do not read it."""


def _board(size: int, cursor: str) -> WatchQueueResponse:
    """Returns a board that takes at least `size` bytes."""
    services = [BoardService(service_name="x" * 200, waiting=n) for n in range(size // 200)]
    return WatchQueueResponse(board=Board(services=services), cursor=cursor)


async def _short(_: Message, __: Context) -> AsyncIterator[Message]:
    yield WatchQueueResponse(board=Board(institution_name="Puskesmas"), cursor=CURSOR)
    yield WatchQueueResponse(heartbeat=Heartbeat())
    yield WatchQueueResponse(end=StreamEnd(reason="DRAINING", retry=True), cursor=f"{CURSOR}.2")


async def _read(api: httpx.AsyncClient, path: str = BOARD, **headers: str) -> list[sse.Event]:
    async with api.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        return sse.parse_all((await response.aread()).decode())


async def test_cursor_is_the_id_of_an_event(edge: Edge, api: httpx.AsyncClient) -> None:
    edge.upstreams.streams[f"{SERVICE}/WatchQueue"] = _short
    events = await _read(api)
    assert [event.id for event in events] == [CURSOR, None, f"{CURSOR}.2"]
    assert [event.json["cursor"] for event in events] == [CURSOR, "", f"{CURSOR}.2"]
    assert events[0].json["board"]["institutionName"] == "Puskesmas"
    assert events[2].json["end"] == {"reason": "DRAINING", "retry": True}


async def test_only_the_first_event_says_when_to_connect_again(
    edge: Edge, api: httpx.AsyncClient
) -> None:
    edge.upstreams.streams[f"{SERVICE}/WatchQueue"] = _short
    drawn = set()
    for _ in range(5):
        first, *others = await _read(api)
        assert first.retry is not None
        assert RETRY_MILLISECONDS[0] <= first.retry <= RETRY_MILLISECONDS[1]
        assert [event.retry for event in others] == [None, None]
        drawn.add(first.retry)
    assert len(drawn) > 1


async def test_text_that_looks_like_a_cursor_is_none(edge: Edge, api: httpx.AsyncClient) -> None:
    name = 'x","cursor":"evil"\n\nid: evil\n\ndata: {"cursor":"evil"}'

    async def hostile(_: Message, __: Context) -> AsyncIterator[Message]:
        yield WatchQueueResponse(board=Board(institution_name=name), cursor=CURSOR)
        yield WatchQueueResponse(board=Board(institution_name=name))
        yield WatchQueueResponse(board=Board(institution_name=name), cursor="not one\nid: evil")

    edge.upstreams.streams[f"{SERVICE}/WatchQueue"] = hostile
    events = await _read(api)
    assert [event.id for event in events] == [CURSOR, None, None]
    assert [event.json["board"]["institutionName"] for event in events] == [name] * 3


def _other_cursors(message: Descriptor, seen: set[str]) -> Iterator[str]:
    """Yields fields below a message that the script would take for its cursor."""
    for field in message.fields:
        inner = field.message_type
        if inner is None or inner.full_name in seen:
            continue
        seen.add(inner.full_name)
        if "cursor" in inner.fields_by_name:
            yield inner.fields_by_name["cursor"].full_name
        yield from _other_cursors(inner, seen)


def test_every_stream_has_one_cursor_and_no_other() -> None:
    streams = [method for method in routed_methods() if method.streaming]
    assert len(streams) == 3
    for method in streams:
        for message in (method.input, method.descriptor.output_type):
            assert "cursor" in message.fields_by_name, message.full_name
        assert list(_other_cursors(method.descriptor.output_type, set())) == []


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (BOARD, "WatchQueue"),
        (f"/queue/{PLACE}/live", "WatchTicket"),
        (f"/queue/counters/{PLACE}/live", "WatchCounter"),
    ],
)
async def test_both_ways_to_go_on_reach_the_server(
    edge: Edge, api: httpx.AsyncClient, path: str, method: str
) -> None:
    token = edge.bearer(role=Role.ROLE_OPERATOR)
    await _read(api, f"{path}?cursor={CURSOR}", **token)
    call = edge.upstreams.last(f"{SERVICE}/{method}")
    assert getattr(call.request, "cursor", None) == CURSOR
    assert "last-event-id" not in call.metadata
    await _read(api, path, **{"Last-Event-ID": CURSOR}, **token)
    call = edge.upstreams.last(f"{SERVICE}/{method}")
    assert getattr(call.request, "cursor", None) == ""
    assert call.metadata["last-event-id"] == CURSOR


async def test_long_cursors(edge: Edge, api: httpx.AsyncClient) -> None:
    long = "".join(random.choices("abcXYZ019._:-", k=2000))

    async def answer(_: Message, __: Context) -> AsyncIterator[Message]:
        yield WatchQueueResponse(heartbeat=Heartbeat(), cursor=long)

    edge.upstreams.streams[f"{SERVICE}/WatchQueue"] = answer
    (event,) = await _read(api, **{"Last-Event-ID": long})
    assert event.id == long
    assert edge.upstreams.last(f"{SERVICE}/WatchQueue").metadata["last-event-id"] == long


async def test_headers_of_a_stream(edge: Edge, api: httpx.AsyncClient) -> None:
    async with api.stream("GET", BOARD) as response:
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["cache-control"] == "no-store, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        assert "content-length" not in response.headers


async def test_foreign_pages_may_say_where_they_stopped(api: httpx.AsyncClient) -> None:
    preflight = await api.options(
        BOARD,
        headers={
            "origin": ORIGIN,
            "access-control-request-method": "GET",
            "access-control-request-headers": "last-event-id",
        },
    )
    assert preflight.status_code == 200
    assert "last-event-id" in preflight.headers["access-control-allow-headers"]


async def test_errors_before_the_stream_are_no_events(edge: Edge, api: httpx.AsyncClient) -> None:
    async def refuse(_: Message, context: Context) -> AsyncIterator[Message]:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such board")
        yield WatchQueueResponse()

    edge.upstreams.streams[f"{SERVICE}/WatchQueue"] = refuse
    response = await api.get(BOARD)
    assert (response.status_code, response.json()["code"]) == (404, 5)
    assert reason(await api.get(f"/queue/{PLACE}/live")) == (401, 16, "TOKEN_MISSING")


async def test_native_streams_are_left_alone(edge: Edge, channel: grpc.aio.Channel) -> None:
    edge.upstreams.streams[f"{SERVICE}/WatchQueue"] = _short
    call = LiveServiceStub(channel).WatchQueue(WatchQueueRequest(institution_id=PLACE))
    assert [message.cursor async for message in call] == [CURSOR, "", f"{CURSOR}.2"]


async def test_every_message_passes_at_once(edge: Edge, api: httpx.AsyncClient) -> None:
    go_on = threading.Semaphore(0)

    async def one_by_one(_: Message, __: Context) -> AsyncIterator[Message]:
        for n in range(20):
            yield WatchTicketResponse(heartbeat=Heartbeat(), cursor=f"c{n}")
            await asyncio.to_thread(go_on.acquire)

    edge.upstreams.streams[f"{SERVICE}/WatchTicket"] = one_by_one
    headers = edge.bearer(scope=Scope.SCOPE_TICKETS)
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        api.stream("GET", f"/queue/{PLACE}/live", headers=headers) as response,
    ):
        n = 0
        # The server sends the next one only after this one has arrived.
        async for event in sse.events(response):
            assert event.id == f"c{n}"
            n += 1
            go_on.release()
    assert n == 20


@pytest.mark.parametrize("size", [64 << 10, 900 << 10])
async def test_large_boards(edge: Edge, api: httpx.AsyncClient, size: int) -> None:
    boards = [_board(size, f"large.{n}") for n in range(3)]

    async def answer(_: Message, __: Context) -> AsyncIterator[Message]:
        for board in boards:
            yield board
        yield WatchQueueResponse(end=StreamEnd(reason="CLOSED"), cursor="last")

    edge.upstreams.streams[f"{SERVICE}/WatchQueue"] = answer
    events = await _read(api)
    assert [event.id for event in events] == ["large.0", "large.1", "large.2", "last"]
    for event, board in zip(events, boards, strict=False):
        assert len(event.data) > size
        arrived = [service["waiting"] for service in event.json["board"]["services"]]
        assert arrived == [service.waiting for service in board.board.services]


async def test_many_small_messages(edge: Edge, api: httpx.AsyncClient) -> None:
    count = 5000

    async def answer(_: Message, __: Context) -> AsyncIterator[Message]:
        for n in range(count):
            yield WatchTicketResponse(ticket=Ticket(number=f"A-{n}"), cursor=f"c:{n}")

    edge.upstreams.streams[f"{SERVICE}/WatchTicket"] = answer
    events = await _read(api, f"/queue/{PLACE}/live", **edge.bearer(scope=Scope.SCOPE_TICKETS))
    assert [event.id for event in events] == [f"c:{n}" for n in range(count)]
    assert [event.json["ticket"]["number"] for event in events] == [f"A-{n}" for n in range(count)]


async def test_stream_that_breaks_off_ends_with_a_whole_event(
    edge: Edge, api: httpx.AsyncClient
) -> None:
    async def answer(_: Message, __: Context) -> AsyncIterator[Message]:
        yield WatchQueueResponse(heartbeat=Heartbeat(), cursor="a")
        yield WatchQueueResponse(heartbeat=Heartbeat(), cursor="b")
        raise RuntimeError("broken")

    edge.upstreams.streams[f"{SERVICE}/WatchQueue"] = answer
    assert [event.id for event in await _read(api)] == ["a", "b"]


def test_silence_ends_a_stream_and_time_does_not() -> None:
    (host,) = route_config(EdgeSettings())["virtual_hosts"]
    routes = {route["name"]: route for route in host["routes"]}
    for method in routed_methods():
        if method.streaming:
            action = routes[f"{method.service}/{method.name}"]["route"]
            assert action["timeout"] == "0s"
            assert float(action["idle_timeout"].rstrip("s")) > 3 * HEARTBEAT_SECONDS


def test_a_hall_behind_one_address_may_open_its_streams_at_once() -> None:
    rates = DEFAULT_RATES[next(m.policy.rate for m in routed_methods() if m.streaming)]
    assert rates.address.tokens >= 2 * WATCHERS
    assert rates.shared.tokens > rates.address.tokens


async def test_a_hall_of_watchers(edge: Edge, tmp_path: Path) -> None:
    """All streams are open at the same time, hear of the same change, and end by themselves."""
    opened = asyncio.Queue[str]()
    here = asyncio.get_running_loop()
    waiting = list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    async def watch(_: Message, __: Context) -> AsyncIterator[Message]:
        called = asyncio.Event()
        waiting.append((asyncio.get_running_loop(), called))
        yield _board(2000, "start")
        await called.wait()
        yield WatchQueueResponse(heartbeat=Heartbeat(), cursor="change")
        yield WatchQueueResponse(end=StreamEnd(reason="CLOSED"), cursor="end")

    async def follow(api: httpx.AsyncClient) -> list[str | None]:
        ids = []
        async with api.stream("GET", BOARD) as response:
            assert response.status_code == 200, await response.aread()
            async for event in sse.events(response):
                ids.append(event.id)
                if event.id == "start":
                    here.call_soon(opened.put_nowait, "start")
        return ids

    edge.upstreams.streams[f"{SERVICE}/WatchQueue"] = watch
    settings = another(edge, max_calls=EdgeSettings().max_calls)
    with running(settings, tmp_path) as admin:
        url = f"http://127.0.0.1:{settings.listen_port}"
        async with asyncio.timeout(PATIENCE_SECONDS), AsyncExitStack() as stack:
            # A client walks over all its connections for each request.
            clients = [
                await stack.enter_async_context(
                    httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS)
                )
                for _ in range(WATCHERS // CLIENT_WATCHERS)
            ]
            group = await stack.enter_async_context(asyncio.TaskGroup())
            watchers = [
                group.create_task(follow(clients[number // CLIENT_WATCHERS]))
                for number in range(WATCHERS)
            ]
            for _ in range(WATCHERS):
                await opened.get()
            active = f"{admin}/stats?format=json&filter=cluster.queue_svc.upstream_rq_active$"
            (stat,) = (await clients[0].get(active)).json()["stats"]
            assert stat["value"] == WATCHERS
            for loop, called in waiting:
                loop.call_soon_threadsafe(called.set)
    assert [watcher.result() for watcher in watchers] == [["start", "change", "end"]] * WATCHERS


@pytest.fixture
async def sleepers(edge: Edge) -> AsyncIterator[None]:
    """Opens streams of watchers that read nothing of all that is sent."""
    started = sent = seen = 0

    async def flood(_: Message, __: Context) -> AsyncIterator[Message]:
        nonlocal started, sent
        started += 1
        while True:
            yield _board(64 << 10, CURSOR)
            sent += 1

    def full() -> bool:
        nonlocal seen
        seen, before = sent, seen
        return started >= SLEEPERS and seen == before

    edge.upstreams.streams[f"{SERVICE}/WatchQueue"] = flood
    host, _, port = edge.address.partition(":")
    asleep = [await asyncio.open_connection(host, int(port)) for _ in range(SLEEPERS)]
    for _, writer in asleep:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(f"GET {BOARD} HTTP/1.1\r\nhost: edge\r\n\r\n".encode())
    # The buffers on the way are full when nothing more is taken. A slow machine may seem full
    # before it is; that misses a fault, and makes none.
    await eventually(full, every_seconds=1)
    yield
    for _, writer in asleep:
        writer.transport.abort()


@pytest.mark.usefixtures("sleepers")
async def test_watchers_that_do_not_read_hold_up_nobody(api: httpx.AsyncClient) -> None:
    """All calls of a server share a connection; a full stream may not fill it."""
    for _ in range(3):
        assert (await api.get(f"/queue/boards/{PLACE}")).status_code == 200


def _plain(target: int, listen: int, admin: int) -> Config:
    """Renders an Envoy with the script before an upstream that sends events by itself."""
    endpoint = {"endpoint": {"address": socket_address("127.0.0.1", target)}}
    route = {
        "match": {"prefix": "/"},
        "route": {"cluster": "events"},
        "typed_per_filter_config": stream_events(),
    }
    router = "envoy.extensions.filters.http.router.v3.Router"
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="plain",
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        http_filters=[stream_filter(), extension("envoy.filters.http.router", router)],
    )
    cluster = {
        "name": "events",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "events", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    listener = {
        "name": "plain",
        "address": socket_address("127.0.0.1", listen),
        "filter_chains": [{"filters": [manager]}],
    }
    return {
        "admin": {"address": socket_address("127.0.0.1", admin)},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }


@contextmanager
def _chunked(folder: Path, target: int) -> Iterator[str]:
    listen, admin = free_port(), free_port()
    (folder / "plain.yaml").write_text(to_yaml(_plain(target, listen, admin)))
    with started(folder / "plain.yaml", admin):
        yield f"http://127.0.0.1:{listen}/"


def _event(cursor: str, padding: int = 10) -> str:
    data = json.dumps({"text": "x" * padding, "cursor": cursor}, separators=(",", ":"))
    return f"data: {data}\n\n"


async def test_events_in_pieces(edge: Edge, tmp_path: Path) -> None:
    """The transcoder writes whole events; the script does not rely on it."""
    bodies: dict[str, list[str]] = {
        "bytes": list(_event("a") + _event("b")),
        "several": [_event("a") + _event("b")[:9], _event("b")[9:] + _event("c")],
        "border": [_event("a")[:-1], "\n" + _event("b")],
        "oversized": [
            _event("a"),
            *[_event("b", 2 * MAX_HELD_BYTES)[n:][: 64 << 10] for n in range(0, 2 << 20, 64 << 10)],
            _event("b", 2 * MAX_HELD_BYTES)[2 << 20 :] + _event("c"),
        ],
        "broken": [_event("a"), _event("b")[:20]],
    }
    expected: dict[str, list[str | None]] = {
        "bytes": ["a", "b"],
        "several": ["a", "b", "c"],
        "border": ["a", "b"],
        "oversized": ["a", None, "c"],
        "broken": ["a"],
    }

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        )
        for piece in bodies[request.split()[1].strip("/")]:
            writer.write(f"{len(piece):x}\r\n{piece}\r\n".encode())
            await writer.drain()
            await asyncio.sleep(0.002)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        with _chunked(tmp_path, server.sockets[0].getsockname()[1]) as url:
            async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as api:
                for name, pieces in bodies.items():
                    events = await _read(api, name)
                    assert [event.id for event in events] == expected[name], name
                    whole = "".join(pieces).split("\n\n")[:-1]
                    assert [f"data: {event.data}" for event in events] == whole, name
