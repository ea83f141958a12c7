"""Contracts with broken methods, policies and routes."""

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, MethodOptions
from mediq.policy.v1.policy_pb2 import Access, AuditClass, Peer, RateClass, Role, Scope

from mesh.contract.methods import MAX_MESSAGE_BYTES
from tests.contract.broken import (
    Broken,
    Change,
    Draft,
    add_field,
    change_policy,
    change_route,
    remove_field,
    rename,
    together,
)

EXCEPTIONS = "tools/contract_lint/exceptions.py"


def change_method(name: str, /, **values: object) -> Change:
    """Sets attributes of a method."""

    def change(draft: Draft) -> None:
        for attribute, value in values.items():
            setattr(draft.method(name), attribute, value)

    return change


def change_idempotency(name: str, level: MethodOptions.IdempotencyLevel.ValueType) -> Change:
    def change(draft: Draft) -> None:
        draft.method(name).options.idempotency_level = level

    return change


def add_route(name: str, path: str) -> Change:
    """Adds a route for GET to those of a method."""

    def change(draft: Draft) -> None:
        rule = draft.method(name).options.Extensions[annotations_pb2.http]
        rule.additional_bindings.add(get=path)

    return change


def add_unserved_file(draft: Draft) -> None:
    file = FileDescriptorProto(
        name="mediq/new/v1/new_service.proto",
        package="mediq.new.v1",
        syntax="proto3",
        dependency=["google/protobuf/empty.proto"],
    )
    empty = ".google.protobuf.Empty"
    file.service.add(name="NewService").method.add(name="Ping", input_type=empty, output_type=empty)
    draft.files.file.append(file)


def remove_gateway(draft: Draft) -> None:
    file = draft.file("mediq/gateway/v1/gateway_service.proto")
    del file.service[:]


