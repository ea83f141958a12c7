"""Copies of the contracts with one thing broken, and where the linter must see it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from buf.validate.validate_pb2 import FieldRules
from buf.validate.validate_pb2 import field as field_rules
from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from mediq.policy.v1.policy_pb2 import Policy, policy

from mesh.contract.methods import DESCRIPTOR_SET, methods
from tools.contract_lint import lint, read

ROOT = Path(__file__).parents[2]
FULL_NAMES = {method.name: method.descriptor.full_name for method in methods().values()}


class Draft:
    """The contracts as a descriptor set that a test may change."""

    def __init__(self) -> None:
        self.files = FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes())

    def file(self, name: str) -> FileDescriptorProto:
        return next(file for file in self.files.file if file.name == name)

    def method(self, name: str) -> MethodDescriptorProto:
        return next(
            method
            for file in self.files.file
            for service in file.service
            for method in service.method
            if method.name == name
        )

    def message(self, full_name: str) -> DescriptorProto:
        package, _, name = full_name.rpartition(".")
        return next(
            message
            for file in self.files.file
            for message in file.message_type
            if file.package == package and message.name == name
        )

    def field(self, full_name: str) -> FieldDescriptorProto:
        message, _, name = full_name.rpartition(".")
        return next(field for field in self.message(message).field if field.name == name)

    def enum(self, full_name: str) -> EnumDescriptorProto:
        package, _, name = full_name.rpartition(".")
        return next(
            enum
            for file in self.files.file
            for enum in file.enum_type
            if file.package == package and enum.name == name
        )


Change = Callable[[Draft], None]


@dataclass(frozen=True)
class Broken:
    """Contracts that break a rule."""

    rule: str
    """Name of the rule."""
    at: str | tuple[str, ...]
    """Where it is found and nowhere else: methods by their name, others by full name, or files."""
    change: Change
    """What breaks the contracts."""
    word: str = ""
    """What the finding says too."""

    def places(self) -> set[str]:
        return {place_of(name) for name in ([self.at] if isinstance(self.at, str) else self.at)}

    def check(self) -> None:
        """Lints the broken contracts and compares what the rule finds."""
        draft = Draft()
        self.change(draft)
        found = [finding for finding in lint(read(draft.files)) if finding.rule == self.rule]
        assert {finding.place for finding in found} == self.places()
        for finding in found:
            assert str(finding).startswith(f"{finding.place}: {self.rule}: ")
            assert self.word in finding.text


def place_of(name: str) -> str:
    """Reads the sources for the line of an element, independently of the compiler."""
    if "/" in name or name == "protos":
        return name
    owner, _, short = FULL_NAMES.get(name, name).rpartition(".")
    package, _, container = owner.rpartition(".")
    folder = Path("protos", *package.split("."))
    if (ROOT / folder).is_dir() and container[:1].isupper():
        opening, member = rf"(message|service|enum) {container} \{{", rf"\b{short}( = |\()"
    else:
        folder = Path("protos", *owner.split("."))
        opening, member = rf"(message|service|enum) {short} \{{", ""
    for path in sorted((ROOT / folder).glob("*.proto")):
        lines = path.read_text().splitlines()
        for start, line in enumerate(lines):
            if re.match(opening, line):
                relative = path.relative_to(ROOT)
                if not member:
                    return f"{relative}:{start + 1}"
                for number, inner in enumerate(lines[start : lines.index("}", start)], start + 1):
                    if re.search(member, inner) and not inner.strip().startswith("//"):
                        return f"{relative}:{number}"
                return str(relative)
    raise LookupError(f"{name} is not in the sources")


def change_policy(name: str, /, **values: object) -> Change:
    """Replaces parts of the policy of a method; None and empty lists clear them."""

    def change(draft: Draft) -> None:
        changed = draft.method(name).options.Extensions[policy]
        for part in values:
            changed.ClearField(part)  # type: ignore[arg-type]
        changed.MergeFrom(Policy(**values))  # type: ignore[arg-type]

    return change


def change_route(name: str, verb: str, path: str, body: str = "") -> Change:
    """Gives a method one other REST route; an empty path takes all away."""

    def change(draft: Draft) -> None:
        options = draft.method(name).options
        options.ClearExtension(annotations_pb2.http)
        if path:
            rule = HttpRule(body=body)
            setattr(rule, verb.lower(), path)
            options.Extensions[annotations_pb2.http].CopyFrom(rule)

    return change


def change_rules(full_name: str, rules: FieldRules | None = None) -> Change:
    """Replaces the validation rules of a field; None takes them away."""

    def change(draft: Draft) -> None:
        options = draft.field(full_name).options
        options.ClearExtension(field_rules)
        if rules is not None:
            options.Extensions[field_rules].CopyFrom(rules)

    return change


def add_field(
    message: str,
    name: str,
    kind: FieldDescriptorProto.Type.ValueType = FieldDescriptorProto.TYPE_STRING,
    *,
    type_name: str = "",
    repeated: bool = False,
    rules: FieldRules | None = None,
) -> Change:
    """Adds a field, which stands in no line of the sources."""

    def change(draft: Draft) -> None:
        label = (
            FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
        )
        field = draft.message(message).field.add(name=name, number=900, type=kind, label=label)
        if type_name:
            field.type_name = type_name
        if rules is not None:
            field.options.Extensions[field_rules].CopyFrom(rules)

    return change


def remove_field(full_name: str) -> Change:
    """Takes a field away; source info counts fields, so the later ones have other lines."""

    def change(draft: Draft) -> None:
        message, _, name = full_name.rpartition(".")
        fields = draft.message(message).field
        fields.remove(next(field for field in fields if field.name == name))

    return change


def rename(full_name: str, name: str) -> Change:
    """Gives a field another name, and no other JSON name than that brings."""

    def change(draft: Draft) -> None:
        field = draft.field(full_name)
        field.name = name
        first, *words = name.split("_")
        field.json_name = first + "".join(word.capitalize() for word in words)

    return change


def together(*changes: Change) -> Change:
    """Makes one change of several."""

    def change(draft: Draft) -> None:
        for one in changes:
            one(draft)

    return change
