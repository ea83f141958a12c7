"""Asks services for their health: the only calls that the gateway makes."""

import time

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from gateway.domain.health import ServiceState
from mesh.rpc.client import Channels

DETAILS = {
    grpc.StatusCode.UNAVAILABLE: "does not answer",
    grpc.StatusCode.DEADLINE_EXCEEDED: "does not answer in time",
}


class HealthClient:
    """Asks services for their health."""

    def __init__(self, channels: Channels, timeout_seconds: float) -> None:
        """Asks over `channels`; an answer may take `timeout_seconds`."""
        self._channels = channels
        self._timeout_seconds = timeout_seconds

    async def check(self, name: str) -> ServiceState:
        """Asks one service; one that does not answer is a state, not an error."""
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
