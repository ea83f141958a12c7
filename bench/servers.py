"""The servers that are compared, a process each: python -m bench.servers KIND PORT."""

import sys
from typing import ClassVar

import grpc
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from mediq.institution.v1 import institution_service_pb2 as requests
from mediq.institution.v1.institution_pb2 import Institution

from mesh.identity.tls import server_credentials
from mesh.rpc.pipeline import Context, Handler
from mesh.rpc.server import OPTIONS, Server, run
from mesh.settings import ServiceSettings, home_folder

SERVICE = "mediq.institution.v1.InstitutionService"


class Settings(ServiceSettings):
    """Takes the place of the facility service."""

    service: ClassVar[str] = "institution_svc"


async def _echo(request: requests.UpdateInstitutionRequest, context: Context) -> Institution:
    return Institution(id=request.id, name=request.name)


async def _echo_read(request: requests.GetInstitutionRequest, context: Context) -> Institution:
    return Institution(id=request.id)


def _register(_: object, server: grpc.aio.Server) -> None:
    answers = Institution.SerializeToString
    handlers: dict[str, Handler] = {
        "UpdateInstitution": grpc.unary_unary_rpc_method_handler(
            _echo, requests.UpdateInstitutionRequest.FromString, answers
        ),
        "GetInstitution": grpc.unary_unary_rpc_method_handler(
            _echo_read, requests.GetInstitutionRequest.FromString, answers
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


async def _bare(port: int) -> None:
    server = grpc.aio.server(options=OPTIONS)
    _register(None, server)
    health = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    for name in ("", SERVICE):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    credentials = server_credentials(home_folder() / "tls", "institution_svc")
    server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    await server.wait_for_termination()


async def _kit(server: Server) -> None:
    server.add(_register, None)


if __name__ == "__main__":
    kind, listen = sys.argv[1], int(sys.argv[2])
    if kind == "kit":
        run(Settings(port=listen), _kit)
    else:
        uvloop.run(_bare(listen))
