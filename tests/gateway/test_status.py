"""Health and status: a service that is gone is told, and is no error."""

from __future__ import annotations

import asyncio
import datetime
import time
from typing import TYPE_CHECKING

import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse
from mediq.gateway.v1.gateway_service_pb2 import (
    GetHealthRequest,
    GetSystemStatusRequest,
    ServiceStatus,
    SystemStatus,
)
from mediq.policy.v1.policy_pb2 import Role

from gateway.application.mesh_health import MeshHealth
from gateway.domain.health import MeshState, ServiceState
from mesh.contract.methods import SERVERS
from tests.gateway.conftest import Others
from tests.support.mesh import Mesh, problem

if TYPE_CHECKING:
    from mediq.gateway.v1.gateway_service_pb2_grpc import GatewayServiceAsyncStub


def entry(status: SystemStatus, name: str) -> ServiceStatus:
    """What a status says of one service."""
    return next(service for service in status.services if service.name == name)


async def test_health_is_true_when_every_service_is_ready(gateway: GatewayServiceAsyncStub) -> None:
    health = await gateway.GetHealth(GetHealthRequest())
    assert health.healthy
    assert not health.unavailable


@pytest.mark.parametrize("dead", [{"queue_svc"}, {"queue_svc", "ocr_engine"}])
async def test_health_is_false_and_names_what_is_gone(
    gateway: GatewayServiceAsyncStub, dead: set[str]
) -> None:
    health = await gateway.GetHealth(GetHealthRequest())
    assert not health.healthy
    assert set(health.unavailable) == dead


async def test_a_service_that_says_it_is_not_ready_is_unavailable(
    gateway: GatewayServiceAsyncStub, others: Others
) -> None:
    await others.set("ocr_svc", HealthCheckResponse.NOT_SERVING)
    assert list((await gateway.GetHealth(GetHealthRequest())).unavailable) == ["ocr_svc"]
    await others.set("ocr_svc", HealthCheckResponse.SERVING)
    assert (await gateway.GetHealth(GetHealthRequest())).healthy


@pytest.mark.parametrize("dead", [{"user_svc"}])
async def test_status_has_an_entry_for_every_service(
    gateway: GatewayServiceAsyncStub, others: Others, mesh: Mesh
) -> None:
    await others.set("ocr_svc", HealthCheckResponse.NOT_SERVING)
    admin = mesh.token(Role.ROLE_ADMIN_FASKES)
    before = time.time()
    status = await gateway.GetSystemStatus(GetSystemStatusRequest(), metadata=admin)
    assert sorted(service.name for service in status.services) == sorted(SERVERS)
    assert entry(status, "gateway").ready
    assert entry(status, "queue_svc").ready
    assert not entry(status, "queue_svc").detail
    assert (entry(status, "user_svc").ready, entry(status, "user_svc").detail) == (
        False,
        "does not answer",
    )
    assert entry(status, "ocr_svc").detail == "is not ready"
    assert before - 1 <= status.check_time.ToNanoseconds() / 1e9 <= time.time() + 1


@pytest.mark.parametrize(
    ("role", "institution"),
    [
        (Role.ROLE_ADMIN_FASKES, "0b8f7a52-7d5f-4e1e-8b52-2f6f4c1d7b11"),
        (Role.ROLE_OPERATOR, "0b8f7a52-7d5f-4e1e-8b52-2f6f4c1d7b11"),
        (Role.ROLE_PASIEN, ""),
    ],
)
async def test_only_network_administrators_see_the_status(
    gateway: GatewayServiceAsyncStub, mesh: Mesh, role: Role.ValueType, institution: str
) -> None:
    token = mesh.token(role, institution_id=institution)
    call = gateway.GetSystemStatus(GetSystemStatusRequest(), metadata=token)
    assert (await problem(call))[0] == "PERMISSION_DENIED"


async def test_status_needs_a_token(gateway: GatewayServiceAsyncStub) -> None:
    call = gateway.GetSystemStatus(GetSystemStatusRequest())
    assert await problem(call) == ("UNAUTHENTICATED", "TOKEN_MISSING")


class Counting:
    """Tells the state of the mesh and counts how often it is asked."""

    def __init__(self) -> None:
        self.queries = 0

    async def query(self) -> MeshState:
        self.queries += 1
        await asyncio.sleep(0)
        return MeshState([ServiceState("queue_svc", ready=True)], moment(self.queries))


def moment(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


async def test_many_callers_share_one_query() -> None:
    client = Counting()
    cache = MeshHealth(client.query, max_age_seconds=60)
    states = await asyncio.gather(*(cache.state() for _ in range(50)))
    assert client.queries == 1
    assert {state.check_time for state in states} == {moment(1)}


async def test_an_old_state_is_queried_again() -> None:
    client = Counting()
    cache = MeshHealth(client.query, max_age_seconds=0)
    await cache.state()
    await cache.state()
    assert client.queries == 2
