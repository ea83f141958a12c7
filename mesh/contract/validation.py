"""Validation of requests by the buf.validate rules of the contracts."""

from collections.abc import Iterable

import protovalidate
from google.protobuf.message import Message

from mesh.errors import FieldViolation, MeshError, StatusCode

__all__ = [
    "validate",
]

_validator = protovalidate.Validator()


def _path(elements: Iterable[protovalidate.FieldPathElementPb]) -> str:
    return ".".join(element.field_name for element in elements)


def validate(message: Message) -> None:
    """Refuses a message that breaks a rule.

    Raises:
        MeshError: INVALID_ARGUMENT with one violation a field. The values are not repeated.
    """
    found = _validator.collect_violations(message)
    if not found:
        return
    violations = [
        FieldViolation(
            _path(violation.proto.field.elements) if violation.proto.field else "",
            violation.proto.message or violation.proto.rule_id,
        )
        for violation in found
    ]
    names = ", ".join(dict.fromkeys(violation.field for violation in violations))
    raise MeshError(
        f"invalid request: {names}", StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", violations
    )
