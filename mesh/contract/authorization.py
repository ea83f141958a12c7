"""Authorization: one decision for every method, from its policy alone."""

from google.protobuf.message import Message
from mediq.policy.v1.policy_pb2 import Access, AuditClass, Peer

from mesh.contract.call import Principal
from mesh.contract.methods import Method, peer_name
from mesh.errors import MeshError, StatusCode, forbidden

__all__ = [
    "authorize",
    "authorize_peer",
    "require_policy",
]


def authorize_peer(method: Method, peer: Peer.ValueType) -> None:
    """Refuses a caller whose certificate is not listed.

    Raises:
        MeshError: PERMISSION_DENIED with reason CALLER_NOT_ALLOWED.
    """
    if peer not in method.policy.callers:
        raise forbidden(f"{peer_name(peer)} may not call {method.name}", "CALLER_NOT_ALLOWED")


def authorize(method: Method, principal: Principal | None, request: Message) -> None:
    """Refuses a person whose role, scope, facility or subject does not fit.

    Raises:
        MeshError: UNAUTHENTICATED with TOKEN_MISSING; PERMISSION_DENIED with ROLE_NOT_ALLOWED,
            OTHER_INSTITUTION or OTHER_SUBJECT.
    """
    policy = method.policy
    if policy.access != Access.ACCESS_USER:
        return
    if principal is None:
        raise MeshError("sign in first", StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")
    if principal.role not in policy.roles and principal.scope not in policy.scopes:
        raise forbidden(f"your role may not call {method.name}", "ROLE_NOT_ALLOWED")
    if policy.institution_field and principal.is_staff:
        institution = getattr(request, policy.institution_field)
        if not principal.may_act_for(institution):
            raise forbidden("this facility is not yours", "OTHER_INSTITUTION")
    if policy.subject_field and getattr(request, policy.subject_field) != principal.subject:
        raise forbidden("this session was issued for something else", "OTHER_SUBJECT")


def require_policy(methods: dict[str, Method], path: str) -> Method:
    """Returns the method at `path`, if it has a whole policy.

    Raises:
        LookupError: The method has none: it must not be served.
    """
    method = methods.get(path)
    if (
        method is None
        or method.policy.access == Access.ACCESS_UNSPECIFIED
        or method.policy.audit == AuditClass.AUDIT_CLASS_UNSPECIFIED
    ):
        raise LookupError(f"{path} has no policy in the contracts: it cannot be registered")
    return method
