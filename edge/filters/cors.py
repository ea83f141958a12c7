"""Foreign web pages that may call the API. None by default: the console has the same origin."""

from __future__ import annotations

from edge.messages import Config, extension, typed
from edge.settings import EdgeSettings

FILTER = "envoy.filters.http.cors"


def cors_filter() -> Config:
    """Returns the filter that answers preflight requests."""
    return extension(FILTER, "envoy.extensions.filters.http.cors.v3.Cors")


def cors_policy(settings: EdgeSettings) -> Config:
    """Returns the policy by filter name; empty when no origin is listed."""
    if not settings.cors_origins:
        return {}
    policy = typed(
        "envoy.extensions.filters.http.cors.v3.CorsPolicy",
        allow_origin_string_match=[{"exact": origin} for origin in settings.cors_origins],
        allow_methods="GET, POST, PUT, PATCH, DELETE",
        allow_headers="authorization, content-type, last-event-id, x-request-id",
        expose_headers="retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, "
        "x-request-id",
        max_age="600",
        allow_credentials=False,
    )
    return {FILTER: policy}
