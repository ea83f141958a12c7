"""One route for each method that people may call, from its policy.

Routes match the gRPC path, which native and transcoded calls share. A method without a http rule,
and every service that no http rule names, has no route.
"""

from __future__ import annotations

from collections.abc import Iterator

from mediq.policy.v1.policy_pb2 import Access, RateClass

from edge.filters.access_control import method_access, public_access
from edge.filters.body_limit import upload_body_limit
from edge.filters.cors import cors_policy
from edge.filters.event_stream import stream_events, stream_headers
from edge.filters.global_rate_limit import limit_settings
from edge.filters.header_mutation import NEVER_STORED, drop_deadline
from edge.filters.local_rate_limit import class_name
from edge.filters.transcoder import no_transcoder, upload_transcoder
from edge.messages import Config, header, seconds
from edge.route_metadata import NAMESPACE, RATE_CLASS, RETRY_AFTER
from edge.routes.rest_paths import (
    Paths,
    allow_metadata,
    match_any,
    method_not_allowed_matches,
    rest_paths,
)
from edge.settings import ROUTED_SERVERS, EdgeSettings
from mesh.contract.call import CLIENT_ADDRESS
from mesh.contract.methods import Method, methods

ANSWER_SECONDS = 0.25
"""Time after the policy's deadline, at which servers stop by themselves, for their own answer."""
ABORT_SECONDS = 0.5
"""Time after which the server's transport drops the call. Its answer has no details."""


def routed_methods() -> tuple[Method, ...]:
    """Returns the methods that people may call, in the contracts' order."""
    return tuple(m for m in methods().values() if m.rules and m.server in ROUTED_SERVERS)


def _timing(method: Method, settings: EdgeSettings) -> Config:
    limit = method.deadline_seconds
    if limit is None:
        return {"timeout": "0s", "idle_timeout": seconds(settings.stream_idle_seconds)}
    return {"timeout": seconds(limit + ANSWER_SECONDS)}


def _deadline_header(method: Method) -> list[Config]:
    """Returns the header that tells the server the deadline, which a route timeout alone does not.

    A native caller's own deadline stays: a shorter one counts, a longer one ends at the route
    timeout, where Envoy resets the call.
    """
    limit = method.deadline_seconds
    if limit is None:
        return []
    milliseconds = round((limit + ABORT_SECONDS) * 1000)
    return [header("grpc-timeout", f"{milliseconds}m", "ADD_IF_ABSENT")]


def _response_headers(method: Method) -> Config:
    if method.streaming:
        return {"response_headers_to_add": stream_headers()}
    if method.policy.access == Access.ACCESS_USER:
        # What a person sees is never stored, whatever the service says.
        return {"response_headers_to_add": [header(*NEVER_STORED)]}
    return {}


def _route(method: Method, settings: EdgeSettings) -> Config:
    rate = method.policy.rate
    retry_after = settings.rates[rate].address.retry_after_seconds
    upload = rate == RateClass.RATE_CLASS_UPLOAD
    return {
        "name": f"{method.service}/{method.name}",
        "match": {"path": method.path},
        "route": {
            "cluster": method.server,
            **_timing(method, settings),
        },
        "metadata": {
            "filter_metadata": {
                NAMESPACE: {RATE_CLASS: class_name(rate), RETRY_AFTER: str(retry_after)},
            }
        },
        "request_headers_to_add": _deadline_header(method),
        **_response_headers(method),
        "typed_per_filter_config": {
            **method_access(method),
            **(upload_body_limit(settings) if upload else {}),
            **(stream_events() if method.streaming else {}),
            **(limit_settings(method) if settings.global_limits else {}),
        },
    }


def _rest(name: str, match: Config, metadata: Config | None = None, **more: Config) -> Config:
    """Returns a route that REST calls have before the transcoder gives them their method's route.

    A call that keeps it is not served: its cluster does not exist. It is no direct_response,
    because the CORS filter passes over those.
    """
    return {
        "name": name,
        "match": match,
        "route": {"cluster": "nothing", "cluster_not_found_response_code": "NOT_FOUND"},
        **({"metadata": metadata} if metadata else {}),
        "typed_per_filter_config": {**public_access(), **drop_deadline(), **more},
    }


def _method_not_allowed(paths: Paths) -> Iterator[Config]:
    """Yields routes for other verbs on these paths: local_replies.py makes a 405 of their 404."""
    for verbs, match in method_not_allowed_matches(paths):
        yield _rest(f"{verbs} only", match, allow_metadata(verbs), **no_transcoder())


def _uploads(settings: EdgeSettings) -> Iterator[Config]:
    """Yields routes on the REST paths of uploads: they carry the larger limit."""
    for method in routed_methods():
        if method.policy.rate != RateClass.RATE_CLASS_UPLOAD:
            continue
        for rule in method.rules:
            if "{" in rule.path:
                raise ValueError(f"{method.path}: the path of an upload has no variables")
            yield _rest(f"upload {rule.path}", {"path": rule.path}, **upload_transcoder(settings))


def route_config(settings: EdgeSettings) -> Config:
    """Returns the route table.

    Raises:
        ValueError: A contract cannot be routed.
    """
    plain, variable = rest_paths(routed_methods())
    host = {
        "name": "edge",
        "domains": ["*"],
        "routes": [
            *(_route(method, settings) for method in routed_methods()),
            *_method_not_allowed(plain),
            *_uploads(settings),
            # Before the variables: /queue/stats is no /queue/{id}.
            _rest("plain", match_any(plain)),
            *_method_not_allowed(variable),
            _rest("rest", {"prefix": "/"}),
        ],
        "request_headers_to_add": [
            header(CLIENT_ADDRESS, "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")
        ],
        # Only what has certainly not reached a server; everything else is the client's decision.
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream",
            "num_retries": 2,
            "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.retry.host"
                        ".previous_hosts.v3.PreviousHostsPredicate"
                    },
                }
            ],
        },
        "typed_per_filter_config": cors_policy(settings),
    }
    return {"name": "edge", "validate_clusters": False, "virtual_hosts": [host]}
