"""The contracts as Python values: every method with its policy, read from the compiled descriptors.

Nothing here is written by hand but the list of services; see protos/mediq/policy/v1/policy.proto
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
from mediq.policy.v1.policy_pb2 import Peer, Policy, Role, Scope, policy

GENERATED = Path(next(iter(mediq.__path__))).parent
"""The folder of the generated files."""
DESCRIPTOR_SET = GENERATED / "mediq.binpb"
"""All contracts with their imports and comments, a serialized FileDescriptorSet."""
MAX_MESSAGE_BYTES = 12 * 1024 * 1024
"""A photo of 10 MiB with its form around it; methods that take more say so in their policy."""


@dataclass(frozen=True)
class ServiceSpec:
    """One server of the mesh."""

    name: str
    """Package and process name, such as `queue_svc`."""
    port: int
    """Default TCP port."""
    peer: Peer.ValueType
    """Identity in its certificate."""
    modules: tuple[str, ...]
    """Generated modules that define what it serves."""


SERVICES: Mapping[str, ServiceSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            ServiceSpec(
                "user_svc",
                8602,
                Peer.PEER_USER_SVC,
                (
                    "mediq.audit.v1.audit_service_pb2",
                    "mediq.user.v1.auth_service_pb2",
                    "mediq.user.v1.user_service_pb2",
                ),
            ),
            ServiceSpec(
                "ocr_svc",
                8603,
                Peer.PEER_OCR_SVC,
                (
                    "mediq.ocr.v1.data_rights_service_pb2",
                    "mediq.ocr.v1.registration_service_pb2",
                ),
            ),
            ServiceSpec(
                "ocr_engine",
                8604,
                Peer.PEER_OCR_ENGINE,
                ("mediq.ocr_engine.v1.ocr_engine_service_pb2",),
            ),
            ServiceSpec(
                "queue_svc", 8605, Peer.PEER_QUEUE_SVC, ("mediq.queue.v1.queue_service_pb2",)
            ),
            ServiceSpec(
                "institution_svc",
                8606,
                Peer.PEER_INSTITUTION_SVC,
                ("mediq.institution.v1.institution_service_pb2",),
            ),
            ServiceSpec(
                "gateway", 8611, Peer.PEER_GATEWAY, ("mediq.gateway.v1.gateway_service_pb2",)
            ),
        )
    }
)
"""The servers by name, in the order in which they start."""


@dataclass(frozen=True)
class HttpRule:
    """One REST route of a method (google.api.http)."""

    verb: str
    """GET, POST, PATCH, PUT or DELETE."""
    path: str
    """Path template, such as /queue/{id}."""
    body: str
    """Request field that the body fills: a name, `*` for all of them, or empty."""


@dataclass(frozen=True)
class Method:
    """One RPC of the mesh."""

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
        """The HTTP/2 path, /package.Service/Method."""
        return f"/{self.service}/{self.name}"

    @property
    def deadline_seconds(self) -> float | None:
        """The longest time of a call; None for streams."""
        if not self.policy.HasField("deadline"):
            return None
        return self.policy.deadline.seconds + self.policy.deadline.nanos / 1e9

    @property
    def max_request_bytes(self) -> int:
        """The largest request that it takes."""
        return self.policy.max_request_bytes or MAX_MESSAGE_BYTES

    @property
    def mutating(self) -> bool:
        """Whether a call changes something."""
        return (
            self.descriptor.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS
            and not self.streaming
        )

    @property
    def input(self) -> Descriptor:
        """The request message."""
        return self.descriptor.input_type


def _rules(rule: HttpRuleProto) -> Iterator[HttpRule]:
    verb = rule.WhichOneof("pattern")
    if verb is not None:
        yield HttpRule(verb.upper(), str(getattr(rule, verb)), rule.body)
    for other in rule.additional_bindings:
        yield from _rules(other)


def _method(server: str, descriptor: MethodDescriptor) -> Method:
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
    """All RPCs of the mesh by path."""
    found: dict[str, Method] = {}
    for spec in SERVICES.values():
        for module in spec.modules:
            file: FileDescriptor = importlib.import_module(module).DESCRIPTOR
            for service in file.services_by_name.values():
                for descriptor in service.methods:
                    method = _method(spec.name, descriptor)
                    found[method.path] = method
    return MappingProxyType(found)


def methods_of(server: str) -> tuple[Method, ...]:
    """The RPCs that one server offers."""
    return tuple(method for method in methods().values() if method.server == server)


def max_request_bytes_of(server: str) -> int:
    """The largest request that any method of one server takes."""
    return max(method.max_request_bytes for method in methods_of(server))


def services_of(server: str) -> tuple[str, ...]:
    """The full names of the proto services that one server offers."""
    return tuple(dict.fromkeys(method.service for method in methods_of(server)))


def role_name(role: Role.ValueType) -> str:
    """The name that tokens carry: PASIEN for ROLE_PASIEN."""
    return Role.Name(role).removeprefix("ROLE_")


def scope_name(scope: Scope.ValueType) -> str:
    """The name that tokens carry: TICKETS for SCOPE_TICKETS."""
    return Scope.Name(scope).removeprefix("SCOPE_")


def peer_name(peer: Peer.ValueType) -> str:
    """The name that certificates carry: queue_svc for PEER_QUEUE_SVC."""
    return Peer.Name(peer).removeprefix("PEER_").lower()
