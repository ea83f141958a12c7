"""Clusters that lead back to this Envoy: to its own API, and to its admin interface."""

from __future__ import annotations

from edge.messages import Config, socket_address
from edge.settings import EdgeSettings

LOOPBACK = "edge"
"""Cluster of the API itself."""
ADMIN = "admin"
"""Cluster of the admin interface."""


def _static_cluster(name: str, host: str, port: int) -> Config:
    endpoint = {"endpoint": {"address": socket_address(host, port)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def loopback_cluster(settings: EdgeSettings) -> Config:
    """Returns the cluster of this Envoy's own API."""
    return _static_cluster(LOOPBACK, settings.own_host, settings.listen_port)


def admin_cluster(settings: EdgeSettings) -> Config:
    """Returns the cluster of the admin interface."""
    return _static_cluster(ADMIN, "127.0.0.1", settings.admin_port)
