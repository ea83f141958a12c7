"""The bootstrap document: everything that Envoy is told at its start."""

from __future__ import annotations

from edge.clusters.local import admin_cluster, loopback_cluster
from edge.clusters.upstreams import server_clusters
from edge.listeners.api import api_listener
from edge.listeners.status import status_listener
from edge.messages import Config, extension, socket_address
from edge.settings import EdgeSettings
from edge.validation import require_valid

_MESSAGE = "envoy.config.bootstrap.v3.Bootstrap"
MAX_REGEX_PROGRAM_SIZE = 2_000
"""Instructions of RE2 that one expression may have: five times what the largest one has."""


def _overload_manager(settings: EdgeSettings) -> Config:
    return {
        "resource_monitors": [
            extension(
                "envoy.resource_monitors.global_downstream_max_connections",
                "envoy.extensions.resource_monitors.downstream_connections.v3"
                ".DownstreamConnectionsConfig",
                max_active_downstream_connections=settings.max_connections,
            )
        ]
    }


def _runtime() -> Config:
    """Raises Envoy's limit: one expression of all paths with the same verbs is larger than it."""
    size = {"re2.max_program_size.error_level": MAX_REGEX_PROGRAM_SIZE}
    return {"layers": [{"name": "static", "static_layer": size}]}


def render_bootstrap(settings: EdgeSettings) -> Config:
    """Renders Envoy's bootstrap document.

    Args:
        settings: What differs between installations.

    Raises:
        KeyError: A server has no address, or a rate class no limits.
        ValueError: A contract cannot be routed, or a part is none of Envoy's messages.
    """
    listeners = [api_listener(settings)]
    clusters = [*server_clusters(settings), loopback_cluster(settings)]
    if settings.status_port is not None:
        listeners.append(status_listener(settings, settings.status_port))
        clusters.append(admin_cluster(settings))
    document = {
        "node": {"id": "edge", "cluster": "mediq"},
        "admin": {"address": socket_address(settings.admin_host, settings.admin_port)},
        "overload_manager": _overload_manager(settings),
        "layered_runtime": _runtime(),
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }
    require_valid(document, _MESSAGE)
    return document
