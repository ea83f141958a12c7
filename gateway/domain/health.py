"""State of the mesh, made from the states of its services."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ServiceState:
    """How one service is."""

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
    """How all services were at one moment."""

    services: Sequence[ServiceState]
    """One entry a service."""
    checked_at: float
    """When it was looked up, in seconds since the epoch."""

    @property
    def unavailable(self) -> list[str]:
        """Services that are not ready, by name."""
        return [service.name for service in self.services if not service.ready]
