"""Rules on policies: who may call a method, from where and how often."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor import FieldDescriptor
from mediq.policy.v1.policy_pb2 import Access, Peer, RateClass, Role, Scope

from mesh.contract.methods import SERVERS, Method, peer_name
from tools.contract_lint.contracts import SOURCES, Contracts, rules_of
from tools.contract_lint.rules import each_method, whole

CALLS = frozenset(
    {
        *(("edge", server) for server in SERVERS if server != "ocr_engine"),
        ("ocr_svc", "ocr_engine"),
        ("ocr_svc", "user_svc"),
        ("ocr_svc", "queue_svc"),
        ("ocr_svc", "institution_svc"),
        ("queue_svc", "institution_svc"),
        ("queue_svc", "user_svc"),
        ("institution_svc", "user_svc"),
    }
)
"""Who calls whom. The gateway is not here: it asks for nothing but health. Services tell user_svc,
which keeps the audit trail, what they saw and did."""
CREDENTIALS = frozenset({"nik", "password", "refresh_token"})
"""Request fields that somebody could guess one value after the other."""
STAFF = frozenset({Role.ROLE_OPERATOR, Role.ROLE_ADMIN_FASKES})
ONE_THING = frozenset({Scope.SCOPE_REGISTRATION, Scope.SCOPE_DATA_RIGHTS})
"""Scopes of sessions that were issued for one draft or one person."""


def _internal(method: Method) -> bool:
    """Tells whether only services call a method."""
    return method.policy.access == Access.ACCESS_SERVICE


def _through_edge(method: Method) -> bool:
    return Peer.PEER_EDGE in method.policy.callers


def _calls(method: Method) -> set[tuple[str, str]]:
    """Returns who calls whom by the policy of a method, without people with an ops certificate."""
    callers = {peer for peer in method.policy.callers if peer in Peer.values()} - {Peer.PEER_OPS}
    return {(peer_name(peer), method.server) for peer in callers}


@each_method()
def access_is_stated(method: Method) -> Iterator[str]:
    """Demands to know what a caller must prove: no server starts with a method that is silent."""
    if method.policy.access == Access.ACCESS_UNSPECIFIED:
        yield "states no access"


@each_method()
def callers_are_stated(method: Method) -> Iterator[str]:
    """Demands callers that exist: nobody could call otherwise, and the mistake shows only then."""
    callers = list(method.policy.callers)
    if not callers:
        yield "states no callers"
    if Peer.PEER_UNSPECIFIED in callers or not set(callers) <= set(Peer.values()):
        yield "names a caller that does not exist"
    if len(set(callers)) < len(callers):
        yield "names a caller twice"


@each_method()
def rate_is_stated(method: Method) -> Iterator[str]:
    """Demands a rate class: without one the edge would not count the calls."""
    if method.policy.rate == RateClass.RATE_CLASS_UNSPECIFIED:
        yield "states no rate"


@each_method()
def persons_need_a_role_or_a_scope(method: Method) -> Iterator[str]:
    """Demands a role or a scope where a person signs in: with neither, nobody's token would do."""
    policy = method.policy
    if policy.access == Access.ACCESS_USER and not (policy.roles or policy.scopes):
        yield "is for signed-in persons and lists no role and no scope"
    if Role.ROLE_UNSPECIFIED in policy.roles or Scope.SCOPE_UNSPECIFIED in policy.scopes:
        yield "lists a role or a scope that nobody has"


@each_method()
def only_persons_have_roles_and_scopes(method: Method) -> Iterator[str]:
    """Refuses roles and scopes that are not asked for: a reader would think that they are."""
    policy = method.policy
    if policy.access != Access.ACCESS_USER and (policy.roles or policy.scopes):
        yield "lists roles or scopes and asks for no token"


@each_method()
def the_edge_calls_all_but_internal_methods(method: Method) -> Iterator[str]:
    """Keeps internal methods from the edge: they trust their callers with everybody's data."""
    if _internal(method) and _through_edge(method):
        yield "is internal and may be called by the edge"
    if not _internal(method) and not _through_edge(method):
        yield "is for people and may not be called by the edge"


