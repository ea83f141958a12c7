"""The tables of who may call what, made from the contracts.

`python -m tools.generation.access` prints them.
tests/attacks/test_matrix.py makes every one of these calls against the running mesh.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from mediq.policy.v1.policy_pb2 import Access, AuditClass, RateClass, Role, Scope

from mesh.contract.methods import SERVERS, Method, methods_of, peer_name, role_name, scope_name

ROLES = (Role.ROLE_PASIEN, Role.ROLE_OPERATOR, Role.ROLE_ADMIN_FASKES)
SCOPES = (Scope.SCOPE_REGISTRATION, Scope.SCOPE_TICKETS, Scope.SCOPE_DATA_RIGHTS)
STAFF = (Role.ROLE_OPERATOR, Role.ROLE_ADMIN_FASKES)

HEAD = """# Who may call what

Made from the policies in `protos/` by `make gen`; `make check` compares.
What is not in a row is refused: by the edge, and again by the service itself.

- Columns of roles and sessions: `x` may call. A session without a role is scoped: it opens one
  registration draft, one patient's tickets or the rights of one patient over their data. *public*
  needs no token; *service* takes no person at all.
- Callers: parties whose certificate is accepted. `ops` is a person's tool with its own certificate.
- Held to: the request field that must name the caller's facility (staff) or the thing that a scoped
  session was issued for.
- Repeat: whether a call that met UNAVAILABLE may be sent again.
- Audit: what the audit trail keeps of a call (audit.md): who saw whose data, or who changed what.
"""
MATRIX_HEAD = """## Whose data

What each caller gets, through Envoy and at the port of the service alike. `tests/attacks` makes
every call of this table against the running mesh and compares.

- `x`: the call reaches its handler, which may still refuse what a rule of its own forbids.
- `401`, `403`, `404`: refused with UNAUTHENTICATED, PERMISSION_DENIED or NOT_FOUND. What belongs to
  somebody else does not exist for a caller, unless the request names its owner.
- Two results: for what is the caller's own, and for somebody else's. The own of staff is what is
  their facility's, the own of a patient or scoped session what is this patient's or draft's.
- Calls between services (no REST route) take no person.
"""
OWNED = frozenset({"queue", "journeys", "users", "sessions"})
"""Collections, as they stand in REST paths, whose objects exist only for those they belong to."""


class Verdict(StrEnum):
    """Says what becomes of a call."""

    PASSES = "x"
    UNAUTHENTICATED = "401"
    PERMISSION_DENIED = "403"
    NOT_FOUND = "404"


@dataclass(frozen=True)
class Caller:
    """Describes a kind of person, or a scoped session."""

    name: str
    role: Role.ValueType = Role.ROLE_UNSPECIFIED
    scope: Scope.ValueType = Scope.SCOPE_UNSPECIFIED
    whole_network: bool = False


CALLERS = (
    Caller("nobody"),
    *(Caller(role_name(role), role=role) for role in ROLES),
    Caller("network administrator", role=Role.ROLE_ADMIN_FASKES, whole_network=True),
    *(Caller(f"session {scope_name(scope)}", scope=scope) for scope in SCOPES),
)
"""Everyone who may try."""


def collection_of(method: Method) -> str:
    """Returns the collection that `id` is from: what stands before it in the REST path."""
    found = (re.search(r"([a-z-]+)/{id}", rule.path) for rule in method.rules)
    return next((match[1] for match in found if match), "")


def names_owned(method: Method) -> bool:
    """Tells whether a request names an object that exists only for those it belongs to."""
    fields = method.input.fields_by_name
    return ("id" in fields and collection_of(method) in OWNED) or "user_id" in fields


def verdict(method: Method, caller: Caller, own: bool) -> Verdict:
    """Returns what becomes of a call, by the method's policy and what its request names.

    Args:
        method: The method.
        caller: Who calls.
        own: Whether the request names what is the caller's own.
    """
    policy = method.policy
    if policy.access == Access.ACCESS_PUBLIC:
        return Verdict.PASSES
    if policy.access == Access.ACCESS_SERVICE:
        return Verdict.PERMISSION_DENIED
    if not caller.role and not caller.scope:
        return Verdict.UNAUTHENTICATED
    if caller.role not in policy.roles and caller.scope not in policy.scopes:
        return Verdict.PERMISSION_DENIED
    return Verdict.PASSES if own or caller.whole_network else _of_somebody_else(method, caller)


def _of_somebody_else(method: Method, caller: Caller) -> Verdict:
    policy = method.policy
    if policy.subject_field or (policy.institution_field and caller.role in STAFF):
        return Verdict.PERMISSION_DENIED
    if names_owned(method):
        return Verdict.NOT_FOUND
    names_patient = "patient_id" in method.input.fields_by_name
    return Verdict.PERMISSION_DENIED if names_patient else Verdict.PASSES


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(method: Method) -> Iterator[str]:
    policy = method.policy
    yield method.name
    yield "<br>".join(f"`{rule.verb} {rule.path}`" for rule in method.rules) or "-"
    if policy.access == Access.ACCESS_USER:
        yield from ("x" if role in policy.roles else "" for role in ROLES)
        yield from ("x" if scope in policy.scopes else "" for scope in SCOPES)
    else:
        kind = Access.Name(policy.access).removeprefix("ACCESS_").lower()
        yield from [f"*{kind}*"] * (len(ROLES) + len(SCOPES))
    yield ", ".join(peer_name(caller) for caller in policy.callers)
    held = (policy.institution_field, policy.subject_field)
    yield ", ".join(f"`{field}`" for field in held if field) or "-"
    yield RateClass.Name(policy.rate).removeprefix("RATE_CLASS_")
    yield "-" if method.deadline_seconds is None else f"{method.deadline_seconds:g} s"
    yield "yes" if method.retriable else "no"
    yield AuditClass.Name(policy.audit).removeprefix("AUDIT_CLASS_").replace("NONE", "-")


def matrix_cell(method: Method, caller: Caller) -> str:
    """Returns the verdicts of one caller: one, or one for the own and one for others'."""
    verdicts = (verdict(method, caller, own) for own in (True, False))
    return " / ".join(dict.fromkeys(verdicts))


def _table(title: str, titles: list[str], rows: list[str]) -> str:
    return "\n".join([title, "", _row(titles), _row(["---"] * len(titles)), *rows]) + "\n"


def render() -> str:
    """Renders the document docs/reference/access.md, the same at every call."""
    titles = [
        *("RPC", "REST"),
        *(role_name(role) for role in ROLES),
        *(f"session {scope_name(scope)}" for scope in SCOPES),
        *("Callers", "Held to", "Rate", "Deadline", "Repeat", "Audit"),
    ]
    parts = [HEAD]
    for server in SERVERS:
        rows = [_row(_cells(method)) for method in methods_of(server)]
        parts.append(_table(f"## {server}", titles, rows))
    parts.append(MATRIX_HEAD)
    for server in SERVERS:
        rows = [
            _row([f"`{method.name}`", *(matrix_cell(method, caller) for caller in CALLERS)])
            for method in methods_of(server)
        ]
        parts.append(_table(f"### {server}", ["RPC", *(one.name for one in CALLERS)], rows))
    return "\n".join(parts)


if __name__ == "__main__":
    print(render(), end="")
