"""Envoy's own replies, in the one shape of all errors: google.rpc.Status with an ErrorInfo.

A native gRPC caller gets it as status, message and details in the trailers, everybody else as the
JSON that the transcoder makes of an upstream's error.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from edge.messages import Config, extension, header
from edge.route_metadata import ALLOW, NAMESPACE, RETRY_AFTER
from mesh.contract.status import DOMAIN

_DETAILS = "response.code_details"
_ROUTE = "xds.route_metadata"


@dataclass(frozen=True)
class Reply:
    """Describes one kind of reply."""

    when: Config
    """Access log filter that recognizes it."""
    code: code_pb2.Code.ValueType
    """Code in the body."""
    reason: str
    """ErrorInfo.reason."""
    message: str
    """For people. Empty: Envoy's own words, which may repeat input."""
    headers: tuple[tuple[str, str], ...] = ()
    """Further response headers."""
    defaults: tuple[tuple[str, str], ...] = ()
    """Response headers for the case that the filter behind the reply has not set them."""
    native: code_pb2.Code.ValueType | None = None
    """Code of native calls, where it is another one."""
    status: int | None = None
    """HTTP status, where it is not the one that Envoy chose."""


def _status(status: int, comparison: str = "EQ") -> Config:
    value = {"default_value": status, "runtime_key": "edge.local_reply"}
    return {"status_code_filter": {"comparison": {"op": comparison, "value": value}}}


def _expression(expression: str) -> Config:
    return {
        "extension_filter": extension(
            "envoy.access_loggers.extension_filters.cel",
            "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            expression=expression,
        )
    }


def _both(*filters: Config) -> Config:
    return {"and_filter": {"filters": list(filters)}}


def _details(status: int, text: str) -> Config:
    return _both(_status(status), _expression(f"{_DETAILS}.contains('{text}')"))


_CHALLENGE = ("www-authenticate", 'Bearer realm="mediq"')
_INVALID_CHALLENGE = ("www-authenticate", 'Bearer realm="mediq", error="invalid_token"')
_RETRY_SOON = ("retry-after", "1")
REPLIES = (
    Reply(_details(400, "json_transcode"), code_pb2.INVALID_ARGUMENT, "REQUEST_MALFORMED", ""),
    Reply(_status(400), code_pb2.INVALID_ARGUMENT, "REQUEST_MALFORMED", "the request is malformed"),
    Reply(
        _details(401, "Jwt_is_missing"),
        code_pb2.UNAUTHENTICATED,
        "TOKEN_MISSING",
        "an access token is required",
        (_CHALLENGE,),
    ),
    Reply(
        _details(401, "Jwt_is_expired"),
        code_pb2.UNAUTHENTICATED,
        "TOKEN_EXPIRED",
        "the access token has ended",
        (_INVALID_CHALLENGE,),
    ),
    Reply(
        _status(401),
        code_pb2.UNAUTHENTICATED,
        "TOKEN_INVALID",
        "the access token is not valid",
        (_INVALID_CHALLENGE,),
    ),
    Reply(
        # A token for another audience.
        _details(403, "jwt_authn"),
        code_pb2.UNAUTHENTICATED,
        "TOKEN_INVALID",
        "the access token is not valid",
        (_INVALID_CHALLENGE,),
        status=401,
    ),
    Reply(
        _status(403),
        code_pb2.PERMISSION_DENIED,
        "ROLE_NOT_ALLOWED",
        "the signed-in person may not do this",
    ),
    Reply(
        _both(_status(404), _expression(f"'{ALLOW}' in {_ROUTE}.filter_metadata['{NAMESPACE}']")),
        code_pb2.UNIMPLEMENTED,
        "METHOD_NOT_ALLOWED",
        "this path does not take this HTTP method",
        (("allow", f"%METADATA(ROUTE:{NAMESPACE}:{ALLOW})%"),),
        status=405,
    ),
    Reply(
        _status(404),
        code_pb2.NOT_FOUND,
        "ROUTE_NOT_FOUND",
        "nothing is served here",
        native=code_pb2.UNIMPLEMENTED,
    ),
    Reply(
        _status(408),
        code_pb2.DEADLINE_EXCEEDED,
        "REQUEST_TIMEOUT",
        "the request did not arrive in time",
    ),
    Reply(
        _status(413),
        code_pb2.RESOURCE_EXHAUSTED,
        "REQUEST_TOO_LARGE",
        "the request is larger than this path allows",
    ),
    Reply(
        _status(429),
        code_pb2.RESOURCE_EXHAUSTED,
        "RATE_LIMITED",
        "too many requests, try again later",
        # The global limit says how long; the local one does not.
        defaults=(("retry-after", f"%METADATA(ROUTE:{NAMESPACE}:{RETRY_AFTER})%"),),
    ),
    Reply(
        _status(431),
        code_pb2.INVALID_ARGUMENT,
        "HEADERS_TOO_LARGE",
        "the request's headers are too large",
    ),
    Reply(
        _both(_status(503), {"response_flag_filter": {"flags": ["UO"]}}),
        code_pb2.UNAVAILABLE,
        "OVERLOADED",
        "the service has too much to do, try again later",
        (_RETRY_SOON,),
    ),
    Reply(
        _status(503),
        code_pb2.UNAVAILABLE,
        "SERVICE_UNAVAILABLE",
        "the service does not answer, try again later",
        (_RETRY_SOON,),
    ),
    Reply(
        _status(504),
        code_pb2.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
        "the service did not answer in time",
    ),
    Reply(_status(500, "GE"), code_pb2.INTERNAL, "INTERNAL", "the request failed"),
    Reply(
        _status(400, "GE"), code_pb2.INVALID_ARGUMENT, "REQUEST_REFUSED", "the request is refused"
    ),
)
"""The replies; the first that matches is sent."""


