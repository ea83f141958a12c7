"""What a browser is told by the running mesh, on every page and for every person."""

from __future__ import annotations

import re

import httpx
import pytest
from mediq.policy.v1.policy_pb2 import Access

from mesh.contract.methods import HttpRule, Method, methods
from tests.attacks.made import request_for, rest_of
from tests.attacks.world import World

pytestmark = pytest.mark.model
FOREIGN = "https://evil.example"
ROUTES = [
    (method, rule)
    for method in methods().values()
    if not method.streaming and not method.mutating
    for rule in method.rules
]
each_route = pytest.mark.parametrize(
    ("method", "rule"), ROUTES, ids=[f"{rule.verb} {rule.path}" for _, rule in ROUTES]
)


def asked(world: World, method: Method, rule: HttpRule, origin: str) -> list[httpx.Response]:
    """The answers to nobody, and to the administrator of the network."""
    call = rest_of(method, rule, request_for(method, world.first.side))
    found = []
    for headers in ({}, world.network.headers):
        sent = {**call.get("headers", {}), **headers, "origin": origin}
        found.append(world.client.request(**{**call, "headers": sent}))
    return found


@each_route
def test_every_answer_is_guarded(world: World, method: Method, rule: HttpRule) -> None:
    for reply in asked(world, method, rule, FOREIGN):
        headers = reply.headers
        policy = dict(one.split(" ", 1) for one in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == "'self'", "no inline script, none from elsewhere"
        age = re.match(r"max-age=(\d+)", headers["strict-transport-security"])
        assert age is not None
        assert int(age[1]) >= 365 * 24 * 3600
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers, "no origin is listed"
        if method.policy.access == Access.ACCESS_USER or not reply.is_success:
            assert headers["cache-control"] == "no-store"


def test_a_foreign_page_is_not_told_that_it_may(world: World) -> None:
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "x"}
    for origin in (FOREIGN, "null", world.running.url.replace("127.0.0.1", "evil.example")):
        reply = world.client.options("/queue", headers={"origin": origin, **asks})
        told = [name for name in reply.headers if name.startswith("access-control-allow")]
        assert not told, origin
