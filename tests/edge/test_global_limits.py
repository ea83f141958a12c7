"""The limits of all Envoys together: a real Envoy that asks a real gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest
from mediq.policy.v1.policy_pb2 import Role, Scope
from mediq.user.v1.auth_service_pb2 import LoginAdminRequest
from mediq.user.v1.auth_service_pb2_grpc import AuthServiceStub

from edge import EdgeSettings, render_bootstrap
from edge.filters.global_rate_limit import CLOSED, OPEN, REGISTRATION, UNGUESSABLE, limit_of
from edge.routes.route_table import routed_methods
from gateway.__main__ import build
from gateway.settings import GatewaySettings
from mesh.contract.methods import methods
from mesh.contract.status import from_rpc_error
from mesh.shared_state.rate_limits import Limit, MemoryCounters
from tests.edge.conftest import Edge, another, reason, running, running_beside
from tests.support.deadlines import set_deadline
from tests.support.mesh import Mesh
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from mesh.rpc.server import Server

LOGIN = "/auth/login/user"
UPLOAD = "/ocr/upload"
HANGING_SECONDS = 1.0
"""How long Envoy waits for a gateway that hangs."""


@dataclass
class Limited:
    """Holds an edge with global limits, its gateway, and a client behind a trusted proxy."""

    api: httpx.AsyncClient
    address: str
    gateway: Server
    stop: AsyncExitStack

    async def post(self, path: str, client: str = "10.0.0.1") -> httpx.Response:
        """Makes a call from an address."""
        return await self.api.post(path, headers={"x-forwarded-for": client}, content=b"{}")


async def _ready(admin: str) -> None:
    """Waits until Envoy knows that the gateway is well."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:

        async def well() -> bool:
            shown = (await client.get(f"{admin}/clusters?format=json")).json()
            (found,) = [one for one in shown["cluster_statuses"] if one["name"] == "gateway"]
            return "failed_active_health_check" not in found["host_statuses"][0]["health_status"]

        await eventually(well)


def _settings(edge: Edge, gateway_port: int, wait_seconds: float) -> EdgeSettings:
    return another(
        edge,
        global_limits=True,
        limit_open_seconds=wait_seconds,
        limit_closed_seconds=wait_seconds,
        trusted_hops=1,
        upstreams={**edge.settings.upstreams, "gateway": (("127.0.0.1", gateway_port),)},
    )


@pytest.fixture
def wait_seconds() -> float:
    """Returns how long Envoy waits for the gateway: long enough on a busy machine."""
    return PATIENCE_SECONDS


@pytest.fixture
async def limited(
    edge: Edge, tmp_path: Path, wait_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Limited]:
    """Runs an edge and a gateway for one test alone, with small limits and a minute without end."""
    set_deadline(monkeypatch, PATIENCE_SECONDS)
    counters = MemoryCounters(lambda: 0.0)
    monkeypatch.setattr("gateway.__main__.make_counters", lambda *_: counters)
    mesh = Mesh(edge.log.parent)
    own = GatewaySettings(
        home=mesh.home,
        port=0,
        drain_seconds=0,
        address_logins=3,
        all_logins=8,
        address_uploads=2,
        address_registrations=2,
    )
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(mesh.serve(own, build))
        settings = _settings(edge, int(mesh.addresses["gateway"].rpartition(":")[2]), wait_seconds)
        address = f"127.0.0.1:{settings.listen_port}"
        url = f"http://{address}"
        async with running_beside(settings, tmp_path) as admin:
            await _ready(admin)
            async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as api:
                yield Limited(api, address, gateway, stack)


