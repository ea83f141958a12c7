"""Rate limits of all Envoys together: the gateway counts (envoy.service.ratelimit.v3).

There are two filters, because a filter has one answer to a gateway that is gone. Each is silent
on a route that has no settings for it.
"""

from __future__ import annotations

from mediq.policy.v1.policy_pb2 import RateClass

from edge.messages import Config, extension, seconds, typed
from edge.settings import EdgeSettings
from mesh.contract.methods import Method
from mesh.shared_state.rate_limits import DOMAIN, LIMIT_KEY, Limit

OPEN = "mediq.global_limit.open"
"""Filter of calls that pass when the gateway does not answer: they serve."""
CLOSED = "mediq.global_limit.closed"
"""Filter of calls that are refused then: their limit protects."""
SERVER = "gateway"
"""Name of the server that counts."""
REGISTRATION = "/mediq.ocr.v1.RegistrationService/ConfirmRegistration"
"""The call that makes accounts and tickets. Its class is WRITE, as that of every change."""
UNGUESSABLE = frozenset(f"/mediq.user.v1.AuthService/{name}" for name in ("RefreshToken", "Logout"))
"""Calls of the class LOGIN that carry a random secret. Nobody guesses it, and people at work must
not be signed out because the gateway is gone."""
NETWORK_BITS = 64
"""An IPv6 customer has this network: all of its addresses are one caller."""
_OF_CLASS = {
    RateClass.RATE_CLASS_LOGIN: Limit.LOGIN,
    RateClass.RATE_CLASS_UPLOAD: Limit.UPLOAD,
}


def limit_of(method: Method) -> Limit | None:
    """Returns the global limit that a method counts in; None for most."""
    if method.path == REGISTRATION:
        return Limit.REGISTRATION
    return _OF_CLASS.get(method.policy.rate)


def fails_closed(method: Method) -> bool:
    """Tells whether a call is refused when nobody counts: one with which people guess passwords."""
    return limit_of(method) == Limit.LOGIN and method.path not in UNGUESSABLE


def _filter(settings: EdgeSettings, name: str) -> Config:
    closed = name == CLOSED
    wait = settings.limit_closed_seconds if closed else settings.limit_open_seconds
    return extension(
        name,
        "envoy.extensions.filters.http.ratelimit.v3.RateLimit",
        domain=DOMAIN,
        timeout=seconds(wait),
        failure_mode_deny=closed,
        status_on_error={"code": "ServiceUnavailable"},
        rate_limited_as_resource_exhausted=True,
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
        disable_x_envoy_ratelimited_header=True,
        stat_prefix=name.rpartition(".")[2],
        rate_limit_service={
            "grpc_service": {"envoy_grpc": {"cluster_name": SERVER}},
            "transport_api_version": "V3",
        },
    )


def limit_filters(settings: EdgeSettings) -> list[Config]:
    """Returns both filters; none when there are no global limits."""
    return [_filter(settings, name) for name in (OPEN, CLOSED)] if settings.global_limits else []


def limit_settings(method: Method) -> Config:
    """Returns the settings of a method's route, by filter name; empty without a global limit."""
    limit = limit_of(method)
    if limit is None:
        return {}
    kind = {"generic_key": {"descriptor_key": LIMIT_KEY, "descriptor_value": limit.value}}
    address = {"masked_remote_address": {"v6_prefix_mask_len": NETWORK_BITS}}
    counted = typed(
        "envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute",
        # The address first: one that is over its limit does not use up the limit of all.
        rate_limits=[{"actions": [kind, address]}, {"actions": [kind]}],
    )
    return {CLOSED if fails_closed(method) else OPEN: counted}
