"""The servers that are compared, each in a process of its own: python -m bench.servers KIND PORT."""

import sys
from typing import ClassVar

import grpc
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from mediq.institution.v1 import institution_service_pb2 as requests
from mediq.institution.v1.institution_pb2 import Institution
from mediq.institution.v1.institution_service_pb2_grpc import (
    InstitutionServiceServicer,
    add_InstitutionServiceServicer_to_server,
)

from mesh.config import ServiceSettings, home_folder
from mesh.pipeline import Context
from mesh.server import OPTIONS, Server, run
from mesh.tls import server_credentials


class Settings(ServiceSettings):
    """Takes the place of the facility service."""

    service: ClassVar[str] = "institution_svc"


class Echo(InstitutionServiceServicer):
    """Answers at once."""

    async def GetInstitution(
        self, request: requests.GetInstitutionRequest, context: Context
    ) -> Institution:
        return Institution(id=request.id)

    async def UpdateInstitution(
        self, request: requests.UpdateInstitutionRequest, context: Context
    ) -> Institution:
        return Institution(id=request.id, name=request.name)


async def _blank(self: object, request: object, context: Context) -> Institution:
    return Institution()


for _name in [name for name in vars(InstitutionServiceServicer) if name[0].isupper()]:
    if _name not in vars(Echo):
        setattr(Echo, _name, _blank)


async def _kit(server: Server) -> None:
    server.add(add_InstitutionServiceServicer_to_server, Echo())


async def _bare(port: int) -> None:
    server = grpc.aio.server(options=OPTIONS)
    add_InstitutionServiceServicer_to_server(Echo(), server)
    health = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    for name in ("", "mediq.institution.v1.InstitutionService"):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    credentials = server_credentials(home_folder() / "tls", "institution_svc")
    server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    kind, listen = sys.argv[1], int(sys.argv[2])
    if kind == "kit":
        run(Settings(port=listen), _kit)
    else:
        uvloop.run(_bare(listen))
