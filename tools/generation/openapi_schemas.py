"""JSON Schemas of messages, as Envoy's transcoder reads and prints them.

Names are camelCase, enums travel by name, 64-bit integers as strings. Of an answer, every field
without presence is always there, because the edge prints default values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

import protovalidate
from buf.validate import validate_pb2
from buf.validate.validate_pb2 import FieldRules
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from mesh.contract.methods import DESCRIPTOR_SET
from tools.generation.source_info import elements

Schema = dict[str, Any]

SCALARS: Mapping[int, Schema] = {
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "string", "pattern": "^-?[0-9]+$"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "minimum": 0},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "string", "pattern": "^[0-9]+$"},
}
WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.Empty": {"type": "object"},
}
"""Messages that have a JSON form of their own."""

KEYWORDS: Mapping[str, Callable[[Any], Schema]] = {
    "const": lambda value: {"const": value},
    "email": lambda _: {"format": "email"},
    "gt": lambda value: {"exclusiveMinimum": value},
    "gte": lambda value: {"minimum": value},
    "in": lambda values: {"enum": list(values)},
    "len": lambda value: {"minLength": value, "maxLength": value},
    "lt": lambda value: {"exclusiveMaximum": value},
    "lte": lambda value: {"maximum": value},
    "max_items": lambda value: {"maxItems": value},
    "max_len": lambda value: {"maxLength": value},
    "min_items": lambda value: {"minItems": value},
    "min_len": lambda value: {"minLength": value},
    "not_in": lambda values: {"not": {"enum": list(values)}},
    "pattern": lambda value: {"pattern": value},
    "unique": lambda value: {"uniqueItems": value},
    "uri": lambda _: {"format": "uri"},
    "uuid": lambda _: {"format": "uuid"},
}
"""What a buf.validate rule of a scalar or a list is in JSON Schema."""


@cache
def comments() -> Mapping[str, str]:
    """Returns the comment of every element of the contracts by full name; empty without one.

    The name of an enum value stands below its enum: package.Enum.VALUE.
    """
    files = FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes())
    return {element.name: element.comment for element in elements(files)}


def described(name: str, schema: Schema) -> Schema:
    """Returns a schema with the comment of an element in front."""
    text = comments().get(name, "")
    return {"description": text, **schema} if text else schema


def required_fields(message: Descriptor) -> frozenset[str]:
    """Returns the fields without which a request is refused: asked of the validator itself."""
    violations = protovalidate.collect_violations(GetMessageClass(message)())
    paths = [violation.proto.field for violation in violations]
    return frozenset(path.elements[0].field_name for path in paths if path is not None)


def _constraints(rules: Message) -> Schema:
    found: Schema = {}
    for rule, value in rules.ListFields():
        if rule.name in KEYWORDS:
            found |= KEYWORDS[rule.name](value)
        elif rule.name != "items":
            raise ValueError(f"{rule.full_name} has no JSON Schema keyword yet")
    return found


class Components:
    """Collects the schemas of the messages and enums that a document refers to, by short name."""

    def __init__(self) -> None:
        """Starts with none."""
        self.schemas: dict[str, Schema] = {}
        self._owners: dict[str, str] = {}

    def reference(self, owner: Descriptor | EnumDescriptor, *, output: bool = True) -> Schema:
        """Returns a reference to the schema of a message or an enum, made at its first use.

        Raises:
            ValueError: Two elements of different packages have the same short name.
        """
        name = owner.name if output else f"{owner.name}Input"
        if self._owners.setdefault(name, owner.full_name) != owner.full_name:
            raise ValueError(f"{name} is both {self._owners[name]} and {owner.full_name}")
        if name not in self.schemas:
            self.schemas[name] = {}  # Ends the recursion of a message that contains itself.
            if isinstance(owner, EnumDescriptor):
                self.schemas[name] = _enum(owner)
            else:
                schema = self._message(owner, output=output)
                self.schemas[name] = described(owner.full_name, schema)
        return {"$ref": f"#/components/schemas/{name}"}

    def fields(
        self, message: Descriptor, *, output: bool, leave_out: Collection[str] = ()
    ) -> Schema:
        """Returns the object schema of a message, or of its fields but some."""
        fields = [field for field in message.fields if field.name not in leave_out]
        schema: Schema = {
            "type": "object",
            "properties": {field.json_name: self.field(field, output=output) for field in fields},
        }
        needed = required_fields(message) if not output else ()
        present = [
            field.json_name
            for field in fields
            if field.name in needed or (output and not field.has_presence)
        ]
        return schema | ({"required": present} if present else {})

    def field(self, field: FieldDescriptor, *, output: bool) -> Schema:
        """Returns the schema of one field, with its comment and its rules."""
        rules: FieldRules = field.GetOptions().Extensions[validate_pb2.field]
        if field.is_repeated:
            items = self._value(field, rules.repeated.items, output=output)
            schema = {"type": "array", "items": items, **_constraints(rules.repeated)}
        else:
            schema = self._value(field, rules, output=output)
        if field.GetOptions().debug_redact:
            schema = {**schema, "x-mediq-personal": True}
        return described(field.full_name, schema)

    def _value(self, field: FieldDescriptor, rules: FieldRules, *, output: bool) -> Schema:
        if field.message_type is not None:
            known = WELL_KNOWN.get(field.message_type.full_name)
            return known or self.reference(field.message_type, output=output)
        if field.enum_type is not None:
            allowed = _names(field.enum_type, rules)
            if len(allowed) == len(field.enum_type.values):
                return self.reference(field.enum_type)
            return {"type": "string", "enum": allowed}
        kind = rules.WhichOneof("type")
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        # An answer has the empty value where a request may leave the field out.
        absent = output and rules.ignore == validate_pb2.Ignore.IGNORE_IF_ZERO_VALUE
        if kind is None or absent:
            return SCALARS[field.cpp_type]
        return SCALARS[field.cpp_type] | _constraints(getattr(rules, kind))

    def _message(self, message: Descriptor, *, output: bool) -> Schema:
        schema = self.fields(message, output=output)
        choices: list[Schema] = []
        for oneof in message.oneofs:
            if len(oneof.fields) > 1:
                alternatives = [{"required": [field.json_name]} for field in oneof.fields]
                choices.append({"oneOf": [*alternatives, {"not": {"anyOf": alternatives}}]})
        return schema | ({"allOf": choices} if choices else {})


def _enum(enum: EnumDescriptor) -> Schema:
    names = _names(enum, FieldRules())
    lines = [f"- `{name}`: {comments()[f'{enum.full_name}.{name}']}" for name in names]
    text = "\n".join([comments()[enum.full_name], "", *lines])
    return {"description": text, "type": "string", "enum": names}


def _names(enum: EnumDescriptor, rules: FieldRules) -> list[str]:
    """Returns the values of an enum that its rules allow."""
    allowed = getattr(rules.enum, "in")
    return [
        value.name
        for value in enum.values
        if (not allowed or value.number in allowed) and value.number not in rules.enum.not_in
    ]
