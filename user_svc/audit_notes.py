"""What logins tell the audit trail. Who signs in stands in no token yet."""

from mediq.audit.v1.audit_pb2 import AuditAct, AuditEvent

from mesh.audit import call_event
from mesh.context import Call
from user_svc.domain import Account
from user_svc.translate import role_message


def by_account(
    call: Call, account: Account, session_id: str = "", *, refusal: str = ""
) -> AuditEvent:
    """What staff did with their own account before a token said who they are.

    Args:
        call: The call.
        account: The account.
        session_id: The session that it opened or used.
        refusal: Why it was refused.
    """
    act = AuditAct.AUDIT_ACT_REFUSED if refusal else AuditAct.AUDIT_ACT_CHANGE
    event = call_event(call, act, (), persons=[account.id], refusal=refusal)
    event.actor.id, event.actor.role = account.id, role_message(account.role)
    event.actor.institution_id = event.institution_id = account.institution_id
    event.actor.session_id = session_id
    return event


def by_nobody_known(call: Call, refusal: str) -> AuditEvent:
    """A login that no account has."""
    return call_event(call, AuditAct.AUDIT_ACT_REFUSED, (), refusal=refusal)
