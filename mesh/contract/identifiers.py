"""One spelling of identifiers: RFC 9562 takes UUIDs in either case, tables hold the lower one."""

from dataclasses import dataclass
from functools import cache

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from mesh.contract.descriptors import has_field

__all__ = [
    "is_identifier",
    "normalize_identifiers",
]


@dataclass(frozen=True)
class _Plan:
    """Names the fields of a message to normalise."""

    single: tuple[str, ...]
    repeated: tuple[str, ...]
    messages: tuple[str, ...]
    """Fields with one message that holds identifiers, itself or deeper."""
    message_lists: tuple[str, ...]


def normalize_identifiers(message: Message) -> None:
    """Lower-cases, in place, every string field whose validation rule is a UUID.

    A value that is no UUID is lower-cased too: validation refuses it whatever its case.
    """
    plan = _plan(message.DESCRIPTOR)
    for name in plan.single:
        value: str = getattr(message, name)
        # A field that is unset stays so: setting it, even to "", would make it present.
        if value and not value.islower():
            setattr(message, name, value.lower())
    for name in plan.repeated:
        values = getattr(message, name)
        for at, value in enumerate(values):
            values[at] = value.lower()
    for name in plan.messages:
        if message.HasField(name):
            normalize_identifiers(getattr(message, name))
    for name in plan.message_lists:
        for inner in getattr(message, name):
            normalize_identifiers(inner)


def is_identifier(field: FieldDescriptor) -> bool:
    """Returns whether the validation rule of a field, or of its items, is a UUID."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    return bool(rules.string.uuid or rules.repeated.items.string.uuid)


@cache
def _holds_identifiers(message: Descriptor) -> bool:
    return has_field(message, is_identifier)


@cache
def _plan(message: Descriptor) -> _Plan:
    plain = [field for field in message.fields if is_identifier(field)]
    nested = []
    for field in message.fields:
        inner = field.message_type
        if inner is not None and _holds_identifiers(inner):
            if inner.GetOptions().map_entry:
                raise ValueError(f"{field.full_name}: identifiers in a map are not normalised")
            nested.append(field)
    return _Plan(
        single=tuple(field.name for field in plain if not field.is_repeated),
        repeated=tuple(field.name for field in plain if field.is_repeated),
        messages=tuple(field.name for field in nested if not field.is_repeated),
        message_lists=tuple(field.name for field in nested if field.is_repeated),
    )
