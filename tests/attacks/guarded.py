"""Calls that need a token, and who forges one for them."""

from __future__ import annotations

from mediq.policy.v1.policy_pb2 import Access

from mesh.contract.methods import SERVERS, Method, methods_of, role_name, scope_name
from tests.attacks.world import World
from tests.support.forgeries import Forger


def reads_of(server: str) -> list[Method]:
    """The reads of a service for which a person is needed."""
    return [
        method
        for method in methods_of(server)
        if method.policy.access == Access.ACCESS_USER and not method.mutating
        if not method.streaming and "user_id" not in method.input.fields_by_name
    ]


GUARDED = {server: reads[0] for server in SERVERS if (reads := reads_of(server))}
"""One method of every service that people call."""


def forger_for(world: World, method: Method) -> Forger:
    """Makes tokens that would open a method, were they true."""
    side, policy = world.first.side, method.policy
    forger = Forger(world.home / "keys", side.draft_id if policy.subject_field else side.user_id)
    del forger.claims["role"]
    if policy.roles:
        forger.claims["role"] = role_name(policy.roles[-1])
        forger.claims["institution_id"] = side.institution_id
    else:
        forger.claims["scope"] = scope_name(policy.scopes[-1])
    return forger
