"""The table of who may call what, made from the contracts: `python -m tools.access` prints it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mediq.policy.v1.policy_pb2 import Access, RateClass, Role, Scope

from mesh.contracts import SERVICES, Method, methods_of, peer_name, role_name, scope_name

ROLES = (Role.ROLE_PASIEN, Role.ROLE_OPERATOR, Role.ROLE_ADMIN_FASKES)
SCOPES = (Scope.SCOPE_REGISTRATION, Scope.SCOPE_TICKETS)

HEAD = """# Who may call what

Made from the policies in `protos/` by `python -m tools.access > docs/access.md`; a test compares.
What is not in a row is refused: by the edge, and again by the service itself.

- Columns of roles and sessions: `x` may call. A session is narrow: it opens one registration draft
  or one patient's tickets. *public* needs no token; *service* takes no person at all.
- Callers: parties whose certificate is accepted. `ops` is a person's tool with its own certificate.
- Held to: the request field that must name the caller's facility (staff) or the thing that a narrow
  session was issued for.
- Repeat: whether a call that met UNAVAILABLE may be sent again.
"""


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


def render() -> str:
    """The document docs/access.md, the same at every call."""
    titles = [
        *("RPC", "REST"),
        *(role_name(role) for role in ROLES),
        *(f"session {scope_name(scope)}" for scope in SCOPES),
        *("Callers", "Held to", "Rate", "Deadline", "Repeat"),
    ]
    parts = [HEAD]
    for server in SERVICES:
        rows = [_row(_cells(method)) for method in methods_of(server)]
        lines = [f"## {server}", "", _row(titles), _row(["---"] * len(titles)), *rows]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(render(), end="")
