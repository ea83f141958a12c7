"""The client runtime: channels with mTLS, deadlines that shrink, retries from the contracts."""

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc

from mesh import telemetry
from mesh.config import address_of
from mesh.context import current_call
from mesh.contracts import (
    MAX_MESSAGE_BYTES,
    Method,
    max_request_bytes_of,
    methods,
    methods_of,
)
from mesh.errors import Kind, MeshError
from mesh.status import from_rpc_error
from mesh.tls import channel_credentials

MARGIN_SECONDS = 0.05
"""Kept back from the caller's deadline, to answer with an error instead of silence."""
RETRY_POLICY = {
    "maxAttempts": 3,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_OURS = (Kind.UNAUTHENTICATED, Kind.PERMISSION_DENIED, Kind.UNIMPLEMENTED)
"""Answers of another service that mean a mistake of this one, not of the person who called it."""


def service_config(server: str) -> str:
    """The gRPC service config of one server: retries for the methods that are marked safe."""
    names = [
        {"service": method.service, "method": method.name}
        for method in methods_of(server)
        if method.retriable and not method.streaming
    ]
    return json.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],
            "methodConfig": [{"name": names, "retryPolicy": RETRY_POLICY}],
            "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.1},
        }
    )


def timeout_for(method: Method) -> float | None:
    """Seconds for an outgoing call: what the inbound one has left, at most the method's own.

    Raises:
        MeshError: DEADLINE_EXCEEDED when nothing is left.
    """
    call = current_call()
    left = None if call is None else call.remaining_seconds()
    own = method.deadline_seconds
    if left is None:
        return own
    left -= MARGIN_SECONDS
    if left <= 0:
        raise MeshError("no time left", Kind.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    return left if own is None else min(left, own)


class _Outgoing(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        path = client_call_details.method
        method = methods().get(path.decode() if isinstance(path, bytes) else path)
        if method is None:
            # Health and reflection are no contracts of ours: the caller sets the limit.
            return await continuation(client_call_details, request)
        metadata = grpc.aio.Metadata(*(client_call_details.metadata or ()))
        for key, value in telemetry.outgoing().items():
            metadata.add(key, value)
        details = grpc.aio.ClientCallDetails(
            method=path,
            timeout=timeout_for(method),
            metadata=metadata,
            credentials=client_call_details.credentials,
            wait_for_ready=client_call_details.wait_for_ready,
        )
        call = await continuation(details, request)
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise _remote(error, method) from error


def _remote(error: grpc.aio.AioRpcError, method: Method) -> MeshError:
    found = from_rpc_error(error)
    if found.kind in _OURS:
        return MeshError(f"{method.server} refused this service: {found.reason}")
    if found.kind is Kind.UNAVAILABLE:
        found.message = f"{method.server} does not answer"
        if found.reason == Kind.UNAVAILABLE.value:
            found.reason = f"{method.server.upper()}_UNAVAILABLE"
        found.retry_after_seconds = found.retry_after_seconds or 1.0
    return found


class Channels:
    """One channel a server, shared by all stubs of the process."""

    def __init__(
        self, tls_folder: Path, identity: str, resolve: Callable[[str], str] = address_of
    ) -> None:
        """Makes channels on demand.

        Args:
            tls_folder: Folder of the certificates.
            identity: Name of the certificate to show.
            resolve: Gives the address of a server.
        """
        self._credentials = channel_credentials(tls_folder, identity)
        self._resolve = resolve
        self._channels: dict[str, grpc.aio.Channel] = {}

    def to(self, server: str) -> grpc.aio.Channel:
        """The channel to a server, by its name such as queue_svc."""
        if server not in self._channels:
            options: Sequence[tuple[str, str | int]] = (
                ("grpc.service_config", service_config(server)),
                ("grpc.ssl_target_name_override", server.replace("_", "-")),
                ("grpc.keepalive_time_ms", 30_000),
                # A service that starts again must not look dead for gRPC's two minutes.
                ("grpc.max_reconnect_backoff_ms", 2_000),
                ("grpc.keepalive_timeout_ms", 5_000),
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", max_request_bytes_of(server)),
            )
            self._channels[server] = grpc.aio.secure_channel(
                f"dns:///{self._resolve(server)}",
                self._credentials,
                options=options,
                interceptors=[_Outgoing()],
            )
        return self._channels[server]

    async def close(self) -> None:
        """Closes every channel."""
        for channel in self._channels.values():
            await channel.close()
