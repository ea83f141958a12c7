"""Calls that work: REST, streams, uploads, native gRPC, deadlines."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator

import grpc
import httpx
import pytest
from google.protobuf.message import Message
from mediq.ocr.v1.registration_service_pb2 import UploadDocumentRequest
from mediq.policy.v1.policy_pb2 import Role, Scope
from mediq.queue.v1.live_service_pb2 import (
    Heartbeat,
    StreamEnd,
    WatchTicketRequest,
    WatchTicketResponse,
)
from mediq.queue.v1.live_service_pb2_grpc import LiveServiceStub
from mediq.queue.v1.queue_pb2 import PRIORITY_URGENT, Ticket
from mediq.queue.v1.report_service_pb2 import GetQueueStatsRequest
from mediq.queue.v1.ticket_service_pb2 import GetTicketRequest, ListMyTicketsRequest
from mediq.queue.v1.ticket_service_pb2_grpc import TicketServiceStub

from edge.routes.route_table import ABORT_SECONDS
from tests.edge import sse
from tests.edge.conftest import SHARED, Edge
from tests.edge.upstreams import Context
from tests.support.waiting import PATIENCE_SECONDS

TICKET = "11111111-1111-4111-8111-111111111111"
UPLOAD = "/mediq.ocr.v1.RegistrationService/UploadDocument"


async def test_rest_becomes_grpc_and_back(edge: Edge, api: httpx.AsyncClient) -> None:
    async def answer(request: Message, _: Context) -> Message:
        assert isinstance(request, GetTicketRequest)
        return Ticket(id=request.id, number="A-012", priority=PRIORITY_URGENT)

    edge.upstreams.answers["/mediq.queue.v1.TicketService/GetTicket"] = answer
    headers = edge.bearer(scope=Scope.SCOPE_TICKETS)
    response = await api.get(f"/queue/{TICKET}", headers=headers)
    body = response.json()
    assert (body["id"], body["number"]) == (TICKET, "A-012")
    assert body["priority"] == "PRIORITY_URGENT"
    assert body["peopleAhead"] == 0


async def test_fixed_paths_win_over_variables(edge: Edge, api: httpx.AsyncClient) -> None:
    headers = edge.bearer(role=Role.ROLE_OPERATOR)
    for path, method in {
        "/queue/stats": "ReportService/GetQueueStats",
        "//queue//stats": "ReportService/GetQueueStats",
        "/queue/./stats": "ReportService/GetQueueStats",
        "/queue/current": "TicketService/ListCurrentTickets",
        "/queue/next": "TicketService/PeekNextTicket",
    }.items():
        await api.get(httpx.URL(edge.url).copy_with(raw_path=path.encode()), headers=headers)
        # Envoy fetches the key set on its own, whenever that is due.
        calls = [one for one in edge.upstreams.calls if not one.endswith("/GetJwks")]
        assert calls == [f"/mediq.queue.v1.{method}"], path
        edge.upstreams.reset()


async def test_second_rule_of_a_method(edge: Edge, api: httpx.AsyncClient) -> None:
    headers = edge.bearer(role=Role.ROLE_OPERATOR)
    await api.get(f"/institutions/{TICKET}/queue/stats", headers=headers)
    request = edge.upstreams.last("/mediq.queue.v1.ReportService/GetQueueStats").request
    assert isinstance(request, GetQueueStatsRequest)
    assert request.institution_id == TICKET


async def _watch(_: Message, __: Context) -> AsyncIterator[Message]:
    yield WatchTicketResponse(ticket=Ticket(id=TICKET))
    yield WatchTicketResponse(heartbeat=Heartbeat())
    yield WatchTicketResponse(end=StreamEnd(reason="CLOSED"))


async def test_streams_are_server_sent_events(edge: Edge, api: httpx.AsyncClient) -> None:
    edge.upstreams.streams["/mediq.queue.v1.LiveService/WatchTicket"] = _watch
    headers = edge.bearer(scope=Scope.SCOPE_TICKETS)
    async with api.stream("GET", f"/queue/{TICKET}/live", headers=headers) as response:
        assert response.headers["content-type"] == "text/event-stream"
        events = [event.json async for event in sse.events(response)]
    assert events[0]["ticket"]["id"] == TICKET
    assert "heartbeat" in events[1]
    assert events[2]["end"] == {"reason": "CLOSED", "retry": False}


async def test_events_come_one_by_one_and_the_server_hears_of_the_end(
    edge: Edge, api: httpx.AsyncClient
) -> None:
    ended = threading.Event()

    async def endless(_: Message, __: Context) -> AsyncIterator[Message]:
        try:
            yield WatchTicketResponse(heartbeat=Heartbeat())
            await asyncio.Event().wait()
        finally:
            ended.set()

    edge.upstreams.streams["/mediq.queue.v1.LiveService/WatchTicket"] = endless
    headers = edge.bearer(scope=Scope.SCOPE_TICKETS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with api.stream("GET", f"/queue/{TICKET}/live", headers=headers) as response:
            first = await anext(sse.events(response))
    assert "heartbeat" in first.json
    assert await asyncio.to_thread(ended.wait, PATIENCE_SECONDS)


async def test_native_streams(edge: Edge, channel: grpc.aio.Channel) -> None:
    edge.upstreams.streams["/mediq.queue.v1.LiveService/WatchTicket"] = _watch
    metadata = tuple(edge.bearer(scope=Scope.SCOPE_TICKETS).items())
    call = LiveServiceStub(channel).WatchTicket(WatchTicketRequest(id=TICKET), metadata=metadata)
    assert [m.WhichOneof("update") async for m in call] == ["ticket", "heartbeat", "end"]


@pytest.mark.parametrize("size", [100, 9 << 20, 10 << 20])
async def test_uploads_arrive_whole(edge: Edge, other_api: httpx.AsyncClient, size: int) -> None:
    photo = os.urandom(size)
    request = other_api.build_request(
        "POST", f"/ocr/upload?requestId={TICKET}", files={"file": ("ktp.png", photo, "image/png")}
    )
    body = await request.aread()
    response = await other_api.send(request)
    assert response.status_code == 200
    arrived = edge.upstreams.last(UPLOAD).request
    assert isinstance(arrived, UploadDocumentRequest)
    assert arrived.request_id == TICKET
    assert arrived.document.content_type == request.headers["content-type"]
    assert "boundary=" in arrived.document.content_type
    assert arrived.document.data == body


async def test_deadline_reaches_the_server(edge: Edge, api: httpx.AsyncClient) -> None:
    headers = edge.bearer(role=Role.ROLE_PASIEN)
    for more in ({}, {"grpc-timeout": "99S"}):
        await api.get("/queue/my-queue", headers={**headers, **more})
        remaining = edge.upstreams.last(
            "/mediq.queue.v1.TicketService/ListMyTickets"
        ).time_remaining
        assert remaining is not None
        assert PATIENCE_SECONDS / 2 < remaining <= PATIENCE_SECONDS + ABORT_SECONDS


@pytest.mark.parametrize(
    ("timeout", "longest"),
    [(None, PATIENCE_SECONDS + ABORT_SECONDS), (PATIENCE_SECONDS / 2, PATIENCE_SECONDS / 2)],
)
async def test_native_deadline(
    edge: Edge, channel: grpc.aio.Channel, timeout: float | None, longest: float
) -> None:
    metadata = tuple(edge.bearer(role=Role.ROLE_PASIEN).items())
    stub = TicketServiceStub(channel)
    await stub.ListMyTickets(ListMyTicketsRequest(), metadata=metadata, timeout=timeout)
    remaining = edge.upstreams.last("/mediq.queue.v1.TicketService/ListMyTickets").time_remaining
    assert remaining is not None
    assert longest / 2 < remaining < longest + 0.1


async def test_streams_have_no_deadline(edge: Edge, api: httpx.AsyncClient) -> None:
    headers = edge.bearer(scope=Scope.SCOPE_TICKETS)
    await api.get(f"/queue/{TICKET}/live", headers=headers)
    assert edge.upstreams.last("/mediq.queue.v1.LiveService/WatchTicket").time_remaining is None


async def test_only_the_right_identity_is_called(edge: Edge, api: httpx.AsyncClient) -> None:
    for _ in range(20):
        assert (await api.get("/institutions")).status_code == 200
    calls = edge.upstreams.calls["/mediq.institution.v1.InstitutionService/ListInstitutions"]
    assert {call.identity for call in calls} == {SHARED}
