"""Who may call what: access tokens (jwt_authn) and roles or scopes (rbac), from the policies.

Both filters refuse by default; a route opens exactly what its method's policy says. The services
check everything again.
"""

from __future__ import annotations

from mediq.policy.v1.policy_pb2 import Access

from edge.clusters.local import LOOPBACK
from edge.messages import Config, extension, seconds, typed
from edge.settings import EdgeSettings
from mesh.contract.methods import Method, methods, role_name, scope_name
from mesh.identity.tokens import AUDIENCE, ISSUER, LEEWAY_SECONDS

JWT = "envoy.filters.http.jwt_authn"
RBAC = "envoy.filters.http.rbac"
REQUIREMENT = "token"
KEYS_METHOD = "/mediq.user.v1.AuthService/GetJwks"
CACHED_TOKENS = 1000
"""Verified tokens that each worker keeps."""
CLAIMS = "claims"
"""Where the verified claims lie in the request's metadata."""
_RBAC_PER_ROUTE = "envoy.extensions.filters.http.rbac.v3.RBACPerRoute"
_JWT_PER_ROUTE = "envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig"


def _provider(keys: Config) -> Config:
    return {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "require_expiration": True,
        "clock_skew_seconds": LEEWAY_SECONDS,
        # Only this header: a token in a URL would be written to logs.
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        "forward": True,
        "payload_in_metadata": CLAIMS,
        # A signature is checked once a token, its times at every call.
        "jwt_cache_config": {"jwt_cache_size": CACHED_TOKENS},
        **keys,
    }


def jwt_filter(settings: EdgeSettings) -> Config:
    """Returns the filter that verifies access tokens.

    Envoy reads the key file once. Keys that come later are fetched from the account service,
    through this very edge; without the file nobody could sign in before that service answers.
    """
    keys_path = next(rule.path for rule in methods()[KEYS_METHOD].rules)
    fetched = {
        "http_uri": {
            "uri": f"http://{settings.own_host}:{settings.listen_port}{keys_path}",
            "cluster": LOOPBACK,
            "timeout": "2s",
        },
        "cache_duration": seconds(settings.keys_refresh_seconds),
        "async_fetch": {
            "fast_listener": True,
            "failed_refetch_duration": seconds(settings.keys_refresh_seconds),
        },
    }
    return extension(
        JWT,
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers={
            "file": _provider({"local_jwks": {"filename": settings.jwks_file}}),
            "fetched": _provider({"remote_jwks": fetched}),
        },
        requirement_map={REQUIREMENT: _either_provider()},
        rules=[{"match": {"prefix": "/"}, "requires": _either_provider()}],
    )


def _either_provider() -> Config:
    providers = [{"provider_name": name} for name in ("file", "fetched")]
    return {"requires_any": {"requirements": providers}}


def rbac_filter() -> Config:
    """Returns the filter that checks roles and scopes."""
    no_policy: Config = {"action": "ALLOW", "policies": {}}
    return extension(RBAC, "envoy.extensions.filters.http.rbac.v3.RBAC", rules=no_policy)


def _claim(name: str, values: list[str]) -> list[Config]:
    path = [{"key": CLAIMS}, {"key": name}]
    return [
        {
            "sourced_metadata": {
                "metadata_matcher": {
                    "filter": JWT,
                    "path": path,
                    "value": {"string_match": {"exact": value}},
                },
                "metadata_source": "DYNAMIC",
            }
        }
        for value in values
    ]


def public_access() -> Config:
    """Returns the settings of a route that needs no token, by filter name."""
    return {
        JWT: typed(_JWT_PER_ROUTE, disabled=True),
        RBAC: typed(_RBAC_PER_ROUTE, rbac={}),
    }


def method_access(method: Method) -> Config:
    """Returns the settings of a method's route, by filter name.

    Raises:
        ValueError: The method is not for people.
    """
    if method.policy.access == Access.ACCESS_PUBLIC:
        return public_access()
    if method.policy.access != Access.ACCESS_USER:
        raise ValueError(f"{method.path} is not for people")
    principals = [
        *_claim("role", [role_name(role) for role in method.policy.roles]),
        *_claim("scope", [scope_name(scope) for scope in method.policy.scopes]),
    ]
    allowed = {"permissions": [{"any": True}], "principals": principals}
    return {
        JWT: typed(_JWT_PER_ROUTE, requirement_name=REQUIREMENT),
        RBAC: typed(
            _RBAC_PER_ROUTE,
            rbac={"rules": {"action": "ALLOW", "policies": {method.name: allowed}}},
        ),
    }
