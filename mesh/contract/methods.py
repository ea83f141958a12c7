"""The contracts as Python values: every method with its policy, read from the compiled descriptors.

Nothing here is written by hand; see protos/mediq/policy/v1/policy.proto
for what each policy field means.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import mediq
from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule as HttpRuleProto
from google.protobuf.descriptor import Descriptor, FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from mediq.policy.v1.policy_pb2 import (
    Peer,
    Policy,
    Role,
    Scope,
    default_port,
    policy,
)
from mediq.policy.v1.policy_pb2 import server as server_option

__all__ = [
    "DESCRIPTOR_SET",
    "GENERATED",
    "MAX_MESSAGE_BYTES",
    "SERVERS",
    "HttpRule",
    "Method",
    "ServerSpec",
    "max_request_bytes_of",
    "methods",
    "methods_of",
    "peer_name",
    "read_method",
    "role_name",
    "scope_name",
    "services_of",
]

GENERATED = Path(next(iter(mediq.__path__)))
"""The folder of the generated files, the package mediq."""
DESCRIPTOR_SET = GENERATED / "mediq.binpb"
"""All contracts with their imports and comments, a serialized FileDescriptorSet."""
MAX_MESSAGE_BYTES = 12 * 1024 * 1024
"""A photo of 10 MiB with its form around it; methods that take more say so in their policy."""


@dataclass(frozen=True)
class ServerSpec:
    """Describes one server of the mesh."""

    name: str
    """Package and process name, such as `queue_svc`."""
    port: int
    """Default TCP port."""
    peer: Peer.ValueType
    """Identity in its certificate."""


def _servers() -> Iterator[ServerSpec]:
    for value in Peer.DESCRIPTOR.values:
        port = value.GetOptions().Extensions[default_port]
        if port:
            peer = Peer.ValueType(value.number)
            yield ServerSpec(peer_name(peer), port, peer)


def role_name(role: Role.ValueType) -> str:
    """Returns the name that tokens carry: PASIEN for ROLE_PASIEN."""
    return Role.Name(role).removeprefix("ROLE_")


def scope_name(scope: Scope.ValueType) -> str:
    """Returns the name that tokens carry: TICKETS for SCOPE_TICKETS."""
    return Scope.Name(scope).removeprefix("SCOPE_")


def peer_name(peer: Peer.ValueType) -> str:
    """Returns the name that certificates carry: queue_svc for PEER_QUEUE_SVC."""
    return Peer.Name(peer).removeprefix("PEER_").lower()


SERVERS: Mapping[str, ServerSpec] = MappingProxyType(
    {spec.name: spec for spec in sorted(_servers(), key=lambda one: one.port)}
)
"""The servers by name, in the order of their ports."""


@dataclass(frozen=True)
class HttpRule:
    """Describes one REST route of a method (google.api.http)."""

    verb: str
    """GET, POST, PATCH, PUT or DELETE."""
    path: str
    """Path template, such as /queue/{id}."""
    body: str
    """Request field that the body fills: a name, `*` for all of them, or empty."""


@dataclass(frozen=True)
class Method:
    """Describes one RPC of the mesh."""

    server: str
    """Name of the server that offers it."""
    service: str
    """Full name of the proto service."""
    name: str
    """Name of the method."""
    policy: Policy
    """Its policy."""
    rules: tuple[HttpRule, ...]
    """Its REST routes; none for calls between services."""
    retriable: bool
    """Whether a call that met UNAVAILABLE may be repeated (idempotency_level is set)."""
    streaming: bool
    """Whether the server streams its answer."""
    descriptor: MethodDescriptor
    """The compiled descriptor."""

    @property
    def path(self) -> str:
        """Returns the HTTP/2 path, /package.Service/Method."""
        return f"/{self.service}/{self.name}"

    @property
    def deadline_seconds(self) -> float | None:
        """Returns the longest time of a call; None for streams."""
        if not self.policy.HasField("deadline"):
            return None
        return self.policy.deadline.seconds + self.policy.deadline.nanos / 1e9

    @property
    def max_request_bytes(self) -> int:
        """Returns the largest request that it takes."""
        return self.policy.max_request_bytes or MAX_MESSAGE_BYTES

    @property
    def mutating(self) -> bool:
        """Returns whether a call changes something."""
        return (
            self.descriptor.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS
            and not self.streaming
        )

    @property
    def input(self) -> Descriptor:
        """Returns the request message."""
        return self.descriptor.input_type


def _rules(rule: HttpRuleProto) -> Iterator[HttpRule]:
    verb = rule.WhichOneof("pattern")
    if verb is not None:
        yield HttpRule(verb.upper(), str(getattr(rule, verb)), rule.body)
    for other in rule.additional_bindings:
        yield from _rules(other)


def read_method(server: str, descriptor: MethodDescriptor) -> Method:
    """Returns the method that a compiled descriptor states, as one that `server` offers."""
    options = descriptor.GetOptions()
    return Method(
        server=server,
        service=descriptor.containing_service.full_name,
        name=descriptor.name,
        policy=options.Extensions[policy],
        rules=tuple(_rules(options.Extensions[annotations_pb2.http])),
        retriable=options.idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN,
        streaming=descriptor.server_streaming,
        descriptor=descriptor,
    )


@cache
def methods() -> Mapping[str, Method]:
    """Returns all RPCs of the mesh by path."""
    found: list[Method] = []
    for name in sorted(GENERATED.glob("*/v*/*_service_pb2.py")):
        module = ".".join(name.relative_to(GENERATED.parent).with_suffix("").parts)
        file: FileDescriptor = importlib.import_module(module).DESCRIPTOR
        for service in file.services_by_name.values():
            offered_by = peer_name(service.GetOptions().Extensions[server_option])
            found += (read_method(offered_by, one) for one in service.methods)
    found.sort(key=lambda method: SERVERS[method.server].port)
    return MappingProxyType({method.path: method for method in found})


def methods_of(server: str) -> tuple[Method, ...]:
    """Returns the RPCs that one server offers."""
    return tuple(method for method in methods().values() if method.server == server)


def max_request_bytes_of(server: str) -> int:
    """Returns the largest request that any method of one server takes."""
    return max(method.max_request_bytes for method in methods_of(server))


def services_of(server: str) -> tuple[str, ...]:
    """Returns the full names of the proto services that one server offers."""
    return tuple(dict.fromkeys(method.service for method in methods_of(server)))
