"""REST and JSON to gRPC, from the contracts' http rules."""

from __future__ import annotations

from edge.messages import Config, extension, typed
from edge.settings import ROUTED_SERVERS, EdgeSettings
from mesh.contract.methods import MAX_MESSAGE_BYTES, services_of

FILTER = "envoy.filters.http.grpc_json_transcoder"
RESPONSE_BYTES = 2 * MAX_MESSAGE_BYTES
"""Largest answer as JSON, some twice as long as the message: the copy of a person's data may have
megabytes. Unset it would be the buffer of a connection."""
_MESSAGE = "envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"


def _fields(settings: EdgeSettings, body_limit_bytes: int) -> Config:
    return {
        "proto_descriptor": settings.descriptor_set,
        "services": [service for server in ROUTED_SERVERS for service in services_of(server)],
        "print_options": {
            "always_print_primitive_fields": True,
            "stream_sse_style_delimited": True,
        },
        "convert_grpc_status": True,
        "max_request_body_size": body_limit_bytes,
        "max_response_body_size": RESPONSE_BYTES,
        "request_validation_options": {
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
    }


def transcoder_filter(settings: EdgeSettings) -> Config:
    """Returns the filter with the common body limit."""
    return extension(FILTER, _MESSAGE, **_fields(settings, settings.body_limit_bytes))


def upload_transcoder(settings: EdgeSettings) -> Config:
    """Returns the filter's settings on a route of an upload, by filter name."""
    return {FILTER: typed(_MESSAGE, **_fields(settings, settings.upload_limit_bytes))}


def no_transcoder() -> Config:
    """Returns the filter's settings on a route whose calls are not transcoded, by filter name."""
    return {FILTER: typed(_MESSAGE, proto_descriptor_bin="", services=[])}
