"""A listener for probes and metrics, where the admin interface itself stays local."""

from __future__ import annotations

from edge.clusters.local import ADMIN
from edge.messages import Config, extension, socket_address
from edge.settings import EdgeSettings

PATHS = ("/ready", "/stats/prometheus")
"""What may be read. Everything else of the admin interface can change or tell too much."""


def status_listener(settings: EdgeSettings, port: int) -> Config:
    """Returns the listener, on the address of the API and a port of its own."""
    reading = {"name": ":method", "string_match": {"exact": "GET"}}
    routes = [
        {"match": {"path": path, "headers": [reading]}, "route": {"cluster": ADMIN}}
        for path in PATHS
    ]
    host = {"name": "status", "domains": ["*"], "routes": routes}
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="status",
        route_config={"name": "status", "virtual_hosts": [host]},
        normalize_path=True,
        http_filters=[
            extension("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router")
        ],
    )
    return {
        "name": "status",
        "address": socket_address(settings.listen_host, port),
        # A probe must get through when the API has no connection to spare.
        "ignore_global_conn_limit": True,
        "filter_chains": [{"filters": [manager]}],
    }
