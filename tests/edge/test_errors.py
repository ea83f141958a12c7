"""Every error has the one shape, whoever writes it."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from pathlib import Path

import grpc
import httpx
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from mediq.policy.v1.policy_pb2 import Role
from mediq.queue.v1.ticket_service_pb2 import ListMyTicketsRequest, ListMyTicketsResponse
from mediq.queue.v1.ticket_service_pb2_grpc import TicketServiceStub

from mesh.contract.status import to_status
from mesh.errors import MeshError, failed_precondition
from tests.attacks.doors import DOCUMENT
from tests.edge.conftest import MAX_CALLS, Edge, another, reason, running
from tests.edge.upstreams import Calls, Context
from tests.support.waiting import PATIENCE_SECONDS, eventually

MINE = "/mediq.queue.v1.TicketService/ListMyTickets"
TICKET = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/nothing"),
        ("GET", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
        ("POST", "/mediq.queue.v1.TicketService/ListTickets"),
        ("POST", "/mediq.queue.v1.TicketService/IssueTicket"),
        ("POST", "/mediq.ocr_engine.v1.OcrEngineService/ReadCard"),
    ],
)
async def test_unknown_paths(edge: Edge, api: httpx.AsyncClient, verb: str, path: str) -> None:
    headers = edge.bearer(role=Role.ROLE_ADMIN_FASKES)
    response = await api.request(verb, path, headers=headers)
    assert reason(response) == (404, 5, "ROUTE_NOT_FOUND")


@pytest.mark.parametrize("path", DOCUMENT["paths"])
async def test_paths_say_which_verbs_they_take(api: httpx.AsyncClient, path: str) -> None:
    """The document of the interface and the edge agree on every pair of path and verb."""
    taken = {verb.upper() for verb in DOCUMENT["paths"][path]}
    for verb in {"DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"} - taken:
        response = await api.request(verb, re.sub("{[^}]+}", TICKET, path))
        assert reason(response) == (405, 12, "METHOD_NOT_ALLOWED"), verb
        assert set(response.headers["allow"].split(", ")) == taken, verb


async def test_head_is_not_taken(api: httpx.AsyncClient) -> None:
    response = await api.head("/queue")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("GET", "/queue?nope=1", ""),
        ("GET", "/queue?status=NOPE", ""),
        ("GET", "/queue?pageSize=many", ""),
        ("POST", "/queue", "{"),
        ("POST", "/queue", '{"priority": "NOPE"}'),
        ("POST", "/queue", '{"institutionId": 5}'),
        ("PATCH", f"/queue/{TICKET}/status", '{"id": "another"}'),
        ("GET", "/queue%2fstats", ""),
    ],
)
async def test_malformed_requests(
    edge: Edge, api: httpx.AsyncClient, verb: str, path: str, body: str
) -> None:
    headers = edge.bearer(role=Role.ROLE_OPERATOR)
    response = await api.request(verb, path, headers=headers, content=body or None)
    assert reason(response) == (400, 3, "REQUEST_MALFORMED")


async def test_repeated_input_is_escaped(edge: Edge, api: httpx.AsyncClient) -> None:
    hostile = '"},<script>alert(1)</script>\\'
    headers = edge.bearer(role=Role.ROLE_OPERATOR)
    response = await api.get("/queue", params={"status": hostile}, headers=headers)
    assert reason(response) == (400, 3, "REQUEST_MALFORMED")
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_headers_that_are_too_large(api: httpx.AsyncClient) -> None:
    response = await api.get("/institutions", headers={"x-long": "y" * 40_000})
    assert reason(response) == (431, 3, "HEADERS_TOO_LARGE")


async def test_dead_server(api: httpx.AsyncClient) -> None:
    response = await api.get("/health")
    assert reason(response) == (503, 14, "SERVICE_UNAVAILABLE")
    assert response.headers["retry-after"] == "1"


async def test_slow_server(edge: Edge, tmp_path: Path) -> None:
    async def never(_: Message, __: Context) -> Message:
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    edge.upstreams.answers[MINE] = never
    headers = edge.bearer(role=Role.ROLE_PASIEN)
    settings = another(edge)
    url = f"http://127.0.0.1:{settings.listen_port}"
    with running(settings, tmp_path, deadline_seconds=0.5):
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as api:
            response = await api.get("/queue/my-queue", headers=headers)
    assert reason(response) == (504, 4, "DEADLINE_EXCEEDED")


async def test_overload(edge: Edge, api: httpx.AsyncClient) -> None:
    go = threading.Event()

    async def wait(_: Message, __: Context) -> Message:
        while not go.is_set():
            await asyncio.sleep(0.02)
        return ListMyTicketsResponse()

    edge.upstreams.answers[MINE] = wait
    headers = edge.bearer(role=Role.ROLE_PASIEN)
    calls = [
        asyncio.ensure_future(api.get("/queue/my-queue", headers=headers))
        for _ in range(MAX_CALLS + 10)
    ]
    await eventually(lambda: sum(call.done() for call in calls) >= 10)
    go.set()
    answers = await asyncio.gather(*calls)
    refused_calls = [answer for answer in answers if answer.status_code != 200]
    assert len(refused_calls) == 10
    for answer in refused_calls:
        assert reason(answer) == (503, 14, "OVERLOADED")


async def test_request_that_never_ends(edge: Edge, tmp_path: Path) -> None:
    settings = another(edge, request_timeout_seconds=1)
    with running(settings, tmp_path):
        reader, writer = await asyncio.open_connection("127.0.0.1", settings.listen_port)
        head = "POST /auth/login/user HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"
        writer.write(head.encode())
        answer = (await reader.read()).decode()
        writer.close()
    assert answer.startswith("HTTP/1.1 408 ")
    assert '"reason":"REQUEST_TIMEOUT"' in answer
    assert "content-type: application/json" in answer


def _failing(edge: Edge, error: MeshError) -> None:
    async def fail(_: Message, context: Context) -> Message:
        await context.abort_with_status(rpc_status.to_status(to_status(error)))

    edge.upstreams.answers[MINE] = fail


async def test_errors_of_a_server_keep_their_details(edge: Edge, api: httpx.AsyncClient) -> None:
    _failing(edge, failed_precondition("the facility is closed", "FACILITY_CLOSED", opens="08:00"))
    response = await api.get("/queue/my-queue", headers=edge.bearer(role=Role.ROLE_PASIEN))
    body = response.json()
    assert (response.status_code, body["code"], body["message"]) == (
        400,
        9,
        "the facility is closed",
    )
    info, precondition = body["details"]
    assert info == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "FACILITY_CLOSED",
        "domain": "mediq",
        "metadata": {"opens": "08:00"},
    }
    assert precondition["violations"][0]["type"] == "FACILITY_CLOSED"


def _error_info(error: grpc.aio.AioRpcError) -> ErrorInfo:
    status: Status | None = rpc_status.from_call(error)
    assert status is not None
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


async def test_native_callers_get_status_and_details(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await TicketServiceStub(channel).ListMyTickets(ListMyTicketsRequest())
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert caught.value.details() == "an access token is required"
    assert _error_info(caught.value).reason == "TOKEN_MISSING"


@pytest.mark.parametrize(
    "path",
    [
        "/mediq.queue.v1.TicketService/IssueTicket",
        "/mediq.ocr_engine.v1.OcrEngineService/ReadCard",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Check",
    ],
)
async def test_native_calls_of_what_is_not_for_people(
    edge: Edge, channel: grpc.aio.Channel, path: str
) -> None:
    metadata = tuple(edge.bearer(role=Role.ROLE_ADMIN_FASKES).items())
    call: Calls = channel.unary_unary(path)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"", metadata=metadata)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert _error_info(caught.value).reason == "ROUTE_NOT_FOUND"
    assert path not in edge.upstreams.calls


async def test_bodies_are_plain_json(api: httpx.AsyncClient) -> None:
    response = await api.get("/nothing")
    assert json.loads(response.content)["message"] == "nothing is served here"
