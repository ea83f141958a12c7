"""What messages are about, for the audit trail, by the `audit_field` option of their fields."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from mediq.policy.v1.policy_pb2 import AuditField, audit_field

from mesh.contract.descriptors import has_field

__all__ = [
    "MAX_IDENTIFIERS",
    "Subjects",
    "has_reason",
    "names_a_person",
    "subjects_of",
]

MAX_IDENTIFIERS = 500
"""Most persons, and most objects, that one event names."""
MAX_REASON_CHARACTERS = 500
"""By the contract of events."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass
class Subjects:
    """Holds what a call was about."""

    persons: dict[str, None] = field(default_factory=dict)
    """Accounts whose data were shown or changed, in the order in which they came."""
    objects: dict[str, None] = field(default_factory=dict)
    """Things such as tickets, in the order in which they came."""
    institutions: dict[str, None] = field(default_factory=dict)
    """Facilities that they belong to."""
    reason: str = field(default="", repr=False)
    """Why, in the words of the caller."""

    def add(self, kind: AuditField.ValueType, value: str) -> None:
        """Takes the value of a field, as the contract of events allows it.

        A refused request was not validated: what it names may be anything, and an event that the
        trail does not take would hold up all that come after it.
        """
        if kind == AuditField.AUDIT_FIELD_REASON:
            self.reason = value[:MAX_REASON_CHARACTERS]
        elif not _UUID.fullmatch(value):
            return
        elif kind == AuditField.AUDIT_FIELD_PERSON:
            self.persons[value.lower()] = None
        elif kind == AuditField.AUDIT_FIELD_INSTITUTION:
            self.institutions[value.lower()] = None
        else:
            self.objects[value.lower()] = None


def subjects_of(messages: Iterable[Message]) -> Subjects:
    """Returns what some messages, mostly a request and its answer, are about."""
    subjects = Subjects()
    for message in messages:
        _walk(message, subjects)
    return subjects


def names_a_person(message: Message) -> bool:
    """Returns whether a message is about a person or a thing."""
    subjects = subjects_of((message,))
    return bool(subjects.persons or subjects.objects)


@cache
def has_reason(request: Descriptor) -> bool:
    """Returns whether a request says why."""
    return any(_kind(one) == AuditField.AUDIT_FIELD_REASON for one in request.fields)


_SubjectFields: TypeAlias = tuple[
    tuple[tuple[str, AuditField.ValueType, bool], ...], tuple[tuple[str, bool], ...]
]
"""Of a message: the fields that tell something, and those with messages that do; whether each is
repeated."""


def _kind(spec: FieldDescriptor) -> AuditField.ValueType:
    kind: AuditField.ValueType = spec.GetOptions().Extensions[audit_field]
    return kind


@cache
def _names_a_person(message: Descriptor) -> bool:
    """Returns whether a message, or one inside, has a field that names a subject."""
    return has_field(message, _kind)


@cache
def _subject_fields(message: Descriptor) -> _SubjectFields:
    return (
        tuple((spec.name, _kind(spec), spec.is_repeated) for spec in message.fields if _kind(spec)),
        tuple(
            (spec.name, spec.is_repeated)
            for spec in message.fields
            if spec.message_type is not None and _names_a_person(spec.message_type)
        ),
    )


def _walk(message: Message, subjects: Subjects) -> None:
    plain, nested = _subject_fields(message.DESCRIPTOR)
    for name, kind, repeated in plain:
        value = getattr(message, name)
        for one in value if repeated else (value,):
            subjects.add(kind, one)
    for name, repeated in nested:
        if repeated:
            for one in getattr(message, name):
                _walk(one, subjects)
        elif message.HasField(name):
            _walk(getattr(message, name), subjects)