def _json(reply: Reply) -> Config:
    info = {
        "@type": f"type.googleapis.com/{ErrorInfo.DESCRIPTOR.full_name}",
        "reason": reply.reason,
        "domain": DOMAIN,
        "metadata": {},
    }
    message = reply.message or "%LOCAL_REPLY_BODY%"
    return {"json_format": {"code": int(reply.code), "message": message, "details": [info]}}


def _trailers(reply: Reply) -> list[Config]:
    code = reply.code if reply.native is None else reply.native
    detail = AnyMessage()
    detail.Pack(ErrorInfo(reason=reply.reason, domain=DOMAIN))
    status = Status(code=code, message=reply.message, details=[detail])
    details = base64.b64encode(status.SerializeToString(deterministic=True)).decode().rstrip("=")
    return [header("grpc-status", str(int(code))), header("grpc-status-details-bin", details)]


def _native() -> Config:
    """Returns the filter of calls that came as gRPC; the transcoder leaves a mark on all others."""
    kind = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    mark = {"name": "x-envoy-original-path", "present_match": False}
    return _both({"header_filter": {"header": kind}}, {"header_filter": {"header": mark}})


def _mappers(reply: Reply) -> list[Config]:
    extra = [header(key, value) for key, value in reply.headers]
    extra += [header(key, value, "ADD_IF_ABSENT") for key, value in reply.defaults]
    text = {"inline_string": reply.message or "%LOCAL_REPLY_BODY%"}
    native: Config = {
        "filter": _both(_native(), reply.when),
        "headers_to_add": [*extra, *_trailers(reply)],
        "body_format_override": {"text_format_source": text},
    }
    status: Config = {} if reply.status is None else {"status_code": reply.status}
    others: Config = {
        "filter": reply.when,
        **status,
        "headers_to_add": extra,
        "body_format_override": _json(reply),
    }
    return [native, others]


def local_replies() -> Config:
    """Returns the connection manager's local_reply_config."""
    return {"mappers": [mapper for reply in REPLIES for mapper in _mappers(reply)]}
