"""Errors as values. Pure: domains import this module, and it knows no gRPC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

__all__ = [
    "FieldViolation",
    "MeshError",
    "StatusCode",
    "failed_precondition",
    "forbidden",
    "invalid",
    "not_found",
    "reused_request_id",
    "unavailable",
]


class StatusCode(Enum):
    """Says what went wrong, named after the gRPC code that it becomes (google.rpc.Code)."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True)
class FieldViolation:
    """Names one field of a request that breaks a rule."""

    field: str
    """Path of the field, such as `identity.nik`."""
    description: str
    """What is wrong, without the value."""


@dataclass
class MeshError(Exception):
    """Says what the caller is told of an error.

    A service derives its own errors and fixes `kind` and `reason`; `mesh.contract.status` turns
    each into a google.rpc.Status. Texts never carry personal data.
    """

    message: str
    """What happened, for a developer."""
    kind: StatusCode = StatusCode.INTERNAL
    """Which gRPC code it becomes."""
    reason: str = "INTERNAL"
    """Machine-readable reason, UPPER_SNAKE, constant for one cause."""
    violations: Sequence[FieldViolation] = ()
    """Fields that break a rule (google.rpc.BadRequest)."""
    resource: tuple[str, str] | None = None
    """Type and identifier of the thing in question (google.rpc.ResourceInfo)."""
    precondition: tuple[str, str] | None = None
    """Kind and description of what would have to hold (google.rpc.PreconditionFailure)."""
    retry_after_seconds: float | None = None
    """When to try again (google.rpc.RetryInfo)."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Further facts for a program (google.rpc.ErrorInfo)."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


def invalid(field_path: str, description: str, reason: str = "INVALID_FIELD") -> MeshError:
    """Makes an error for one bad field of a request."""
    return MeshError(
        description,
        StatusCode.INVALID_ARGUMENT,
        reason,
        violations=(FieldViolation(field_path, description),),
    )


def not_found(resource_type: str, identifier: str) -> MeshError:
    """Makes an error for a thing that does not exist, or that the caller may not know of."""
    return MeshError(
        f"{resource_type} not found",
        StatusCode.NOT_FOUND,
        f"{resource_type.upper()}_NOT_FOUND",
        resource=(resource_type, identifier),
    )


def forbidden(message: str, reason: str) -> MeshError:
    """Makes an error for a caller who may not do this."""
    return MeshError(message, StatusCode.PERMISSION_DENIED, reason)


def failed_precondition(message: str, reason: str, **metadata: str) -> MeshError:
    """Makes an error for a state that does not allow this now (FAILED_PRECONDITION)."""
    return MeshError(
        message,
        StatusCode.FAILED_PRECONDITION,
        reason,
        precondition=(reason, message),
        metadata=metadata,
    )


def reused_request_id() -> MeshError:
    """Makes the error for a request_id that belongs to another request (AIP-155)."""
    return MeshError(
        "this request_id belongs to another request", StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"
    )


def unavailable(message: str, reason: str, retry_after_seconds: float = 1.0) -> MeshError:
    """Makes an error for a part that does not answer now."""
    return MeshError(
        message, StatusCode.UNAVAILABLE, reason, retry_after_seconds=retry_after_seconds
    )