@pytest.fixture
async def alone(edge: Edge, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Opens a REST client of an edge whose gateway does not run."""
    settings = _settings(edge, free_port(), PATIENCE_SECONDS)
    with running(settings, tmp_path):
        url = f"http://127.0.0.1:{settings.listen_port}"
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as api:
            yield api


async def test_flood_of_logins(limited: Limited) -> None:
    answers = [await limited.post(LOGIN) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert reason(answers[-1]) == (429, 8, "RATE_LIMITED")
    # The whole minute is left; the local bucket would say 1.
    assert answers[-1].headers["retry-after"] == "60"
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert answers[0].headers["x-ratelimit-limit"].startswith("3, ")
    assert answers[0].headers["x-ratelimit-reset"] == "60"
    assert not [name for name in answers[-1].headers if name.startswith("x-envoy-")]
    assert answers[-1].headers["cache-control"] == "no-store"


async def test_all_logins_count_together(limited: Limited) -> None:
    for _ in range(3):
        assert (await limited.post(LOGIN)).status_code == 200
    assert (await limited.post("/auth/login/admin")).status_code == 429
    assert (await limited.post("/auth/refresh")).status_code == 429


async def test_one_address_does_not_starve_another(limited: Limited) -> None:
    flood = [(await limited.post(LOGIN, "10.0.0.1")).status_code for _ in range(30)]
    assert flood == [200] * 3 + [429] * 27
    other = [(await limited.post(LOGIN, "10.0.0.2")).status_code for _ in range(3)]
    assert other == [200] * 3
    # Six are counted for all; there is room for two more from wherever.
    rest = [(await limited.post(LOGIN, f"10.0.1.{n}")).status_code for n in range(4)]
    assert rest == [200, 200, 429, 429]


async def test_an_ipv6_network_is_one_caller(limited: Limited) -> None:
    same = [(await limited.post(LOGIN, f"2001:db8:0:1::{n}")).status_code for n in range(1, 5)]
    assert same == [200] * 3 + [429]
    assert (await limited.post(LOGIN, "2001:db8:0:2::1")).status_code == 200


async def test_native_calls_count_too(limited: Limited) -> None:
    async with grpc.aio.insecure_channel(limited.address) as channel:
        stub = AuthServiceStub(channel)
        metadata = (("x-forwarded-for", "10.0.0.1"),)
        for _ in range(3):
            await stub.LoginAdmin(LoginAdminRequest(), metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.LoginAdmin(LoginAdminRequest(), metadata=metadata)
    error = from_rpc_error(caught.value)
    assert (error.kind.value, error.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    headers = dict(caught.value.initial_metadata() or ()) | dict(
        caught.value.trailing_metadata() or ()
    )
    assert headers["retry-after"] == "60"


async def test_uploads_and_registrations(edge: Edge, limited: Limited) -> None:
    uploads = [await limited.post(UPLOAD) for _ in range(3)]
    assert [answer.status_code for answer in uploads] == [200, 200, 429]
    token = edge.bearer(scope=Scope.SCOPE_REGISTRATION)
    headers = {**token, "x-forwarded-for": "10.0.0.1"}
    confirmed = [
        (await limited.api.post("/ocr/confirm", headers=headers, json={})).status_code
        for _ in range(3)
    ]
    assert confirmed == [200, 200, 429]


async def test_other_calls_are_not_asked_about(edge: Edge, limited: Limited) -> None:
    headers = {**edge.bearer(role=Role.ROLE_PASIEN), "x-forwarded-for": "10.0.0.1"}
    for _ in range(10):
        answer = await limited.api.get("/users/profile", headers=headers)
        assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("x-ratelimit-")]


async def test_gateway_is_gone(edge: Edge, alone: httpx.AsyncClient) -> None:
    await _refused_without_a_gateway(alone)
    token = edge.bearer(scope=Scope.SCOPE_REGISTRATION)
    confirmed = await alone.post("/ocr/confirm", headers=token, json={})
    assert confirmed.status_code == 200
    for path in ("/auth/refresh", "/auth/logout"):
        assert (await alone.post(path, json={})).status_code == 200, path


async def _refused_without_a_gateway(api: httpx.AsyncClient) -> None:
    refused = await api.post(LOGIN, json={})
    assert reason(refused) == (503, 14, "SERVICE_UNAVAILABLE")
    assert refused.headers["retry-after"] == "1"
    assert (await api.post(UPLOAD, content=b"x")).status_code == 200
    assert (await api.get("/institutions")).status_code == 200


async def test_gateway_dies(limited: Limited) -> None:
    assert (await limited.post(LOGIN)).status_code == 200
    await limited.stop.aclose()
    await _refused_without_a_gateway(limited.api)


@pytest.mark.parametrize("wait_seconds", [HANGING_SECONDS])
async def test_gateway_hangs(limited: Limited, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("mesh.shared_state.rate_limits.MemoryCounters.count", hang)
    loop = asyncio.get_running_loop()
    start = loop.time()
    await _refused_without_a_gateway(limited.api)
    assert loop.time() - start > HANGING_SECONDS


def test_which_methods_are_limited() -> None:
    limits = {method.path: limit_of(method) for method in methods().values()}
    assert limits[REGISTRATION] == Limit.REGISTRATION
    assert set(limits) >= UNGUESSABLE
    assert {path for path, limit in limits.items() if limit == Limit.UPLOAD} == {
        "/mediq.ocr.v1.RegistrationService/UploadDocument"
    }
    assert limits["/mediq.user.v1.AuthService/LoginAdmin"] == Limit.LOGIN
    document = render_bootstrap(EdgeSettings())
    manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    (host,) = manager["typed_config"]["route_config"]["virtual_hosts"]
    filters = {
        route["name"]: {OPEN, CLOSED} & set(route["typed_per_filter_config"])
        for route in host["routes"]
    }
    for method in routed_methods():
        expected: set[str] = set()
        if limits[method.path] is not None:
            closed = limits[method.path] == Limit.LOGIN and method.path not in UNGUESSABLE
            expected = {CLOSED if closed else OPEN}
        assert filters[method.path[1:]] == expected, method.path


def test_without_global_limits_nothing_is_asked() -> None:
    document = render_bootstrap(EdgeSettings(global_limits=False))
    assert "global_limit" not in str(document)
