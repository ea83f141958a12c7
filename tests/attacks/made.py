"""Requests made from descriptors: whatever a method must be told, it is told."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import hypothesis
from buf.validate.validate_pb2 import FieldRules, Ignore
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies
from mediq.policy.v1.policy_pb2 import Access

from mesh.contract.methods import HttpRule, Method, methods
from mesh.contract.validation import validate
from tools.contract_lint.contracts import rules_of
from tools.generation.access import collection_of

OF_PATIENTS = frozenset(
    {
        "RevealNik",
        "CorrectPatient",
        "OpenDataRights",
        "GetPatientRecord",
        "ErasePatient",
        "ExportPersonalData",
        "RequestErasure",
        "ListPersonAccesses",
    }
)
"""Methods whose account is a patient's."""
FOR_PERSONS = [
    method for method in methods().values() if method.policy.access == Access.ACCESS_USER
]
"""The methods that ask for somebody's token."""
BROKEN = "not-a-uuid"
"""An identifier that no handler sees: validation, after authorization, refuses it."""


@dataclass(frozen=True)
class Side:
    """The objects of one facility and one patient, by the field that names them."""

    institution_id: str
    service_id: str
    counter_id: str
    patient_id: str
    ticket_id: str
    journey_id: str
    user_id: str
    session_id: str
    draft_id: str

    def named(self, method: Method, field: str) -> str:
        """What a field of a request names.

        Raises:
            LookupError: Nothing here is of that kind: a new collection needs an object above.
        """
        collections = {
            "institutions": self.institution_id,
            "journeys": self.journey_id,
            "ocr": self.draft_id,
            "queue": self.ticket_id,
            "services": self.service_id,
            "sessions": self.session_id,
            "users": self.user_id,
        }
        if field == "person_id" or (field in ("id", "user_id") and method.name in OF_PATIENTS):
            return self.patient_id
        if field == "actor_id":
            return self.user_id
        if field == "id":
            return collections[collection_of(method)]
        if field == "subject_id":
            return self.draft_id
        if not hasattr(self, field):
            raise LookupError(f"{method.path}: {field} names nothing of {type(self).__name__}")
        found: str = getattr(self, field)
        return found

    @property
    def secrets(self) -> frozenset[str]:
        """What nobody else may be shown."""
        return frozenset(
            {self.patient_id, self.ticket_id, self.journey_id, self.user_id, self.session_id}
        )


@cache
def matching(pattern: str) -> str:
    """The simplest text that a pattern takes."""
    once = hypothesis.settings(derandomize=True, database=None)
    return hypothesis.find(
        strategies.from_regex(pattern, fullmatch=True), lambda _: True, settings=once
    )


def _text(rules: FieldRules) -> str:
    text = rules.string
    if text.email:
        return "nobody@mediq.example"
    if text.uuid:
        return str(uuid4())
    if getattr(text, "in"):
        return str(getattr(text, "in")[0])
    if text.pattern and not re.search(text.pattern, ""):
        return matching(text.pattern)
    return "x" * text.min_len


def _value(field: FieldDescriptor, rules: FieldRules) -> Any:
    """The simplest valid value of a field; None where it may be absent."""
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b"x" * max(1, rules.bytes.min_len)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _text(rules) or None
    if field.enum_type is not None:
        allowed = list(getattr(rules.enum, "in"))
        forbidden = list(rules.enum.not_in)
        values = allowed or [value.number for value in field.enum_type.values]
        return next((value for value in values if value not in forbidden), None)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return rules.bool.const or None
    if field.message_type is not None and rules.required:
        return _filled(field.message_type)
    return None


def _filled(descriptor: Descriptor) -> Message:
    message: Message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        rules = rules_of(field)
        if field.containing_oneof is not None or rules.ignore == Ignore.IGNORE_IF_ZERO_VALUE:
            continue
        if field.is_repeated:
            inner = field.message_type
            one = _value(field, rules.repeated.items) if inner is None else _filled(inner)
            getattr(message, field.name).extend([one] * rules.repeated.min_items)
            continue
        value = _value(field, rules)
        if isinstance(value, Message):
            getattr(message, field.name).CopyFrom(value)
        elif value is not None:
            setattr(message, field.name, value)
    return message


def request_for(method: Method, side: Side, *, broken: bool = False) -> Message:
    """A request that names the objects of a side, and that the contract takes.

    Args:
        method: What is called.
        side: What the request names.
        broken: Whether its request_id, or the id of one without, is wrong, so that it changes
            nothing where it passes.

    Raises:
        MeshError: No such request can be made: the contract refuses what was.
    """
    request = _filled(method.input)
    for field in method.input.fields:
        if rules_of(field).string.uuid:
            fresh = field.name == "request_id"
            setattr(request, field.name, str(uuid4()) if fresh else side.named(method, field.name))
    validate(request)
    named = [name for name in ("request_id", "id") if name in method.input.fields_by_name]
    if broken and named:
        setattr(request, named[0], BROKEN)
    return request


def rest_of(method: Method, rule: HttpRule, request: Message) -> dict[str, Any]:
    """The arguments with which an HTTP client makes this request."""
    content = MessageToDict(request, preserving_proto_field_name=True)

    def placed(match: re.Match[str]) -> str:
        return quote(str(content.pop(match[1])), safe="")

    made: dict[str, Any] = {"method": rule.verb, "url": re.sub(r"{(\w+)}", placed, rule.path)}
    if rule.body == "*":
        return {**made, "content": json.dumps(content)}
    if rule.body:
        content.pop(rule.body, None)
        made["headers"] = {"content-type": "image/jpeg"}
    return {**made, "params": content}
