"""Starts the gateway service."""

from collections.abc import Callable
from functools import partial

from envoy.service.ratelimit.v3.rls_pb2_grpc import add_RateLimitServiceServicer_to_server
from mediq.gateway.v1.gateway_service_pb2_grpc import add_GatewayServiceServicer_to_server
from mediq.policy.v1.policy_pb2 import Peer

from gateway.adapters.assets import ApiDocs
from gateway.adapters.services import HealthCache, HealthClient
from gateway.servicers.gateway import GatewayServicer
from gateway.servicers.rate_limits import RateLimitServicer
from gateway.settings import GatewaySettings
from mesh.backends import make_counters
from mesh.rpc.server import Server, run
from mesh.settings import address_of


async def build(
    server: Server, settings: GatewaySettings, resolve: Callable[[str], str] = address_of
) -> None:
    """Wires the service.

    Args:
        server: What to add the servicer to.
        settings: The service's settings.
        resolve: Gives the address of a service.

    Raises:
        FileNotFoundError: The OpenAPI document or a file of the page is missing.
    """
    client = HealthClient(
        settings.tls,
        settings.service,
        timeout_seconds=settings.health_timeout_seconds,
        resolve=resolve,
    )
    server.on_close(client.close)
    health = HealthCache(client.look, settings.health_age_seconds)
    docs = ApiDocs.load(settings.openapi_file.read_bytes())
    server.add(add_GatewayServiceServicer_to_server, GatewayServicer(health, docs))
    counters = make_counters(settings.redis_url, "gateway:limits:")
    server.on_close(counters.close)
    server.add_external(
        add_RateLimitServiceServicer_to_server,
        RateLimitServicer(counters, settings.allowances),
        callers=(Peer.PEER_EDGE,),
    )


if __name__ == "__main__":
    own = GatewaySettings()
    run(own, partial(build, settings=own))
