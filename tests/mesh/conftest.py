"""A server of the kit with a servicer whose behaviour a test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import pytest
from mediq.institution.v1 import institution_service_pb2 as requests
from mediq.institution.v1.institution_pb2 import Institution
from mediq.institution.v1.institution_service_pb2_grpc import (
    InstitutionServiceStub,
)

from mesh.observability import telemetry
from mesh.rpc.pipeline import Context
from mesh.rpc.server import Server
from mesh.settings import ServiceSettings
from tests.support.deadlines import patient_deadlines, patient_redis
from tests.support.mesh import Mesh, partly

if TYPE_CHECKING:
    from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceAsyncStub

__all__ = ["patient_deadlines", "patient_redis"]
SERVICE = "mediq.institution.v1.InstitutionService"
Behaviour = Callable[[], Awaitable[Institution]]


class Settings(ServiceSettings):
    service: ClassVar[str] = "institution_svc"


async def answer() -> Institution:
    return Institution(name="RSUD")


@dataclass
class Probe:
    """Answers GetInstitution and UpdateInstitution as `behaviour` says; counts the calls."""

    behaviour: Behaviour = answer
    calls: int = 0
    metadata: list[tuple[str, str | bytes]] = field(default_factory=list)

    async def GetInstitution(
        self, request: requests.GetInstitutionRequest, context: Context
    ) -> Institution:
        self.calls += 1
        self.metadata = list(context.invocation_metadata() or ())
        return await self.behaviour()

    async def UpdateInstitution(
        self, request: requests.UpdateInstitutionRequest, context: Context
    ) -> Institution:
        self.calls += 1
        return await self.behaviour()


@dataclass
class Running:
    """The server, its servicer and a stub that calls as the edge does."""

    server: Server
    probe: Probe
    stub: InstitutionServiceAsyncStub


@pytest.fixture
async def running(mesh: Mesh) -> AsyncIterator[Running]:
    """A kit server on port 0."""
    probe = Probe()

    async def build(server: Server) -> None:
        server.add(partly(SERVICE), probe)

    telemetry.configure("institution_svc", 0, mesh.home)
    settings = Settings(home=mesh.home, port=0, drain_seconds=0.5)
    async with mesh.serve(settings, build) as server, mesh.channel("institution_svc") as channel:
        yield Running(server, probe, InstitutionServiceStub(channel))


async def never() -> Institution:
    """Answers nothing, however long one waits."""
    await asyncio.Event().wait()
    return Institution()
