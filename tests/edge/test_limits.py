"""Sizes and rates."""

from __future__ import annotations

from pathlib import Path

import grpc
import httpx
import pytest
from mediq.policy.v1.policy_pb2 import RateClass, Role
from mediq.queue.v1.ticket_service_pb2 import GetTicketRequest
from mediq.queue.v1.ticket_service_pb2_grpc import TicketServiceStub

from edge.settings import DEFAULT_RATES, Bucket, Rates
from tests.edge.conftest import UPLOADS, Edge, another, reason, running
from tests.support.waiting import PATIENCE_SECONDS


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


async def test_each_address_has_its_own_rate(edge: Edge, tmp_path: Path) -> None:
    once_an_hour = Rates(Bucket(100, 100), Bucket(UPLOADS, 1, 3600))
    rates = {**edge.settings.rates, RateClass.RATE_CLASS_UPLOAD: once_an_hour}
    settings = another(edge, rates=rates)

    async def uploads(address: str, count: int) -> list[httpx.Response]:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{settings.listen_port}",
            transport=httpx.AsyncHTTPTransport(local_address=address),
            timeout=PATIENCE_SECONDS,
        ) as client:
            return [await client.post("/ocr/upload", content=b"x") for _ in range(count)]

    with running(settings, tmp_path):
        *taken, refused = await uploads("127.0.0.77", UPLOADS + 1)
        (other,) = await uploads("127.0.0.78", 1)
    assert [answer.status_code for answer in (*taken, other)] == [200] * (UPLOADS + 1)
    assert reason(refused) == (429, 8, "RATE_LIMITED")
    assert refused.headers["retry-after"] == "3600"


def test_retry_after_is_the_time_to_the_next_token() -> None:
    assert Bucket(10, 30, 60).retry_after_seconds == 2
    assert Bucket(10, 7, 60).retry_after_seconds == 9
    assert Bucket(10, 500).retry_after_seconds == 1


def test_every_class_for_people_has_limits() -> None:
    inside = {RateClass.RATE_CLASS_UNSPECIFIED, RateClass.RATE_CLASS_INTERNAL}
    assert set(DEFAULT_RATES) == set(RateClass.values()) - inside
