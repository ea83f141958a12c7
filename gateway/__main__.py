"""Starts the gateway service."""

from functools import partial

from envoy.service.ratelimit.v3.rls_pb2_grpc import add_RateLimitServiceServicer_to_server
from mediq.gateway.v1.gateway_service_pb2_grpc import add_GatewayServiceServicer_to_server
from mediq.policy.v1.policy_pb2 import Peer

from gateway.adapters.api_docs import load_api_docs
from gateway.adapters.service_health import HealthClient
from gateway.application.mesh_health import MeshHealth, query_mesh
from gateway.application.rate_limits import RateLimits
from gateway.servicers.gateway import GatewayServicer
from gateway.servicers.rate_limits import RateLimitServicer
from gateway.settings import GatewaySettings
from mesh.backends import make_counters
from mesh.clock import Clock, utc_now
from mesh.contract.methods import SERVERS
from mesh.rpc.client import Channels
from mesh.rpc.server import Server, run


async def build(server: Server) -> None:
    """Wires the service."""
    wire(server, Channels(server.settings.tls, server.settings.service), utc_now)


def wire(server: Server, channels: Channels, clock: Clock) -> None:
    """Wires the service with its surroundings.

    Args:
        server: The server to fill; its settings are GatewaySettings.
        channels: Channels to other services.
        clock: Gives the time.

    Raises:
        FileNotFoundError: The OpenAPI document or a file of the page is missing.
    """
    settings = server.settings
    assert isinstance(settings, GatewaySettings)
    server.on_close(channels.close)
    client = HealthClient(channels, settings.health_timeout_seconds)
    query = partial(query_mesh, client.check, SERVERS, settings.service, clock)
    health = MeshHealth(query, settings.health_age_seconds)
    docs = load_api_docs(settings.openapi_file.read_bytes())
    server.add(add_GatewayServiceServicer_to_server, GatewayServicer(health, docs))
    counters = make_counters(settings.redis_url, "gateway:limits:")
    server.on_close(counters.close)
    server.add_external(
        add_RateLimitServiceServicer_to_server,
        RateLimitServicer(RateLimits(counters, settings.allowances)),
        callers=(Peer.PEER_EDGE,),
    )


if __name__ == "__main__":
    run(GatewaySettings(), build)
