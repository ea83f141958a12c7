"""What is known about the call in progress, for handlers and for outgoing calls."""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from mediq.policy.v1.policy_pb2 import Peer, Role, Scope

from mesh.contract.methods import Method
from mesh.errors import MeshError, StatusCode, forbidden

__all__ = [
    "CLIENT_ADDRESS",
    "Call",
    "Principal",
    "current_call",
    "enter_call",
    "principal",
    "require_institution",
]

CLIENT_ADDRESS = "x-mediq-client-address"
"""Request header with the caller's address. The edge sets it, and drops what a client sends."""


@dataclass(frozen=True)
class Principal:
    """Describes the person or scoped session behind an access token."""

    subject: str
    """Account, or the draft that a registration session was issued for."""
    role: Role.ValueType
    """Role of the account; ROLE_UNSPECIFIED for scoped sessions."""
    scope: Scope.ValueType
    """Scope of a scoped session; SCOPE_UNSPECIFIED for accounts."""
    institution_id: str
    """Facility of staff. Empty for patients and network administrators."""
    session_id: str
    """Session that the token belongs to."""
    expires_at: float
    """When the token ends, in seconds since the epoch."""
    issued_at: float = 0.0
    """When the token was signed, in whole seconds since the epoch."""

    @property
    def is_staff(self) -> bool:
        """Returns whether the person works for a facility or for the network."""
        return self.role in (Role.ROLE_OPERATOR, Role.ROLE_ADMIN_FASKES)

    @property
    def is_network_admin(self) -> bool:
        """Returns whether the person administers every facility."""
        return self.role == Role.ROLE_ADMIN_FASKES and not self.institution_id

    def may_act_for(self, institution_id: str) -> bool:
        """Returns whether staff may act for this facility."""
        return self.is_network_admin or (
            self.is_staff and bool(institution_id) and self.institution_id == institution_id
        )


@dataclass
class Call:
    """Holds what is known of one call that a server is working on."""

    method: Method
    peer: Peer.ValueType
    trace_id: str
    deadline: float | None
    """When the call must be answered, on the monotonic clock; None for streams."""
    principal: Principal | None = None
    address: str = field(default="", repr=False)
    """Network address of the caller, as the edge saw it. Empty for calls between services."""
    persons: dict[str, None] = field(default_factory=dict)
    """Accounts that the call is about and that its messages do not name."""
    objects: dict[str, None] = field(default_factory=dict)
    """Things that the call is about and that its messages do not name."""

    def remaining_seconds(self) -> float | None:
        """Returns the seconds left; None without a deadline."""
        return None if self.deadline is None else self.deadline - time.monotonic()


_call: ContextVar[Call | None] = ContextVar("mediq_call", default=None)


def current_call() -> Call | None:
    """Returns the call in progress; None outside of one (start-up, background work)."""
    return _call.get()


def enter_call(call: Call) -> None:
    """Makes `call` the call in progress of the running task."""
    _call.set(call)


def principal() -> Principal:
    """Returns the person behind the call in progress.

    Raises:
        MeshError: UNAUTHENTICATED when no token came with the call.
    """
    call = _call.get()
    if call is None or call.principal is None:
        raise MeshError("sign in first", StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")
    return call.principal


def require_institution(institution_id: str) -> None:
    """Refuses staff of another facility.

    Raises:
        MeshError: PERMISSION_DENIED with reason OTHER_INSTITUTION.
    """
    if not principal().may_act_for(institution_id):
        raise forbidden("this facility is not yours", "OTHER_INSTITUTION")