METHODS = [
    Broken(
        "METHODS_ARE_SERVED",
        "protos/mediq/new/v1/new_service.proto",
        add_unserved_file,
        "mediq.new.v1.NewService.Ping",
    ),
    Broken("SERVERS_OFFER_SOMETHING", "protos", remove_gateway, "gateway"),
    Broken(
        "METHOD_NAMES_ARE_UNIQUE",
        ("GetTicket", "GetUser"),
        change_method("GetUser", name="GetTicket"),
    ),
    Broken(
        "REQUESTS_BELONG_TO_ONE_METHOD",
        ("GetTicket", "CancelTicket"),
        change_method("GetTicket", input_type=".mediq.queue.v1.CancelTicketRequest"),
        "CancelTicketRequest",
    ),
    Broken(
        "CALLS_HAVE_A_BOUNDED_DEADLINE",
        "GetTicket",
        change_policy("GetTicket", deadline=None),
        "no deadline",
    ),
    Broken(
        "CALLS_HAVE_A_BOUNDED_DEADLINE",
        "GetTicket",
        change_policy("GetTicket", deadline={"seconds": 31}),
        "31 s",
    ),
    Broken(
        "CALLS_HAVE_A_BOUNDED_DEADLINE",
        "GetTicket",
        change_policy("GetTicket", deadline={}),
        "of 0 s",
    ),
    Broken(
        "STREAMS_HAVE_NO_DEADLINE",
        "WatchTicket",
        change_policy("WatchTicket", deadline={"seconds": 5}),
    ),
    Broken(
        "REQUESTS_ARE_NOT_STREAMED",
        "CreateTicket",
        change_method("CreateTicket", client_streaming=True),
    ),
    Broken(
        "REQUESTS_HAVE_A_BOUNDED_SIZE",
        "ReadCards",
        change_policy("ReadCards", max_request_bytes=2**30),
    ),
    Broken(
        "REQUESTS_HAVE_A_BOUNDED_SIZE",
        "UpdateDraft",
        change_policy("UpdateDraft", max_request_bytes=2**25),
        str(MAX_MESSAGE_BYTES),
    ),
    Broken(
        "CHANGES_CARRY_A_REQUEST_ID",
        "CancelTicket",
        remove_field("mediq.queue.v1.CancelTicketRequest.request_id"),
    ),
    Broken(
        "CHANGES_CARRY_A_REQUEST_ID",
        ("Logout", EXCEPTIONS),
        change_method("Logout", name="Leave"),
    ),
    Broken(
        "CHANGES_CARRY_A_REQUEST_ID",
        "Logout",
        add_field("mediq.user.v1.LogoutRequest", "request_id"),
        f"keeps the rule: take it out of {EXCEPTIONS}",
    ),
    Broken(
        "READS_CARRY_NO_REQUEST_ID",
        "GetTicket",
        add_field("mediq.queue.v1.GetTicketRequest", "request_id"),
    ),
    Broken(
        "REPETITION_IS_ALLOWED",
        "GetTicket",
        change_idempotency("GetTicket", MethodOptions.IDEMPOTENCY_UNKNOWN),
    ),
    Broken(
        "REPETITION_IS_ALLOWED",
        "LoginAdmin",
        change_idempotency("LoginAdmin", MethodOptions.IDEMPOTENT),
        "keeps the rule",
    ),
    Broken(
        "LISTS_COME_IN_PAGES",
        "ListTickets",
        remove_field("mediq.queue.v1.ListTicketsRequest.page_token"),
        "page_token",
    ),
    Broken(
        "LISTS_COME_IN_PAGES",
        "ListTickets",
        rename("mediq.queue.v1.ListTicketsResponse.next_page_token", "next"),
        "no next_page_token",
    ),
    Broken(
        "LISTS_COME_IN_PAGES",
        "ListTickets",
        add_field("mediq.queue.v1.ListTicketsResponse", "notes", repeated=True),
        "one repeated field",
    ),
]
READER = ("ReadCard", "ReadCards", "ValidateReading")
ACCESS = [
    Broken(
        "ACCESS_IS_STATED",
        "GetTicket",
        change_policy("GetTicket", access=Access.ACCESS_UNSPECIFIED),
    ),
    Broken("CALLERS_ARE_STATED", "GetTicket", change_policy("GetTicket", callers=[]), "no callers"),
    Broken(
        "CALLERS_ARE_STATED",
        "GetTicket",
        change_policy("GetTicket", callers=[Peer.PEER_EDGE, Peer.PEER_EDGE]),
        "twice",
    ),
    *(
        Broken(
            "CALLERS_ARE_STATED",
            name,
            change_policy(name, callers=[Peer.PEER_EDGE, peer]),
            "does not exist",
        )
        for name, peer in (("GetTicket", Peer.PEER_UNSPECIFIED), ("GetUser", 99))
    ),
    Broken(
        "RATE_IS_STATED",
        "GetTicket",
        change_policy("GetTicket", rate=RateClass.RATE_CLASS_UNSPECIFIED),
    ),
    Broken(
        "PERSONS_NEED_A_ROLE_OR_A_SCOPE",
        "GetTicket",
        change_policy("GetTicket", roles=[], scopes=[]),
        "no role and no scope",
    ),
    Broken(
        "PERSONS_NEED_A_ROLE_OR_A_SCOPE",
        "GetTicket",
        change_policy("GetTicket", roles=[Role.ROLE_UNSPECIFIED]),
        "nobody has",
    ),
    Broken(
        "PERSONS_NEED_A_ROLE_OR_A_SCOPE",
        "GetUser",
        change_policy("GetUser", scopes=[Scope.SCOPE_UNSPECIFIED]),
        "nobody has",
    ),
    Broken(
        "ONLY_PERSONS_HAVE_ROLES_AND_SCOPES",
        "LoginUser",
        change_policy("LoginUser", roles=[Role.ROLE_PASIEN]),
    ),
    Broken(
        "THE_EDGE_CALLS_ALL_BUT_INTERNAL_METHODS",
        "ReadCard",
        change_policy("ReadCard", callers=[Peer.PEER_EDGE]),
    ),
    Broken(
        "THE_EDGE_CALLS_ALL_BUT_INTERNAL_METHODS",
        "GetTicket",
        change_policy("GetTicket", callers=[Peer.PEER_OCR_SVC]),
    ),
    Broken(
        "ALL_BUT_INTERNAL_METHODS_HAVE_A_ROUTE", "GetTicket", change_route("GetTicket", "GET", "")
    ),
    Broken(
        "ALL_BUT_INTERNAL_METHODS_HAVE_A_ROUTE",
        "ReadCard",
        change_route("ReadCard", "POST", "/cards", "*"),
    ),
    Broken(
        "INTERNAL_METHODS_HAVE_THE_INTERNAL_RATE",
        "IssueTicket",
        change_policy("IssueTicket", rate=RateClass.RATE_CLASS_WRITE),
    ),
    Broken(
        "INTERNAL_METHODS_HAVE_THE_INTERNAL_RATE",
        "GetTicket",
        change_policy("GetTicket", rate=RateClass.RATE_CLASS_INTERNAL),
    ),
    Broken(
        "STREAMS_THROUGH_THE_EDGE_HAVE_THE_STREAM_RATE",
        "WatchTicket",
        change_policy("WatchTicket", rate=RateClass.RATE_CLASS_READ),
    ),
    Broken(
        "STREAMS_THROUGH_THE_EDGE_HAVE_THE_STREAM_RATE",
        "GetTicket",
        change_policy("GetTicket", rate=RateClass.RATE_CLASS_STREAM),
    ),
    Broken(
        "PUBLIC_CREDENTIALS_HAVE_THE_LOGIN_RATE",
        "LoginUser",
        change_policy("LoginUser", rate=RateClass.RATE_CLASS_READ),
        "nik",
    ),
    Broken(
        "CALLERS_ARE_IN_THE_CALL_GRAPH",
        "ReadCard",
        change_policy("ReadCard", callers=[Peer.PEER_EDGE]),
        "edge call ocr_engine",
    ),
    Broken(
        "CALLERS_ARE_IN_THE_CALL_GRAPH",
        "IssueTicket",
        change_policy("IssueTicket", callers=[Peer.PEER_GATEWAY]),
        "gateway call queue_svc",
    ),
    Broken(
        "THE_CALL_GRAPH_IS_USED",
        "protos",
        together(*(change_policy(name, callers=[Peer.PEER_OPS]) for name in READER)),
        "ocr_svc call ocr_engine",
    ),
    Broken(
        "STAFF_ARE_HELD_TO_THEIR_FACILITY",
        "ListTickets",
        change_policy("ListTickets", institution_field=""),
    ),
    Broken(
        "SESSIONS_FOR_ONE_THING_ARE_HELD_TO_IT",
        "GetDraft",
        change_policy("GetDraft", subject_field=""),
    ),
    Broken(
        "SUBJECTS_ARE_FOR_SCOPED_SESSIONS",
        "GetUser",
        change_policy("GetUser", subject_field="id"),
    ),
    Broken(
        "SUBJECTS_ARE_FOR_SCOPED_SESSIONS",
        "GetDraft",
        change_policy("GetDraft", scopes=[]),
    ),
    Broken(
        "POLICY_FIELDS_ARE_IDENTIFIERS_OF_THE_REQUEST",
        "ListTickets",
        change_policy("ListTickets", institution_field="page_token"),
        "page_token, which is no UUID",
    ),
    Broken(
        "POLICY_FIELDS_ARE_IDENTIFIERS_OF_THE_REQUEST",
        "GetDraft",
        change_policy("GetDraft", subject_field="draft_id"),
        "draft_id, which is not in the request",
    ),
]
AUDIT = [
    Broken(
        "AUDIT_IS_STATED",
        "GetTicket",
        change_policy("GetTicket", audit=AuditClass.AUDIT_CLASS_UNSPECIFIED),
    ),
    Broken(
        "WHAT_TELLS_OF_PERSONS_IS_AUDITED",
        "GetTicket",
        change_policy("GetTicket", audit=AuditClass.AUDIT_CLASS_NONE),
    ),
    Broken(
        "WHAT_TELLS_OF_PERSONS_IS_AUDITED",
        "ReadCard",
        change_policy("ReadCard", audit=AuditClass.AUDIT_CLASS_ACCESS),
        "keeps the rule",
    ),
    Broken(
        "CHANGES_ARE_AUDITED_WITH_THEIR_EFFECT",
        "CallTicket",
        change_policy("CallTicket", audit=AuditClass.AUDIT_CLASS_ACCESS),
    ),
    Broken(
        "CHANGES_ARE_AUDITED_WITH_THEIR_EFFECT",
        "AppendAuditEvents",
        change_policy("AppendAuditEvents", audit=AuditClass.AUDIT_CLASS_CHANGE),
        "keeps the rule",
    ),
]
ROUTES = [
    Broken(
        "VERBS_FIT_THE_EFFECT", "GetTicket", change_route("GetTicket", "POST", "/queue/{id}", "*")
    ),
    Broken(
        "VERBS_FIT_THE_EFFECT",
        "CallNextTicket",
        change_route("CallNextTicket", "GET", "/queue/next"),
    ),
    Broken("VERBS_FIT_THE_EFFECT", "RevealNik", add_route("RevealNik", "/users/{id}/nik")),
    Broken(
        "PATH_VARIABLES_ARE_VALIDATED",
        "ListTickets",
        change_route("ListTickets", "GET", "/queue/{page_token}"),
        "page_token, which is not validated",
    ),
    Broken(
        "PATH_VARIABLES_ARE_VALIDATED",
        "ListTickets",
        change_route("ListTickets", "GET", "/queue/{page_size}"),
        "page_size, which is no string",
    ),
    Broken(
        "PATH_VARIABLES_ARE_VALIDATED",
        "ListTickets",
        change_route("ListTickets", "GET", "/queue/{nothing}"),
        "nothing, which is not in the request",
    ),
    Broken(
        "NO_PERSONAL_DATA_IN_URLS",
        "UpdateTicketStatus",
        change_route("UpdateTicketStatus", "PATCH", "/queue/{reason}", "*"),
        "/queue/{reason}",
    ),
    Broken(
        "NO_PERSONAL_DATA_IN_URLS",
        "UpdateTicketStatus",
        change_route("UpdateTicketStatus", "PATCH", "/queue/{id}/status", "status"),
        "reason in the URL",
    ),
    Broken(
        "ROUTES_ARE_UNIQUE",
        ("ListTickets", "GetTicket"),
        change_route("ListTickets", "GET", "/queue/{service_id}"),
        "GET /queue/{}",
    ),
    Broken(
        "ORIGINAL_ROUTES_EXIST",
        "protos",
        change_route("ListMyTickets", "GET", "/queue/mine"),
        "GET /queue/my-queue",
    ),
]
BROKEN = [*METHODS, *ACCESS, *AUDIT, *ROUTES]
