"""What every call passes on its way to a handler, outer to inner.

telemetry -> errors -> deadline -> spelling of identifiers -> authentication -> authorization
-> validation -> handler

The chain is built once a method when it is registered, not once a call: an interceptor object a
stage costs a coroutine each, a third of the throughput of a small call.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeAlias, cast

import grpc
from google.protobuf.message import Message
from grpc_status import rpc_status
from mediq.policy.v1.policy_pb2 import Access, AuditClass, Peer

from mesh.contract.audit_fields import names_a_person
from mesh.contract.authorization import authorize, authorize_peer
from mesh.contract.call import CLIENT_ADDRESS, Call, Principal, enter_call
from mesh.contract.identifiers import normalize_identifiers
from mesh.contract.methods import Method
from mesh.contract.status import to_status
from mesh.contract.validation import validate
from mesh.errors import MeshError, StatusCode
from mesh.identity.tls import peer_of
from mesh.identity.tokens import TokenVerifier
from mesh.observability import telemetry
from mesh.observability.logs import logger

if TYPE_CHECKING:
    from mesh.audit_trail.recorder import AuditRecorder

__all__ = [
    "Context",
    "Handler",
    "Metadata",
    "Pipeline",
    "as_mesh_error",
    "is_coroutine_handler",
]

Context: TypeAlias = "grpc.aio.ServicerContext[Message, Message]"
"""What gRPC gives a handler beside the request."""
Handler: TypeAlias = "grpc.RpcMethodHandler[Message, Message]"
"""A registered method, with its serializers."""
Metadata = Iterable[tuple[str, str | bytes]]
"""Names and values of a call's metadata."""
Unary = Callable[[Message, Context], Awaitable[Message]]
Stream = Callable[[Message, Context], AsyncIterator[Message]]
LONGEST_ADDRESS = 45
"""Characters of an IPv6 address that holds an IPv4 one."""
SLOW_SHARE = 0.8
"""A call that used more than this share of its deadline is logged."""


@dataclass
class Pipeline:
    """Takes every call through the stages before its handler."""

    verifier: TokenVerifier
    audit_recorder: AuditRecorder | None = None
    """None: the server has no method that shows personal data."""

    def wrap(self, method: Method, handler: Handler) -> Handler:
        """Returns the handler of one method behind all stages.

        Raises:
            ValueError: The method streams its request, which no contract does.
        """
        if handler.unary_unary is not None:
            unary = cast("Unary", handler.unary_unary)
            return grpc.unary_unary_rpc_method_handler(
                self._unary(method, unary),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.unary_stream is not None:
            stream = cast("Stream", handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        raise ValueError(f"{method.path} streams its request")

    def _unary(self, method: Method, behavior: Unary) -> Unary:
        shows = method.policy.audit == AuditClass.AUDIT_CLASS_ACCESS

        async def serve(request: Message, context: Context) -> Message:
            metadata = context.invocation_metadata() or ()
            with telemetry.served(method, metadata) as span:
                call = self._enter(method, context, metadata, telemetry.trace_id(span))
                try:
                    async with asyncio.timeout(call.remaining_seconds()):
                        self._admit(call, request, metadata)
                        response = await behavior(request, context)
                        if shows and self.audit_recorder is not None:
                            await self.audit_recorder.record_access(call, request, response)
                    _warn_of_slow_call(call)
                    return response
                except Exception as error:
                    await self._fail(error, call, request, context)

        return serve

    def _stream(self, method: Method, behavior: Stream) -> Stream:
        shows = method.policy.audit == AuditClass.AUDIT_CLASS_ACCESS

        async def serve(request: Message, context: Context) -> AsyncIterator[Message]:
            metadata = context.invocation_metadata() or ()
            with telemetry.served(method, metadata) as span:
                call = self._enter(method, context, metadata, telemetry.trace_id(span))
                try:
                    self._admit(call, request, metadata)
                    async for response in behavior(request, context):
                        # A sign of life, or why the stream ends, goes out without the trail.
                        if shows and self.audit_recorder is not None and names_a_person(response):
                            await self.audit_recorder.record_access(call, request, response)
                        yield response
                except Exception as error:
                    await self._fail(error, call, request, context)

        return serve

    def _enter(self, method: Method, context: Context, metadata: Metadata, trace_id: str) -> Call:
        limit = method.deadline_seconds
        asked = context.time_remaining()
        seconds = min((value for value in (limit, asked) if value is not None), default=None)
        peer = peer_of(context.peer_identities())
        call = Call(
            method=method,
            peer=peer,
            trace_id=trace_id,
            deadline=None if seconds is None else time.monotonic() + seconds,
            address=_address(metadata) if peer == Peer.PEER_EDGE else "",
        )
        enter_call(call)
        return call

    def _admit(self, call: Call, request: Message, metadata: Metadata) -> None:
        # First: refused calls too are written down under the spelling that tables have.
        normalize_identifiers(request)
        authorize_peer(call.method, call.peer)
        call.principal = self._authenticate(call.method, metadata)
        authorize(call.method, call.principal, request)
        validate(request)

    def _authenticate(self, method: Method, metadata: Metadata) -> Principal | None:
        if method.policy.access != Access.ACCESS_USER:
            return None
        for key, value in metadata:
            if key == "authorization" and isinstance(value, str):
                scheme, _, token = value.partition(" ")
                if scheme.lower() != "bearer":
                    break
                return self.verifier.verify(token.strip())
        return None

    async def _fail(
        self, error: Exception, call: Call, request: Message, context: Context
    ) -> NoReturn:
        if isinstance(error, grpc.aio.AbortError):
            raise error
        refusal, path = as_mesh_error(error), call.method.path
        if self.audit_recorder is not None:
            await self.audit_recorder.record_denied_call(call, request, refusal)
        logger().info("call refused", method=path, code=refusal.kind.value, reason=refusal.reason)
        status = rpc_status.to_status(to_status(refusal, call.trace_id))
        await context.abort(status.code, status.details, status.trailing_metadata)
        raise AssertionError("abort returned")


def _address(metadata: Metadata) -> str:
    for key, value in metadata:
        if key == CLIENT_ADDRESS and isinstance(value, str):
            return value[:LONGEST_ADDRESS]
    return ""


def _warn_of_slow_call(call: Call) -> None:
    limit, left = call.method.deadline_seconds, call.remaining_seconds()
    if limit is not None and left is not None and left < limit * (1 - SLOW_SHARE):
        logger().warning("slow call", remaining_ms=int(left * 1000))


def as_mesh_error(error: Exception) -> MeshError:
    """Returns what a caller is told; logs an error that nobody foresaw, and tells nothing of it."""
    if isinstance(error, MeshError):
        return error
    if isinstance(error, TimeoutError):
        return MeshError(
            "the deadline has passed", StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"
        )
    logger().error("unexpected error", exc_info=error)
    return MeshError("internal error", StatusCode.INTERNAL, "INTERNAL")


def is_coroutine_handler(behavior: object) -> bool:
    """Returns whether a handler is written for the event loop; others would block it."""
    return inspect.iscoroutinefunction(behavior) or inspect.isasyncgenfunction(behavior)
