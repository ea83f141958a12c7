"""The rules that every method of the contracts keeps.

A test is a rule. `test_a_broken_contract_is_found` breaks the important ones, one at a time.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from buf.validate.validate_pb2 import FieldRules
from buf.validate.validate_pb2 import field as field_rules
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodOptions
from mediq.policy.v1.policy_pb2 import (
    Access,
    AuditClass,
    AuditField,
    Peer,
    Policy,
    RateClass,
    Role,
    Scope,
    audit_field,
)

from mesh.contract.authorization import require_policy
from mesh.contract.methods import (
    DESCRIPTOR_SET,
    MAX_MESSAGE_BYTES,
    SERVERS,
    HttpRule,
    Method,
    methods,
    methods_of,
    peer_name,
)

LONGEST_SECONDS = 30.0
LARGEST_REQUEST_BYTES = 64 * 1024 * 1024
"""More than any method needs, and what one call may cost a server in memory."""
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
WITHOUT_REQUEST_ID = {
    "AppendAuditEvents": "each event has an identifier of its own",
    "RefreshToken": "the refresh token is good for one use, so it is the key itself",
    "BeginTotpEnrolment": "each one makes a new secret, and only the last can be confirmed",
    "ConfirmTotpEnrolment": "a one-time code is good for one use, so it is the key itself",
    "LoginAdmin": "a one-time code is good for one use, so it is the key itself",
    "ChangePassword": "the old password is good for one change, so it is the key itself",
    "ResetPassword": "each one makes another password, which is kept for no repetition",
    "Logout": "ending an ended session is no error, so a repetition changes nothing",
}
"""Changes that need no request_id, and why."""
WITHOUT_IDEMPOTENCY = {
    "LoginAdmin": "a repetition finds the code used",
    "ChangePassword": "a repetition finds another password",
    "ResetPassword": "a repetition makes another password",
    "BeginTotpEnrolment": "a repetition makes another secret",
    "ConfirmTotpEnrolment": "a repetition finds the code used",
    "RefreshToken": "a repetition with a used token ends the session",
}
"""Methods that must not be repeated, and why."""
WITHOUT_AUDIT = {
    "ReadCard": "the reader keeps nothing; the service that asks writes it down",
    "ReadCards": "the reader keeps nothing; the service that asks writes it down",
    "ValidateReading": "the reader keeps nothing; the service that asks writes it down",
    "AppendAuditEvents": "it is what fills the trail",
}
"""Methods with personal data that the audit trail does not keep, and why."""
ORIGINAL_ROUTES = """
POST /auth/login/admin
POST /auth/login/user
POST /auth/refresh
POST /auth/logout
POST /users
GET /users/profile
GET /users
GET /users/{}
PATCH /users/{}/role
DELETE /users/{}
POST /ocr/upload
GET /ocr/{}
PATCH /ocr/{}
POST /ocr/confirm
POST /queue
GET /queue
GET /queue/next
POST /queue/next
GET /queue/{}
PATCH /queue/{}/status
DELETE /queue/{}
GET /queue/my-queue
GET /queue/stats
GET /stats/daily
GET /stats/weekly
POST /institutions
GET /institutions
GET /institutions/{}
PATCH /institutions/{}
DELETE /institutions/{}
GET /institutions/{}/services
POST /institutions/{}/services
GET /institutions/search
GET /institutions/{}/queue/stats
GET /api/docs
GET /health
"""
"""The REST interface of the system that this one replaces."""

ALL = list(methods().values())
ROUTES = [(method, rule) for method in ALL for rule in method.rules]
STAFF = {Role.ROLE_OPERATOR, Role.ROLE_ADMIN_FASKES}

each_method = pytest.mark.parametrize("method", ALL, ids=lambda method: method.name)
each_route = pytest.mark.parametrize(
    ("method", "rule"), ROUTES, ids=[f"{rule.verb} {rule.path}" for _, rule in ROUTES]
)


def shape(rule: HttpRule) -> str:
    """A route without the names of its variables."""
    return f"{rule.verb} {re.sub('{[^}]*}', '{}', rule.path)}"


def rules_of(field: FieldDescriptor) -> FieldRules:
    """The validation rules of a field."""
    rules: FieldRules = field.GetOptions().Extensions[field_rules]
    return rules


def personal(method: Method) -> Iterator[FieldDescriptor]:
    """The request fields that carry personal data."""
    return (field for field in method.input.fields if field.GetOptions().debug_redact)


def test_every_rpc_of_the_descriptor_set_is_served() -> None:
    files = FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes()).file
    declared = {
        f"/{file.package}.{service.name}/{method.name}"
        for file in files
        for service in file.service
        for method in service.method
    }
    assert declared == set(methods())


@pytest.mark.parametrize("server", SERVERS)
def test_every_server_offers_something(server: str) -> None:
    assert methods_of(server)


def test_method_names_are_unique() -> None:
    assert not [name for name, count in Counter(m.name for m in ALL).items() if count > 1]


def test_requests_belong_to_one_method() -> None:
    assert not [name for name, n in Counter(m.input.full_name for m in ALL).items() if n > 1]


def test_a_method_without_policy_cannot_be_registered() -> None:
    bare = replace(ALL[0], policy=Policy())
    with pytest.raises(LookupError):
        require_policy({bare.path: bare}, bare.path)
    with pytest.raises(LookupError):
        require_policy(dict(methods()), "/mediq.queue.v1.QueueService/Unknown")


@each_method
def test_access_is_stated(method: Method) -> None:
    assert method.policy.access != Access.ACCESS_UNSPECIFIED


@each_method
def test_callers_are_stated(method: Method) -> None:
    callers = list(method.policy.callers)
    assert callers
    assert Peer.PEER_UNSPECIFIED not in callers
    assert len(set(callers)) == len(callers)


@each_method
def test_rate_is_stated(method: Method) -> None:
    assert method.policy.rate != RateClass.RATE_CLASS_UNSPECIFIED


@each_method
def test_calls_have_a_bounded_deadline_and_streams_have_none(method: Method) -> None:
    if method.streaming:
        assert method.deadline_seconds is None
    else:
        assert method.deadline_seconds is not None
        assert 0 < method.deadline_seconds <= LONGEST_SECONDS


@each_method
def test_requests_are_not_streamed(method: Method) -> None:
    assert not method.descriptor.client_streaming


@each_method
def test_persons_need_a_role_or_a_scope_and_nobody_else_has_one(method: Method) -> None:
    needs = [*method.policy.roles, *method.policy.scopes]
    assert bool(needs) == (method.policy.access == Access.ACCESS_USER)
    assert Role.ROLE_UNSPECIFIED not in method.policy.roles
    assert Scope.SCOPE_UNSPECIFIED not in method.policy.scopes


@each_method
def test_the_edge_sees_all_but_the_internal_methods(method: Method) -> None:
    internal = method.policy.access == Access.ACCESS_SERVICE
    assert (Peer.PEER_EDGE in method.policy.callers) != internal
    assert bool(method.rules) != internal


@each_method
def test_internal_methods_have_the_internal_rate(method: Method) -> None:
    internal = method.policy.access == Access.ACCESS_SERVICE
    assert (method.policy.rate == RateClass.RATE_CLASS_INTERNAL) == internal


@each_method
def test_streams_through_the_edge_have_the_stream_rate(method: Method) -> None:
    through_edge = method.streaming and Peer.PEER_EDGE in method.policy.callers
    assert (method.policy.rate == RateClass.RATE_CLASS_STREAM) == through_edge


@each_method
def test_requests_have_a_bounded_size(method: Method) -> None:
    assert method.max_request_bytes <= LARGEST_REQUEST_BYTES
    if Peer.PEER_EDGE in method.policy.callers:
        assert method.max_request_bytes == MAX_MESSAGE_BYTES


@each_method
def test_public_credentials_have_the_login_rate(method: Method) -> None:
    secrets = {"nik", "password", "refresh_token"} & set(method.input.fields_by_name)
    if secrets and method.policy.access == Access.ACCESS_PUBLIC:
        assert method.policy.rate == RateClass.RATE_CLASS_LOGIN


@each_method
def test_callers_are_in_the_call_graph(method: Method) -> None:
    callers = {peer_name(caller) for caller in method.policy.callers} - {"ops"}
    assert {(caller, method.server) for caller in callers} <= CALLS


def test_the_call_graph_has_no_unused_edge() -> None:
    used = {
        (peer_name(caller), method.server) for method in ALL for caller in method.policy.callers
    }
    assert used >= CALLS


@each_method
def test_changes_carry_a_request_id(method: Method) -> None:
    field = method.input.fields_by_name.get("request_id")
    if method.mutating and method.name not in WITHOUT_REQUEST_ID:
        assert field is not None
        assert rules_of(field).string.uuid
    else:
        assert field is None


@each_method
def test_idempotency_is_stated(method: Method) -> None:
    assert method.retriable != (method.name in WITHOUT_IDEMPOTENCY)


@pytest.mark.parametrize("name", [*WITHOUT_REQUEST_ID, *WITHOUT_IDEMPOTENCY, *WITHOUT_AUDIT])
def test_exceptions_are_still_methods(name: str) -> None:
    assert name in {method.name for method in ALL}


@each_route
def test_reads_use_get_unless_they_carry_personal_data(method: Method, rule: HttpRule) -> None:
    reads = method.descriptor.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    if reads and not any(personal(method)):
        assert rule.verb == "GET"
    else:
        assert rule.verb in {"POST", "PATCH", "DELETE"}


@each_method
def test_staff_are_held_to_their_facility(method: Method) -> None:
    named = method.input.fields_by_name.get("institution_id")
    if named is not None and STAFF & set(method.policy.roles):
        assert method.policy.institution_field == "institution_id"


@each_method
def test_sessions_for_one_thing_are_held_to_it(method: Method) -> None:
    if {Scope.SCOPE_REGISTRATION, Scope.SCOPE_DATA_RIGHTS} & set(method.policy.scopes):
        assert method.policy.subject_field


@each_method
def test_subjects_are_for_narrow_sessions(method: Method) -> None:
    if method.policy.subject_field:
        assert method.policy.scopes
        assert not method.policy.roles


@each_method
def test_policy_fields_are_identifiers_of_the_request(method: Method) -> None:
    for name in (method.policy.institution_field, method.policy.subject_field):
        if name:
            field = method.input.fields_by_name[name]
            assert field.type == FieldDescriptor.TYPE_STRING
            assert rules_of(field).string.uuid


@each_route
def test_path_variables_are_validated_strings(method: Method, rule: HttpRule) -> None:
    for name in re.findall("{([^}]*)}", rule.path):
        field = method.input.fields_by_name[name]
        assert field.type == FieldDescriptor.TYPE_STRING
        assert not field.has_presence
        assert rules_of(field).string.uuid or rules_of(field).string.pattern


@each_route
def test_no_personal_data_in_the_url(method: Method, rule: HttpRule) -> None:
    if rule.body == "*":
        in_url = set(re.findall("{([^}]*)}", rule.path))
    else:
        in_url = set(method.input.fields_by_name) - {rule.body}
    assert not {field.name for field in personal(method)} & in_url


def test_routes_are_unique() -> None:
    assert not [route for route, n in Counter(shape(rule) for _, rule in ROUTES).items() if n > 1]


@pytest.mark.parametrize("route", ORIGINAL_ROUTES.split("\n")[1:-1])
def test_the_routes_of_the_original_exist(route: str) -> None:
    assert route in {shape(rule) for _, rule in ROUTES}


@each_method
def test_lists_come_in_pages(method: Method) -> None:
    if method.name.startswith("List"):
        assert {"page_size", "page_token"} <= set(method.input.fields_by_name)
        answer = method.descriptor.output_type
        assert "next_page_token" in answer.fields_by_name
        assert [field.is_repeated for field in answer.fields] == [True, False]


def shown(method: Method) -> Iterator[FieldDescriptor]:
    """The fields of a request and its answer, those of messages inside included."""
    seen: set[str] = set()
    waiting = [method.input, method.descriptor.output_type]
    while waiting:
        message = waiting.pop()
        if message.full_name not in seen:
            seen.add(message.full_name)
            yield from message.fields
            waiting += [field.message_type for field in message.fields if field.message_type]


def tells_of_a_person(field: FieldDescriptor) -> bool:
    """Whether a field holds personal data or names whose they are."""
    options = field.GetOptions()
    named: AuditField.ValueType = options.Extensions[audit_field]
    return options.debug_redact or named == AuditField.AUDIT_FIELD_PERSON


@each_method
def test_audit_is_stated(method: Method) -> None:
    assert method.policy.audit != AuditClass.AUDIT_CLASS_UNSPECIFIED


@each_method
def test_what_tells_of_persons_is_audited(method: Method) -> None:
    if any(map(tells_of_a_person, shown(method))):
        audited = method.policy.audit != AuditClass.AUDIT_CLASS_NONE
        assert audited != (method.name in WITHOUT_AUDIT)


@each_method
def test_changes_are_audited_with_their_effect(method: Method) -> None:
    if method.mutating and method.name not in WITHOUT_AUDIT:
        assert method.policy.audit == AuditClass.AUDIT_CLASS_CHANGE


def _method(name: str, **changes: object) -> Method:
    """A method with a changed policy."""
    method = next(method for method in ALL if method.name == name)
    changed = Policy()
    changed.CopyFrom(method.policy)
    for field in changes:
        changed.ClearField(field)  # type: ignore[arg-type]
    changed.MergeFrom(Policy(**changes))  # type: ignore[arg-type]
    return replace(method, policy=changed)


ROUTE = HttpRule("GET", "/queue/{reason}", "")
BROKEN: list[tuple[Callable[..., None], tuple[object, ...]]] = [
    (test_audit_is_stated, (_method("GetTicket", audit=AuditClass.AUDIT_CLASS_UNSPECIFIED),)),
    (
        test_what_tells_of_persons_is_audited,
        (_method("GetTicket", audit=AuditClass.AUDIT_CLASS_NONE),),
    ),
    (
        test_changes_are_audited_with_their_effect,
        (_method("CallTicket", audit=AuditClass.AUDIT_CLASS_ACCESS),),
    ),
    (test_access_is_stated, (_method("GetTicket", access=Access.ACCESS_UNSPECIFIED),)),
    (test_callers_are_stated, (_method("GetTicket", callers=[]),)),
    (test_rate_is_stated, (_method("GetTicket", rate=RateClass.RATE_CLASS_UNSPECIFIED),)),
    (
        test_calls_have_a_bounded_deadline_and_streams_have_none,
        (_method("GetTicket", deadline=None),),
    ),
    (
        test_calls_have_a_bounded_deadline_and_streams_have_none,
        (_method("GetTicket", deadline={"seconds": 31}),),
    ),
    (
        test_calls_have_a_bounded_deadline_and_streams_have_none,
        (_method("WatchTicket", deadline={"seconds": 5}),),
    ),
    (
        test_persons_need_a_role_or_a_scope_and_nobody_else_has_one,
        (_method("GetTicket", roles=[], scopes=[]),),
    ),
    (
        test_persons_need_a_role_or_a_scope_and_nobody_else_has_one,
        (_method("LoginUser", roles=[Role.ROLE_PASIEN]),),
    ),
    (
        test_the_edge_sees_all_but_the_internal_methods,
        (_method("ReadCard", callers=[Peer.PEER_EDGE]),),
    ),
    (
        test_the_edge_sees_all_but_the_internal_methods,
        (replace(_method("GetTicket"), rules=()),),
    ),
    (test_callers_are_in_the_call_graph, (_method("ReadCard", callers=[Peer.PEER_EDGE]),)),
    (
        test_callers_are_in_the_call_graph,
        (_method("IssueTicket", callers=[Peer.PEER_GATEWAY]),),
    ),
    (test_public_credentials_have_the_login_rate, (_method("LoginUser", rate=1),)),
    (
        test_streams_through_the_edge_have_the_stream_rate,
        (_method("WatchTicket", rate=1),),
    ),
    (test_requests_have_a_bounded_size, (_method("ReadCards", max_request_bytes=2**30),)),
    (test_requests_have_a_bounded_size, (_method("UpdateDraft", max_request_bytes=2**25),)),
    (test_internal_methods_have_the_internal_rate, (_method("IssueTicket", rate=2),)),
    (test_subjects_are_for_narrow_sessions, (_method("GetUser", subject_field="id"),)),
    (
        test_path_variables_are_validated_strings,
        (_method("ListTickets"), HttpRule("GET", "/queue/{page_token}", "")),
    ),
    (test_idempotency_is_stated, (replace(_method("GetTicket"), retriable=False),)),
    (test_changes_carry_a_request_id, (replace(_method("Logout"), name="Other"),)),
    (test_staff_are_held_to_their_facility, (_method("ListTickets", institution_field=""),)),
    (
        test_sessions_for_one_thing_are_held_to_it,
        (_method("GetDraft", subject_field=""),),
    ),
    (
        test_policy_fields_are_identifiers_of_the_request,
        (_method("ListTickets", institution_field="page_token"),),
    ),
    (test_no_personal_data_in_the_url, (_method("UpdateTicketStatus"), ROUTE)),
    (
        test_reads_use_get_unless_they_carry_personal_data,
        (_method("CallNextTicket"), HttpRule("GET", "/queue/next", "")),
    ),
]


@pytest.mark.parametrize(("rule", "subject"), BROKEN, ids=[rule.__name__ for rule, _ in BROKEN])
def test_a_broken_contract_is_found(rule: Callable[..., None], subject: tuple[object, ...]) -> None:
    with pytest.raises(AssertionError):
        rule(*subject)
