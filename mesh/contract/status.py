"""The error table: MeshError to google.rpc.Status and back."""

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from mesh.errors import MeshError, StatusCode

__all__ = [
    "DOMAIN",
    "from_rpc_error",
    "to_status",
]

DOMAIN = "mediq"
"""ErrorInfo.domain of every error of the mesh."""
MAX_RETRY_SECONDS = 60.0


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def to_status(error: MeshError, trace_id: str = "") -> status_pb2.Status:
    """Returns the google.rpc.Status of an error, ErrorInfo first."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    if trace_id:
        info.metadata["traceId"] = trace_id
    status = status_pb2.Status(
        code=code_pb2.Code.Value(error.kind.value), message=error.message, details=[_packed(info)]
    )
    if error.violations:
        request = error_details_pb2.BadRequest()
        for violation in error.violations:
            request.field_violations.add(field=violation.field, description=violation.description)
        status.details.append(_packed(request))
    if error.resource is not None:
        kind, name = error.resource
        resource = error_details_pb2.ResourceInfo(resource_type=kind, resource_name=name)
        status.details.append(_packed(resource))
    if error.precondition is not None:
        kind, description = error.precondition
        failure = error_details_pb2.PreconditionFailure()
        failure.violations.add(type=kind, description=description)
        status.details.append(_packed(failure))
    if error.retry_after_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(
            int(min(error.retry_after_seconds, MAX_RETRY_SECONDS) * 1000)
        )
        status.details.append(_packed(retry))
    return status


def from_rpc_error(error: grpc.aio.AioRpcError) -> MeshError:
    """Returns the error that another service answered with, reason and retry time kept."""
    kind = StatusCode.__members__.get(error.code().name, StatusCode.INTERNAL)
    found = MeshError(error.details() or "", kind, kind.value)
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            found.reason = info.reason
            found.metadata = {k: v for k, v in info.metadata.items() if k != "traceId"}
        elif detail.Unpack(retry):
            found.retry_after_seconds = retry.retry_delay.ToMilliseconds() / 1000
    return found
