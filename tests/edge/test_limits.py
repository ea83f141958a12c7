"""Sizes and rates."""

from __future__ import annotations

import grpc
import httpx
import pytest
from mediq.policy.v1.policy_pb2 import RateClass, Role
from mediq.queue.v1.ticket_service_pb2 import GetTicketRequest
from mediq.queue.v1.ticket_service_pb2_grpc import TicketServiceStub

from edge.settings import DEFAULT_RATES, Bucket
from tests.edge.conftest import UPLOADS, Edge, reason


async def test_large_bodies(edge: Edge, api: httpx.AsyncClient) -> None:
    headers = edge.bearer(role=Role.ROLE_ADMIN_FASKES)
    large = '{"nama": "%s"}' % ("x" * (1 << 20))
    response = await api.post("/users", headers=headers, content=large)
    assert reason(response) == (413, 8, "REQUEST_TOO_LARGE")
    allowed = '{"nama": "%s"}' % ("x" * 900_000)
    assert (await api.post("/users", headers=headers, content=allowed)).status_code == 200


async def test_large_bodies_of_strangers_are_not_collected(api: httpx.AsyncClient) -> None:
    response = await api.post("/users", content='{"nama": "%s"}' % ("x" * (2 << 20)))
    assert reason(response) == (401, 16, "TOKEN_MISSING")


async def test_large_native_messages(edge: Edge, channel: grpc.aio.Channel) -> None:
    metadata = tuple(edge.bearer(role=Role.ROLE_PASIEN).items())
    request = GetTicketRequest(id="x" * (2 << 20))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await TicketServiceStub(channel).GetTicket(request, metadata=metadata)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_uploads_above_ten_megabytes(edge: Edge, other_api: httpx.AsyncClient) -> None:
    photo = {"file": ("ktp.png", b"x" * (11 << 20), "image/png")}
    response = await other_api.post("/ocr/upload", files=photo)
    assert reason(response) == (413, 8, "REQUEST_TOO_LARGE")


async def test_each_address_has_its_own_rate(edge: Edge) -> None:
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.77")
    async with httpx.AsyncClient(base_url=edge.url, transport=transport) as busy:
        answers = [await busy.post("/ocr/upload", content=b"x") for _ in range(UPLOADS + 1)]
    assert [answer.status_code for answer in answers[:-1]] == [200] * UPLOADS
    assert reason(answers[-1]) == (429, 8, "RATE_LIMITED")
    assert answers[-1].headers["retry-after"] == "5"
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.78")
    async with httpx.AsyncClient(base_url=edge.url, transport=transport) as other:
        assert (await other.post("/ocr/upload", content=b"x")).status_code == 200


def test_retry_after_is_the_time_to_the_next_token() -> None:
    assert Bucket(10, 30, 60).retry_after_seconds == 2
    assert Bucket(10, 7, 60).retry_after_seconds == 9
    assert Bucket(10, 500).retry_after_seconds == 1


def test_every_class_for_people_has_limits() -> None:
    inside = {RateClass.RATE_CLASS_UNSPECIFIED, RateClass.RATE_CLASS_INTERNAL}
    assert set(DEFAULT_RATES) == set(RateClass.values()) - inside
