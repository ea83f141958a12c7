"""The size of request bodies.

The filter stands behind the ones that check tokens and rates: a body is collected only for a call
that may be made. The transcoder's own limit only ever raises a buffer, and JSON streams through it.
"""

from __future__ import annotations

from edge.messages import Config, extension, typed
from edge.settings import EdgeSettings

FILTER = "envoy.filters.http.buffer"


def body_filter(settings: EdgeSettings) -> Config:
    """Returns the filter with the common limit."""
    return extension(
        FILTER,
        "envoy.extensions.filters.http.buffer.v3.Buffer",
        max_request_bytes=settings.body_limit_bytes,
    )


def upload_body_limit(settings: EdgeSettings) -> Config:
    """Returns the settings of an upload's route, by filter name."""
    larger = typed(
        "envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
        buffer={"max_request_bytes": settings.upload_limit_bytes},
    )
    return {FILTER: larger}
