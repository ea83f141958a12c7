"""The use cases that tell how the mesh is."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from gateway.domain.health import MeshState, ServiceState
from mesh.clock import Clock, Monotonic
from mesh.contract.call import Principal
from mesh.errors import forbidden


async def query_mesh(
    check: Callable[[str], Awaitable[ServiceState]],
    services: Iterable[str],
    own_service: str,
    clock: Clock,
) -> MeshState:
    """Asks all services at once how they are.

    Args:
        check: Asks one service. One that does not answer is a state, not an error.
        services: Names of all services.
        own_service: Name of this service, which is ready and not asked.
        clock: Gives the time.
    """
    states = await asyncio.gather(*(check(name) for name in services if name != own_service))
    return MeshState((*states, ServiceState(own_service, ready=True)), clock())


class MeshHealth:
    """Tells the last known state of the mesh; when it is too old, one caller asks for all."""

    def __init__(
        self,
        query: Callable[[], Awaitable[MeshState]],
        max_age_seconds: float,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        """Knows nothing yet.

        Args:
            query: Asks all services, see `query_mesh`.
            max_age_seconds: How old a known state may be.
            monotonic: Tells how old it is.
        """
        self._query = query
        self._max_age_seconds = max_age_seconds
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._known: MeshState | None = None
        self._known_until = 0.0

    async def state(self) -> MeshState:
        """Returns the state of the mesh."""
        async with self._lock:
            if self._known is None or self._monotonic() >= self._known_until:
                self._known = await self._query()
                self._known_until = self._monotonic() + self._max_age_seconds
            return self._known

    async def state_for(self, who: Principal) -> MeshState:
        """Returns the state of the mesh to a person who may see its services.

        Raises:
            MeshError: NETWORK_ADMIN_ONLY.
        """
        if not who.is_network_admin:
            raise forbidden("only network administrators see the services", "NETWORK_ADMIN_ONLY")
        return await self.state()
