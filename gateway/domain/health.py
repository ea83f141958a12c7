"""State of the mesh, made from the states of its services."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ServiceState:
    """Says how one service is."""

    name: str
    """Name of the service."""
    ready: bool
    """Whether it takes calls."""
    detail: str = ""
    """What is missing; empty when ready."""
    latency_ms: int = 0
    """Time of the health call."""


@dataclass(frozen=True)
class MeshState:
    """Says how all services were at one moment."""

    services: Sequence[ServiceState]
    """One entry a service."""
    check_time: datetime.datetime
    """When the services were asked."""

    @property
    def unavailable(self) -> list[str]:
        """Returns the names of the services that are not ready."""
        return [service.name for service in self.services if not service.ready]
