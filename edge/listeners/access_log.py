"""The access log: one JSON object a line, without queries, tokens, names or bodies."""

from __future__ import annotations

from edge.messages import Config, extension
from edge.settings import EdgeSettings

FIELDS = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "requestId": "%REQ(X-REQUEST-ID)%",
    "traceparent": "%REQ(TRACEPARENT)%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "verb": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
    "path": "%PATH(NQ:ORIG_OR_PATH)%",
    "method": "%ROUTE_NAME%",
    "status": "%RESPONSE_CODE%",
    "grpcStatus": "%GRPC_STATUS(SNAKE_STRING)%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "upstream": "%UPSTREAM_CLUSTER%",
    "upstreamHost": "%UPSTREAM_HOST%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "receivedBytes": "%BYTES_RECEIVED%",
    "sentBytes": "%BYTES_SENT%",
    "milliseconds": "%DURATION%",
}


def access_log(settings: EdgeSettings) -> list[Config]:
    """Returns the access loggers."""
    return [
        extension(
            "envoy.access_loggers.file",
            "envoy.extensions.access_loggers.file.v3.FileAccessLog",
            path=settings.access_log,
            log_format={"json_format": FIELDS},
        )
    ]
