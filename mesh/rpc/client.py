"""The client runtime: channels with mTLS, deadlines that shrink, retries from the contracts."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc

from mesh.contract.call import current_call
from mesh.contract.methods import (
    MAX_MESSAGE_BYTES,
    Method,
    max_request_bytes_of,
    methods,
    methods_of,
)
from mesh.contract.status import from_rpc_error
from mesh.errors import MeshError, StatusCode
from mesh.identity.certificates import Identity, IdentityFiles, client_credentials
from mesh.observability import telemetry
from mesh.settings import address_of

__all__ = [
    "RETRY_POLICY",
    "RETRY_THROTTLING",
    "Channels",
    "service_config",
    "timeout_for",
]

MARGIN_SECONDS = 0.05
"""Kept back from the caller's deadline, to answer with an error instead of silence."""
RETRY_POLICY = {
    "maxAttempts": 3,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
"""How gRPC retries a method that is marked safe."""
RETRY_THROTTLING = {"maxTokens": 20, "tokenRatio": 0.1}
"""When gRPC stops to retry: a server in trouble gets no more load."""
RETIRE_SECONDS = 1 + max(method.deadline_seconds or 0 for method in methods().values())
"""How long a channel with an old certificate stays whole: longer than the longest deadline."""
STREAM_SECONDS = 660.0
"""How long a stream may stay on such a channel after that; servers' grace is the same."""
_OURS = (StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED, StatusCode.UNIMPLEMENTED)
"""Answers of another service that mean a mistake of this one, not of the person who called it."""


def service_config(server: str) -> str:
    """Makes the gRPC service config of one server: retries for the methods marked safe."""
    names = [
        {"service": method.service, "method": method.name}
        for method in methods_of(server)
        if method.retriable and not method.streaming
    ]
    return json.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],
            "methodConfig": [{"name": names, "retryPolicy": RETRY_POLICY}],
            "retryThrottling": RETRY_THROTTLING,
        }
    )


def timeout_for(method: Method) -> float | None:
    """Returns the seconds of an outgoing call: those the inbound one has left, or fewer.

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
        raise MeshError("no time left", StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
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
    if found.kind is StatusCode.UNAVAILABLE:
        found.message = f"{method.server} does not answer"
        if found.reason == StatusCode.UNAVAILABLE.value:
            found.reason = f"{method.server.upper()}_UNAVAILABLE"
        found.retry_after_seconds = found.retry_after_seconds or 1.0
    return found


class _Renewing(grpc.aio.Channel):
    """Opens a new channel below itself when the certificate has changed.

    gRPC for Python cannot give a channel another certificate, and stubs keep their channel for
    ever. A call stays on the channel on which it began.
    """

    def __init__(
        self, files: IdentityFiles, open_channel: Callable[[Identity], grpc.aio.Channel]
    ) -> None:
        self._files = files
        self._open = open_channel
        self._used: tuple[Identity, grpc.aio.Channel] | None = None
        self._retiring: dict[asyncio.Task[None], grpc.aio.Channel] = {}
        self._closed = False

    def _current(self) -> grpc.aio.Channel:
        # gRPC itself crashes when a method is looked up on a closed channel.
        if self._closed:
            raise grpc.aio.UsageError("the channel is closed")
        identity = self._files.current()
        if self._used is not None:
            before, channel = self._used
            if before is identity:
                return channel
            task = asyncio.get_running_loop().create_task(_retire(channel))
            self._retiring[task] = channel
            task.add_done_callback(self._retiring.pop)
        channel = self._open(identity)
        self._used = identity, channel
        return channel

    def _callable(self, kind: str, args: Any, kwargs: Any) -> Any:
        used: grpc.aio.Channel | None = None
        begin: Callable[..., Any]

        def call(*call_args: Any, **call_kwargs: Any) -> Any:
            nonlocal used, begin
            channel = self._current()
            if channel is not used:
                used, begin = channel, getattr(channel, kind)(*args, **kwargs)
            return begin(*call_args, **call_kwargs)

        return call

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._callable("unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._callable("unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._callable("stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._callable("stream_stream", args, kwargs)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._current().channel_ready()

    async def close(self, grace: float | None = None) -> None:
        self._closed = True
        old = dict(self._retiring)
        for task in old:
            task.cancel()
        await asyncio.gather(*old, return_exceptions=True)
        current = () if self._used is None else (self._used[1],)
        for channel in (*old.values(), *current):
            await channel.close(grace)

    async def __aenter__(self) -> "_Renewing":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Channels:
    """Holds one channel a server, shared by all stubs of the process.

    When the files of the identity change, the next call opens a new channel; the old one is
    closed when the calls that began on it are over.
    """

    def __init__(
        self, tls_folder: Path, identity: str, resolve: Callable[[str], str] = address_of
    ) -> None:
        """Makes channels on demand.

        Args:
            tls_folder: Folder of the certificates.
            identity: Name of the certificate to show.
            resolve: Gives the address of a server.

        Raises:
            FileNotFoundError: A file of the identity is missing.
            IdentityError: The files are damaged or do not belong together.
        """
        self._files = IdentityFiles(tls_folder, identity)
        self._resolve = resolve
        self._channels: dict[str, grpc.aio.Channel] = {}

    def to(self, server: str) -> grpc.aio.Channel:
        """Returns the channel to a server, by its name such as queue_svc."""
        if server not in self._channels:
            self._channels[server] = _Renewing(
                self._files, lambda identity: self._open(server, identity)
            )
        return self._channels[server]

    def _open(self, server: str, identity: Identity) -> grpc.aio.Channel:
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
        return grpc.aio.secure_channel(
            f"dns:///{self._resolve(server)}",
            client_credentials(identity),
            options=options,
            interceptors=[_Outgoing()],
        )

    async def close(self) -> None:
        """Closes every channel."""
        for channel in self._channels.values():
            await channel.close()


async def _retire(channel: grpc.aio.Channel) -> None:
    """Closes a channel on which no call begins any more.

    First comes a time in which every call with a deadline ends: gRPC counts a call only when its
    interceptors have begun it. What is open then, a stream, has as long as a server gives it.
    """
    await asyncio.sleep(RETIRE_SECONDS)
    await channel.close(STREAM_SECONDS)
