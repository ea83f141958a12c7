"""Servers behind the edge, as doubles: real gRPC with real mTLS, every method of the contracts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from mesh.contract.methods import Method, methods_of
from mesh.identity.tls import server_credentials
from tests.support.waiting import PATIENCE_SECONDS

Context: TypeAlias = "grpc.aio.ServicerContext[Message, Message]"
Calls: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
Answer: TypeAlias = Callable[[Message, Context], Awaitable[Message]]
Stream: TypeAlias = Callable[[Message, Context], AsyncIterator[Message]]
MAX_MESSAGE_BYTES = 12 << 20


@dataclass(frozen=True)
class Call:
    """Holds a call that arrived."""

    request: Message
    metadata: dict[str, str]
    time_remaining: float | None
    identity: str


@dataclass
class Upstreams:
    """Runs the doubles. They answer an empty message, unless a test says otherwise."""

    tls_folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    calls: dict[str, list[Call]] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _servers: dict[int, grpc.aio.Server] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self, names: Iterable[str]) -> None:
        """Serves the named servers from a thread of their own."""
        self._thread.start()
        for name in names:
            self.ports[name] = self.serve(name, identity=name)

    def serve(self, name: str, identity: str, port: int = 0, broken: bool = False) -> int:
        """Serves the methods of a server under an identity.

        Args:
            name: Whose methods.
            identity: Whose certificate.
            port: TCP port; 0 lets the system choose.
            broken: Whether every call fails, although the server says that it is healthy.

        Returns:
            The TCP port.
        """
        served = self._serve(name, identity, port, broken)
        return asyncio.run_coroutine_threadsafe(served, self._loop).result(PATIENCE_SECONDS)

    def end(self, port: int) -> None:
        """Ends the server on a port."""
        stopped = self._servers.pop(port).stop(None)
        asyncio.run_coroutine_threadsafe(stopped, self._loop).result(PATIENCE_SECONDS)

    def stop(self) -> None:
        """Ends all servers and the thread."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(PATIENCE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    def reset(self) -> None:
        """Forgets calls and scripted answers."""
        self.calls.clear()
        self.answers.clear()
        self.streams.clear()

    def last(self, method: str) -> Call:
        """Returns the last call of the method with this path."""
        return self.calls[method][-1]

    async def _serve(self, name: str, identity: str, port: int, broken: bool) -> int:
        options = (
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        )
        server = grpc.aio.server(options=options)
        for method in methods_of(name):
            handlers = {method.name: self._handler(method, identity, broken)}
            generic = grpc.method_handlers_generic_handler(method.service, handlers)
            server.add_generic_rpc_handlers((generic,))
        health = health_aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        await health.set("", health_pb2.HealthCheckResponse.SERVING)
        credentials = server_credentials(self.tls_folder, identity)
        port = server.add_secure_port(f"127.0.0.1:{port}", credentials)
        await server.start()
        self._servers[port] = server
        return port

    async def _stop(self) -> None:
        await asyncio.gather(*(server.stop(None) for server in self._servers.values()))

    def _record(self, method: Method, identity: str, request: Message, context: Context) -> None:
        metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        call = Call(request, metadata, context.time_remaining(), identity)
        self.calls.setdefault(method.path, []).append(call)

    def _handler(
        self, method: Method, identity: str, broken: bool
    ) -> grpc.RpcMethodHandler[Message, Message]:
        request_class = GetMessageClass(method.input)
        response_class = GetMessageClass(method.descriptor.output_type)

        async def unary(request: Message, context: Context) -> Message:
            self._record(method, "broken" if broken else identity, request, context)
            if broken:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
            answer = self.answers.get(method.path)
            return response_class() if answer is None else await answer(request, context)

        async def stream(request: Message, context: Context) -> AsyncIterator[Message]:
            self._record(method, identity, request, context)
            scripted = self.streams.get(method.path)
            if scripted is None:
                yield response_class()
                return
            async for message in scripted(request, context):
                yield message

        if method.streaming:
            return grpc.unary_stream_rpc_method_handler(
                stream, request_class.FromString, response_class.SerializeToString
            )
        return grpc.unary_unary_rpc_method_handler(
            unary, request_class.FromString, response_class.SerializeToString
        )
