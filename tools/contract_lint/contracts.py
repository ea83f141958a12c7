"""The contracts as the rules see them, read from a descriptor set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from buf.validate.validate_pb2 import FieldRules
from buf.validate.validate_pb2 import field as field_rules
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    FileDescriptor,
    ServiceDescriptor,
)
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from mediq.policy.v1.policy_pb2 import server as server_option

from mesh.contract.methods import SERVERS, HttpRule, Method, peer_name, read_method
from tools.generation.source_info import PACKAGE, Element, elements, ours

SOURCES = "protos"
"""The folder of the sources, and the place of what is wrong with the contracts as a whole."""


@dataclass(frozen=True)
class Route:
    """Describes one REST route of a method."""

    method: Method
    rule: HttpRule


@dataclass(frozen=True)
class Contracts:
    """Holds all that a rule may inspect. The descriptors live in a pool of their own."""

    servers: tuple[str, ...]
    """The servers that should offer something."""
    methods: tuple[Method, ...]
    """Every method; `server` is empty where no server offers it."""
    messages: Mapping[str, Descriptor]
    """Our messages by full name, those inside others included."""
    enums: tuple[EnumDescriptor, ...]
    """Our enums, those inside messages included."""
    elements: Mapping[str, Element]
    """All that has a name, by full name."""

    @property
    def routes(self) -> Iterator[Route]:
        """Yields the REST routes of all methods."""
        return (Route(method, rule) for method in self.methods for rule in method.rules)

    @property
    def fields(self) -> Iterator[FieldDescriptor]:
        """Yields the fields of all messages."""
        return (field for message in self.messages.values() for field in message.fields)

    @property
    def request_fields(self) -> Iterator[FieldDescriptor]:
        """Yields the fields that callers fill: those of requests and of messages inside them."""
        requests = reachable(method.input for method in self.methods)
        return (field for message in requests.values() for field in message.fields)


def rules_of(field: FieldDescriptor) -> FieldRules:
    """Returns the validation rules of a field; empty ones where it has none."""
    rules: FieldRules = field.GetOptions().Extensions[field_rules]
    return rules


def is_personal(field: FieldDescriptor) -> bool:
    """Tells whether a field is declared to hold personal data or a secret."""
    return field.GetOptions().debug_redact


def reachable(roots: Iterable[Descriptor]) -> dict[str, Descriptor]:
    """Returns the messages of ours that `roots` are or contain, by full name."""
    found: dict[str, Descriptor] = {}
    waiting = list(roots)
    while waiting:
        message = waiting.pop()
        if message.full_name not in found and message.file.package.startswith(PACKAGE):
            found[message.full_name] = message
            waiting += [f.message_type for f in message.fields if f.message_type is not None]
    return found


def read(files: FileDescriptorSet) -> Contracts:
    """Returns the contracts of a descriptor set that contains what it imports.

    The generated stubs are not asked, so a set may differ from them.

    Raises:
        TypeError: A file does not fit the others, or one that it imports is missing.
    """
    pool = DescriptorPool()
    for file in files.file:
        pool.Add(file)
    found = [pool.FindFileByName(file.name) for file in ours(files)]
    messages = list(_messages(found))
    top_enums = [enum for file in found for enum in file.enum_types_by_name.values()]
    inner_enums = [enum for message in messages for enum in message.enum_types]
    return Contracts(
        servers=tuple(SERVERS),
        methods=tuple(_methods(found)),
        messages={message.full_name: message for message in messages},
        enums=(*top_enums, *inner_enums),
        elements={element.name: element for element in elements(files)},
    )


def _messages(files: Iterable[FileDescriptor]) -> Iterator[Descriptor]:
    waiting = [message for file in files for message in file.message_types_by_name.values()]
    while waiting:
        message = waiting.pop()
        yield message
        waiting += message.nested_types


def _server_of(service: ServiceDescriptor) -> str:
    """Returns the name of the server that offers a service; empty when none is stated."""
    peer = service.GetOptions().Extensions[server_option]
    return peer_name(peer) if peer else ""


def _methods(files: Iterable[FileDescriptor]) -> Iterator[Method]:
    for file in files:
        for service in file.services_by_name.values():
            for descriptor in service.methods:
                yield read_method(_server_of(service), descriptor)
