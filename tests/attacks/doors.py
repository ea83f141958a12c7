"""The ways into the mesh: Envoy's REST interface, and each service's own port."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import httpx
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from mesh.contract.methods import Method
from mesh.contract.status import from_rpc_error
from mesh.errors import StatusCode
from mesh.identity.tls import channel_credentials
from tests.attacks.made import rest_of
from tests.attacks.world import World
from tests.support.waiting import PATIENCE_SECONDS
from tools.generation.access import Verdict, names_owned

REFUSALS = {
    "TOKEN_MISSING": Verdict.UNAUTHENTICATED,
    "TOKEN_INVALID": Verdict.UNAUTHENTICATED,
    "TOKEN_EXPIRED": Verdict.UNAUTHENTICATED,
    "TOKEN_REVOKED": Verdict.UNAUTHENTICATED,
    "ROLE_NOT_ALLOWED": Verdict.PERMISSION_DENIED,
    "OTHER_INSTITUTION": Verdict.PERMISSION_DENIED,
    "OTHER_SUBJECT": Verdict.PERMISSION_DENIED,
    "OTHER_PATIENT": Verdict.PERMISSION_DENIED,
    "CALLER_NOT_ALLOWED": Verdict.PERMISSION_DENIED,
}
"""Reasons that are about who calls; every other one comes from a handler that was reached."""
SERVER_FAULTS = {"INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED", "DATA_LOSS"}
DOCUMENT = json.loads((Path(__file__).parents[2] / "gen" / "mediq" / "openapi.json").read_text())
STREAM_SECONDS = 1
"""A stream that has refused nothing by then has let the caller in: it waits for events."""
RawCall: TypeAlias = "grpc.UnaryUnaryMultiCallable[Any, Any]"
Outcome = tuple[Verdict, str]
"""What became of a call, and what was answered."""


def outcome(method: Method, code: str, reason: str, answer: str) -> Outcome:
    assert code not in SERVER_FAULTS, f"{method.path}: {answer}"
    if code == "NOT_FOUND" and names_owned(method):
        return Verdict.NOT_FOUND, answer
    return REFUSALS.get(reason, Verdict.PASSES), answer


class Doors:
    """The ways into the mesh."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._channels: dict[tuple[str, str], grpc.Channel] = {}

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()

    def channel(self, server: str, identity: str) -> grpc.Channel:
        """A channel to a service's port that shows a certificate; "" shows none."""
        key = server, identity
        if key not in self._channels:
            tls = self._world.home / "tls"
            port = self._world.running.environment[f"MEDIQ_{server.upper()}_PORT"]
            credentials = (
                channel_credentials(tls, identity)
                if identity
                else grpc.ssl_channel_credentials((tls / "ca.crt").read_bytes())
            )
            options = [("grpc.ssl_target_name_override", server.replace("_", "-"))]
            self._channels[key] = grpc.secure_channel(f"127.0.0.1:{port}", credentials, options)
        return self._channels[key]

    def port(
        self, method: Method, request: Message, headers: Mapping[str, str], identity: str
    ) -> Outcome:
        """Calls at the service's own port."""
        channel = self.channel(method.server, identity)
        parts: dict[str, Any] = {
            "request_serializer": type(request).SerializeToString,
            "response_deserializer": GetMessageClass(method.descriptor.output_type).FromString,
        }
        patience = STREAM_SECONDS if method.streaming else PATIENCE_SECONDS
        sent: dict[str, Any] = {"metadata": tuple(headers.items()), "timeout": patience}
        try:
            if method.streaming:
                stream = channel.unary_stream(method.path, **parts)(request, **sent)
                answer = str(next(stream))
                stream.cancel()
            else:
                answer = str(channel.unary_unary(method.path, **parts)(request, **sent))
        except grpc.RpcError as error:
            found = from_rpc_error(error)  # type: ignore[arg-type]
            if method.streaming and found.kind is StatusCode.DEADLINE_EXCEEDED:
                return Verdict.PASSES, ""
            return outcome(method, found.kind.value, found.reason, str(found))
        return Verdict.PASSES, answer

    def rest(self, method: Method, request: Message, headers: Mapping[str, str]) -> list[Outcome]:
        """Calls through Envoy, by every route of the method; each answer is a documented one."""
        found = []
        for rule in method.rules:
            call = rest_of(method, rule, request)
            call["headers"] = {**call.get("headers", {}), **headers}
            documented = DOCUMENT["paths"][rule.path][rule.verb.lower()]["responses"]
            with self._world.client.stream(**call) as reply:
                assert str(reply.status_code) in documented, f"{rule}: {reply.status_code}"
                kind = reply.headers.get("content-type", "")
                if kind == "text/event-stream":
                    found.append((Verdict.PASSES, next(reply.iter_text())))
                    continue
                reply.read()
                text = reply.text
            if reply.status_code == httpx.codes.OK:
                found.append((Verdict.PASSES, text))
                continue
            body = reply.json()
            code = grpc_code(body["code"])
            found.append(outcome(method, code, body["details"][0]["reason"], text))
        return found


def grpc_code(number: int) -> str:
    return next(code.name for code in grpc.StatusCode if code.value[0] == number)