@each_method()
def all_but_internal_methods_have_a_route(method: Method) -> Iterator[str]:
    """Demands a REST route of what people use, and none of what they must not reach."""
    if _internal(method) and method.rules:
        yield "is internal and has a REST route"
    if not _internal(method) and not method.rules:
        yield "is for people and has no REST route"


@each_method()
def internal_methods_have_the_internal_rate(method: Method) -> Iterator[str]:
    """Keeps the internal rate for internal methods: the edge does not count it."""
    rated = method.policy.rate == RateClass.RATE_CLASS_INTERNAL
    if rated and not _internal(method):
        yield "has the internal rate and is for people"
    if _internal(method) and not rated:
        yield "is internal and has not the internal rate"


@each_method()
def streams_through_the_edge_have_the_stream_rate(method: Method) -> Iterator[str]:
    """Counts streams in a bucket of their own: they open seldom and stay open for hours."""
    stream = method.streaming and _through_edge(method)
    rated = method.policy.rate == RateClass.RATE_CLASS_STREAM
    if rated and not stream:
        yield "has the stream rate and is no stream through the edge"
    if stream and not rated:
        yield "is a stream through the edge and has not the stream rate"


@each_method()
def public_credentials_have_the_login_rate(method: Method) -> Iterator[str]:
    """Demands the login rate, the narrowest, where anybody may try passwords or NIKs."""
    secrets = CREDENTIALS & set(method.input.fields_by_name)
    public = method.policy.access == Access.ACCESS_PUBLIC
    if secrets and public and method.policy.rate != RateClass.RATE_CLASS_LOGIN:
        yield f"takes {', '.join(sorted(secrets))} from anybody and has not the login rate"


@each_method()
def callers_are_in_the_call_graph(method: Method) -> Iterator[str]:
    """Refuses calls between services that the design does not have: each is a way to attack."""
    if method.server:
        for caller, server in sorted(_calls(method) - CALLS):
            yield f"lets {caller} call {server}, which is not in CALLS"


@whole
def the_call_graph_is_used(contracts: Contracts) -> Iterator[tuple[str, str]]:
    """Refuses an edge of the call graph that no method needs: it would hide a new call later."""
    used = {call for method in contracts.methods for call in _calls(method)}
    for caller, server in sorted(CALLS - used):
        yield SOURCES, f"no method lets {caller} call {server}: take it out of CALLS"


@each_method()
def staff_are_held_to_their_facility(method: Method) -> Iterator[str]:
    """Demands institution_field where staff name a facility: they would otherwise act for any."""
    named = "institution_id" in method.input.fields_by_name
    for_staff = bool(STAFF & set(method.policy.roles))
    if named and for_staff and method.policy.institution_field != "institution_id":
        yield "takes an institution_id from staff and is not held to it by institution_field"


@each_method()
def sessions_for_one_thing_are_held_to_it(method: Method) -> Iterator[str]:
    """Demands subject_field: a session for one draft would otherwise open every draft."""
    if ONE_THING & set(method.policy.scopes) and not method.policy.subject_field:
        yield "is open to sessions for one thing and has no subject_field"


@each_method()
def subjects_are_for_scoped_sessions(method: Method) -> Iterator[str]:
    """Refuses subject_field beside roles: a session with a role was issued for no one thing."""
    policy = method.policy
    if policy.subject_field and (policy.roles or not policy.scopes):
        yield "has a subject_field and is not for scoped sessions alone"


@each_method()
def policy_fields_are_identifiers_of_the_request(method: Method) -> Iterator[str]:
    """Demands that a policy names UUIDs of the request: it can refuse only what it can compare."""
    for name in (method.policy.institution_field, method.policy.subject_field):
        if name:
            field = method.input.fields_by_name.get(name)
            if field is None:
                yield f"has a policy on {name}, which is not in the request"
            elif field.type != FieldDescriptor.TYPE_STRING or not rules_of(field).string.uuid:
                yield f"has a policy on {name}, which is no UUID"
