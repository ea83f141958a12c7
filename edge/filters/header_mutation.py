"""Headers: what a client may not claim, and what browsers are told."""

from __future__ import annotations

from edge.messages import Config, extension, header, typed

FILTER = "envoy.filters.http.header_mutation"
_CONTENT_SECURITY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # Swagger UI sets style attributes.
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
SECURITY = {
    "content-security-policy": _CONTENT_SECURITY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # The console takes photos of cards with the camera, and needs nothing else of a device.
    "permissions-policy": "camera=(self), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "x-content-type-options": "nosniff",
}
"""Headers of every response."""
NEVER_STORED = ("cache-control", "no-store")
"""Header of a response that no cache may keep."""
FORBIDDEN_PREFIXES = ("x-mediq-", "x-envoy-")
"""Request headers that only the edge may set."""
FORBIDDEN = ("x-jwt-payload", "x-forwarded-client-cert", "x-original-url", "x-rewrite-url")

NOT_METADATA = ":?[0-9A-Za-z_.-]*[^:0-9A-Za-z_.-].*"
"""Names that HTTP allows and gRPC does not: a service would answer such a request with INTERNAL."""


def _removals() -> list[Config]:
    matchers = [{"prefix": prefix, "ignore_case": True} for prefix in FORBIDDEN_PREFIXES]
    matchers += [{"exact": name, "ignore_case": True} for name in FORBIDDEN]
    matchers.append({"safe_regex": {"regex": NOT_METADATA}})
    return [{"remove_on_match": {"key_matcher": matcher}} for matcher in matchers]


def early_mutation() -> Config:
    """Returns what drops the headers that a client may not claim, before any filter runs."""
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": typed(
            "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            mutations=_removals(),
        ),
    }


def drop_deadline() -> Config:
    """Returns the settings of a route whose callers set no deadline, by filter name."""
    dropped = typed(
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
        mutations={"request_mutations": [{"remove": "grpc-timeout"}]},
    )
    return {FILTER: dropped}


def header_filter() -> Config:
    """Returns the filter of the security headers: outermost, so local replies have them too."""
    always = [{"append": header(key, value)} for key, value in SECURITY.items()]
    # A service may allow caching of what is public by sending the header itself.
    default = {"append": header(*NEVER_STORED, "ADD_IF_ABSENT")}
    return extension(
        FILTER,
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"response_mutations": [*always, default]},
    )
