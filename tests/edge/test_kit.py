"""The edge in front of a real server of the kit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import pytest
from mediq.institution.v1.institution_pb2 import Institution
from mediq.institution.v1.institution_service_pb2 import GetInstitutionRequest
from mediq.institution.v1.institution_service_pb2_grpc import (
    InstitutionServiceServicer,
    add_InstitutionServiceServicer_to_server,
)

from mesh.contract.methods import methods_of
from mesh.errors import MeshError, StatusCode, not_found
from mesh.rpc.server import Server
from mesh.settings import ServiceSettings
from tests.edge.conftest import SHARED, running_beside, settings_for
from tests.support.mesh import Mesh
from tests.support.waiting import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    import grpc

KNOWN = "11111111-1111-4111-8111-111111111111"
UNKNOWN = "22222222-2222-4222-8222-222222222222"


class _Settings(ServiceSettings):
    service: ClassVar[str] = SHARED


class _Institutions(InstitutionServiceServicer):
    async def GetInstitution(
        self,
        request: GetInstitutionRequest,
        context: grpc.aio.ServicerContext[GetInstitutionRequest, Institution],
    ) -> Institution:
        if request.id != KNOWN:
            raise not_found("institution", request.id)
        return Institution(id=request.id)


async def _unserved(*_: object) -> None:
    raise MeshError("not served in this test", StatusCode.UNIMPLEMENTED, "NOT_SERVED")


for _method in methods_of(SHARED):
    if _method.name not in vars(_Institutions):
        setattr(_Institutions, _method.name, _unserved)


_COMPLETE: Any = _Institutions


async def _build(server: Server) -> None:
    server.add(add_InstitutionServiceServicer_to_server, _COMPLETE())


@pytest.fixture
async def kit_api(mesh: Mesh) -> AsyncIterator[httpx.AsyncClient]:
    """Opens a REST client of an edge in front of a server of the kit."""
    async with mesh.serve(_Settings(port=0, home=mesh.home), _build):
        host, port = mesh.addresses[SHARED].split(":")
        settings = settings_for(mesh.home, {SHARED: ((host, int(port)),)})
        async with running_beside(settings, mesh.home):
            url = f"http://127.0.0.1:{settings.listen_port}"
            async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client:

                async def happened() -> bool:
                    return (await client.get(f"/institutions/{KNOWN}")).status_code == 200

                await eventually(happened)
                yield client


async def test_answers_and_errors_of_the_kit(kit_api: httpx.AsyncClient) -> None:
    found = await kit_api.get(f"/institutions/{KNOWN}")
    assert found.json()["id"] == KNOWN
    missing = await kit_api.get(f"/institutions/{UNKNOWN}")
    info, resource = missing.json()["details"]
    assert (missing.status_code, info["reason"]) == (404, "INSTITUTION_NOT_FOUND")
    assert resource["resourceName"] == UNKNOWN
    invalid = await kit_api.get("/institutions/not-a-uuid")
    _, request = invalid.json()["details"]
    assert invalid.status_code == 400
    assert request["fieldViolations"][0]["field"] == "id"
