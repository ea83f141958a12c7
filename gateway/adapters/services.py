"""Health calls to every service of the mesh: the only calls that the gateway makes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from gateway.domain.health import MeshState, ServiceState
from mesh.contract.methods import SERVERS
from mesh.rpc.client import Channels
from mesh.settings import address_of

DETAILS = {
    grpc.StatusCode.UNAVAILABLE: "does not answer",
    grpc.StatusCode.DEADLINE_EXCEEDED: "does not answer in time",
}


class HealthClient:
    """Asks services for their health."""

    def __init__(
        self,
        tls_folder: Path,
        identity: str,
        *,
        timeout_seconds: float,
        resolve: Callable[[str], str] = address_of,
    ) -> None:
        """Prepares the channels to all services but this one.

        Args:
            tls_folder: Folder of the certificates.
            identity: Name of this service, and of the certificate to show.
            timeout_seconds: Time for one answer.
            resolve: Gives the address of a service.
        """
        self._identity = identity
        self._timeout_seconds = timeout_seconds
        self._channels = Channels(tls_folder, identity, resolve)

    async def look(self) -> MeshState:
        """Asks all services at once. A service that does not answer is an entry, not an error."""
        states = await asyncio.gather(
            *(self._ask(name) for name in SERVERS if name != self._identity)
        )
        return MeshState((*states, ServiceState(self._identity, ready=True)), time.time())

    async def close(self) -> None:
        """Closes the channels."""
        await self._channels.close()

    async def _ask(self, name: str) -> ServiceState:
        start = time.perf_counter()
        try:
            answer: HealthCheckResponse = await HealthStub(self._channels.to(name)).Check(
                HealthCheckRequest(), timeout=self._timeout_seconds
            )
        except grpc.aio.AioRpcError as error:
            detail = DETAILS.get(error.code(), error.code().name)
        else:
            ready = answer.status == HealthCheckResponse.SERVING
            detail = "" if ready else "is not ready"
        latency_ms = round((time.perf_counter() - start) * 1000)
        return ServiceState(name, not detail, detail, latency_ms)


class HealthCache:
    """The last known state, looked up again when it is too old; by one caller for all."""

    def __init__(self, look: Callable[[], Awaitable[MeshState]], max_age_seconds: float) -> None:
        """Knows nothing yet; `look` finds out."""
        self._look = look
        self._max_age_seconds = max_age_seconds
        self._lock = asyncio.Lock()
        self._known: MeshState | None = None
        self._known_until = 0.0

    async def state(self) -> MeshState:
        """The state of the mesh."""
        async with self._lock:
            if self._known is None or time.monotonic() >= self._known_until:
                self._known = await self._look()
                self._known_until = time.monotonic() + self._max_age_seconds
            return self._known
