"""Clusters of the servers: addresses, identity, health, protection from overload."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from edge.clusters.sds import CERTIFICATE, TRUST, secret_source
from edge.messages import Config, extension, seconds, socket_address, typed
from edge.settings import ROUTED_SERVERS, EdgeSettings, Endpoint
from mesh.identity.certificates import TRUST_DOMAIN

STREAM_WINDOW_BYTES = 64 << 10
"""What a server may send ahead on one call whose client does not read."""

MAX_WINDOW_BYTES = (1 << 31) - 1
"""The largest window of HTTP/2."""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _tls(settings: EdgeSettings, server: str) -> Config:
    identity = {
        "san_type": "URI",
        "matcher": {"exact": f"{TRUST_DOMAIN}{server}"},
    }
    return extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        common_tls_context={
            # As a client Envoy stops at 1.2 unless told otherwise.
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_3",
                "tls_maximum_protocol_version": "TLSv1_3",
            },
            "alpn_protocols": ["h2"],
            "tls_certificate_sds_secret_configs": [secret_source(settings, CERTIFICATE)],
            "combined_validation_context": {
                "default_validation_context": {"match_typed_subject_alt_names": [identity]},
                "validation_context_sds_secret_config": secret_source(settings, TRUST),
            },
        },
    )


def _health_check(settings: EdgeSettings) -> Config:
    interval = seconds(settings.health_interval_seconds)
    return {
        "timeout": seconds(settings.server_answer_seconds),
        "interval": interval,
        # Without traffic Envoy would ask only once a minute.
        "no_traffic_interval": interval,
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        # Without a service name: the health of the whole server.
        "grpc_health_check": {},
    }


def _outlier_detection() -> Config:
    return {
        # A gRPC UNAVAILABLE counts as a 503.
        "consecutive_5xx": 10,
        "consecutive_gateway_failure": 5,
        "enforcing_consecutive_gateway_failure": 100,
        "interval": "2s",
        "base_ejection_time": "10s",
        "max_ejection_time": "60s",
        "max_ejection_percent": 50,
        # Slow or failing answers are the callers' business; see docs/reference/edge.md.
        "enforcing_success_rate": 0,
    }


def _protocol(settings: EdgeSettings) -> Config:
    # All calls share a connection: its window holds what all of them may leave unread. A smaller
    # one lets a few clients that do not read stop every other call.
    connection_window = min(settings.max_calls * STREAM_WINDOW_BYTES, MAX_WINDOW_BYTES)
    return {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            common_http_protocol_options={"idle_timeout": "300s"},
            explicit_http_config={
                "http2_protocol_options": {
                    "initial_stream_window_size": STREAM_WINDOW_BYTES,
                    "initial_connection_window_size": connection_window,
                    "connection_keepalive": {"interval": "30s", "timeout": "5s"},
                }
            },
        )
    }


def _cluster(settings: EdgeSettings, server: str, endpoints: Sequence[Endpoint]) -> Config:
    static = all(_is_address(host) for host, _ in endpoints)
    hosts = [{"endpoint": {"address": socket_address(host, port)}} for host, port in endpoints]
    return {
        "name": server,
        "type": "STATIC" if static else "STRICT_DNS",
        **({} if static else {"dns_refresh_rate": "5s", "respect_dns_ttl": False}),
        "connect_timeout": seconds(settings.server_answer_seconds),
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {"cluster_name": server, "endpoints": [{"lb_endpoints": hosts}]},
        # Never send a call to a server that is known to be dead: answer 503 at once.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [_health_check(settings)],
        "outlier_detection": _outlier_detection(),
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 256,
                    "max_pending_requests": 512,
                    # Live streams count as requests for as long as they are open.
                    "max_requests": settings.max_calls,
                    "retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 3},
                }
            ]
        },
        "typed_extension_protocol_options": _protocol(settings),
        "transport_socket": _tls(settings, server),
    }


def server_clusters(settings: EdgeSettings) -> list[Config]:
    """Returns a cluster for each server behind the edge.

    Raises:
        KeyError: A server has no address.
    """
    return [_cluster(settings, name, settings.upstreams[name]) for name in ROUTED_SERVERS]
