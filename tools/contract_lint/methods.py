"""Rules on the shape of methods: who serves them, how long they take, how they are repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mediq.policy.v1.policy_pb2 import Peer

from mesh.contract.methods import MAX_MESSAGE_BYTES, Method
from tools.contract_lint.contracts import SOURCES, Contracts
from tools.contract_lint.exceptions import WITHOUT_IDEMPOTENCY, WITHOUT_REQUEST_ID
from tools.contract_lint.rules import each_method, whole

LONGEST_SECONDS = 30.0
LARGEST_REQUEST_BYTES = 64 * 1024 * 1024
"""More than any method needs, and what one call may cost a server in memory."""


@each_method()
def methods_are_served(method: Method) -> Iterator[str]:
    """Demands a server for each method: a client of one without would only meet UNIMPLEMENTED."""
    if not method.server:
        yield "is served by no server"


@whole
def servers_offer_something(contracts: Contracts) -> Iterator[tuple[str, str]]:
    """Demands a method of each server: one without is a process that nobody can use."""
    for server in contracts.servers:
        if not any(method.server == server for method in contracts.methods):
            yield SOURCES, f"{server} offers no method"


@whole
def method_names_are_unique(contracts: Contracts) -> Iterator[tuple[str, str]]:
    """Demands different names, because logs, metrics and documents leave the service out."""
    names = Counter(method.name for method in contracts.methods)
    for method in contracts.methods:
        if names[method.name] > 1:
            yield method.descriptor.full_name, "has the name of another method"


@whole
def requests_belong_to_one_method(contracts: Contracts) -> Iterator[tuple[str, str]]:
    """Demands a request message for each method: a shared one could not grow for one of them."""
    requests = Counter(method.input.full_name for method in contracts.methods)
    for method in contracts.methods:
        if requests[method.input.full_name] > 1:
            yield (
                method.descriptor.full_name,
                f"shares {method.input.full_name} with another method",
            )


@each_method()
def calls_have_a_bounded_deadline(method: Method) -> Iterator[str]:
    """Demands a deadline of each call: a server that hangs would otherwise hold its callers."""
    if not method.streaming:
        seconds = method.deadline_seconds
        if seconds is None:
            yield "has no deadline"
        elif not 0 < seconds <= LONGEST_SECONDS:
            yield f"has a deadline of {seconds:g} s, not of 0 to {LONGEST_SECONDS:g} s"


@each_method()
def streams_have_no_deadline(method: Method) -> Iterator[str]:
    """Refuses deadlines of streams, because a board watches for as long as it hangs on the wall."""
    if method.streaming and method.deadline_seconds is not None:
        yield "is a stream with a deadline"


@each_method()
def requests_are_not_streamed(method: Method) -> Iterator[str]:
    """Refuses streams of requests: size limits, validation and repetition are for one message."""
    if method.descriptor.client_streaming:
        yield "takes a stream of requests"


@each_method()
def requests_have_a_bounded_size(method: Method) -> Iterator[str]:
    """Bounds requests, because a server holds them in memory; Envoy has one bound for all."""
    if method.max_request_bytes > LARGEST_REQUEST_BYTES:
        yield f"takes requests of more than {LARGEST_REQUEST_BYTES} bytes"
    elif Peer.PEER_EDGE in method.policy.callers and method.max_request_bytes != MAX_MESSAGE_BYTES:
        yield f"is called through the edge and has another limit than {MAX_MESSAGE_BYTES} bytes"


@each_method(WITHOUT_REQUEST_ID)
def changes_carry_a_request_id(method: Method) -> Iterator[str]:
    """Demands a request_id of changes, so that a repetition after a lost answer does no harm."""
    if method.mutating and "request_id" not in method.input.fields_by_name:
        yield "changes something and its request has no request_id"


@each_method()
def reads_carry_no_request_id(method: Method) -> Iterator[str]:
    """Refuses a request_id that nothing would look at, because it promises what is not done."""
    if not method.mutating and "request_id" in method.input.fields_by_name:
        yield "changes nothing and its request has a request_id"


@each_method(WITHOUT_IDEMPOTENCY)
def repetition_is_allowed(method: Method) -> Iterator[str]:
    """Demands an idempotency_level, because clients and Envoy repeat only what states one."""
    if not method.retriable:
        yield "states no idempotency_level"


@each_method()
def lists_come_in_pages(method: Method) -> Iterator[str]:
    """Demands pages of each list: all rows in one answer work until a facility is large."""
    if method.name.startswith("List"):
        if not {"page_size", "page_token"} <= set(method.input.fields_by_name):
            yield "is a list and its request has no page_size and page_token"
        answer = method.descriptor.output_type
        if [field.is_repeated for field in answer.fields] != [True, False]:
            yield "is a list and does not answer with one repeated field and one other"
        if "next_page_token" not in answer.fields_by_name:
            yield "is a list and its answer has no next_page_token"
