"""A real gateway with doubles of the services that it asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from grpc_health.v1.health import aio as health_aio
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from mediq.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub

from gateway.__main__ import wire
from gateway.settings import GatewaySettings
from mesh.clock import utc_now
from mesh.contract.methods import SERVERS
from mesh.rpc.server import Server
from tests.support.deadlines import patient_deadlines, patient_redis
from tests.support.mesh import Mesh
from tests.support.waiting import PATIENCE_SECONDS
from tools.generation import openapi

if TYPE_CHECKING:
    from mediq.gateway.v1.gateway_service_pb2_grpc import GatewayServiceAsyncStub

__all__ = ["patient_deadlines", "patient_redis"]
OTHERS = [name for name in SERVERS if name != "gateway"]
CLOSED = "127.0.0.1:1"
"""An address at which nothing listens."""


class Others:
    """The health of the other services; each is ready until a test says otherwise."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._health: dict[str, health_aio.HealthServicer] = {}
        self.dead: set[str] = set()

    async def start(self, stack: AsyncExitStack) -> None:
        """Starts the services that are not dead."""
        for name in OTHERS:
            if name in self.dead:
                self._mesh.addresses[name] = CLOSED
                continue
            self._health[name] = health_aio.HealthServicer()
            await self.set(name, HealthCheckResponse.SERVING)
            registration = (add_HealthServicer_to_server, self._health[name])
            await stack.enter_async_context(self._mesh.double(name, registration))

    async def set(self, name: str, status: HealthCheckResponse.ServingStatus) -> None:
        """Changes what one service says of itself."""
        await self._health[name].set("", status)


@pytest.fixture
def dead() -> set[str]:
    """Services that do not run; a test parametrizes it."""
    return set()


@pytest.fixture
async def others(mesh: Mesh, dead: set[str]) -> AsyncIterator[Others]:
    """The other services, running."""
    found = Others(mesh)
    found.dead = dead
    async with AsyncExitStack() as stack:
        await found.start(stack)
        yield found


@pytest.fixture
async def gateway(
    mesh: Mesh, others: Others, tmp_path: Path
) -> AsyncIterator[GatewayServiceAsyncStub]:
    """A stub that calls the gateway as the edge does."""
    document = tmp_path / "openapi.json"
    document.write_text(openapi.render())
    settings = GatewaySettings(
        home=mesh.home,
        port=0,
        openapi_file=document,
        health_age_seconds=0,
        drain_seconds=0,
    ).model_copy(update={"health_timeout_seconds": PATIENCE_SECONDS})

    async def build(server: Server) -> None:
        wire(server, mesh.channels("gateway"), utc_now)

    async with mesh.serve(settings, build), mesh.channel("gateway") as channel:
        yield GatewayServiceStub(channel)
