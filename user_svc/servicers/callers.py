"""Who is behind the call in progress."""

from mediq.policy.v1.policy_pb2 import Role

from mesh.contract.access_scope import AccessScope
from mesh.contract.call import current_call, principal
from mesh.contract.methods import peer_name
from user_svc.application.logins.staff_sessions import SessionViewer


def caller_scope() -> AccessScope:
    """Returns what exists for the person behind the call."""
    return AccessScope.of(principal())


def session_viewer() -> SessionViewer:
    """Returns whose sessions exist for the person behind the call."""
    administers = caller_scope() if principal().role == Role.ROLE_ADMIN_FASKES else None
    return SessionViewer(principal().subject, administers)


def calling_service() -> str:
    """Returns the service behind the call; empty outside of one."""
    call = current_call()
    return "" if call is None else peer_name(call.peer)
