"""The audit events of logins. Who signs in stands in no token yet."""

from collections.abc import Sequence

from mediq.audit.v1.audit_pb2 import AuditAct, AuditEvent
from mediq.policy.v1.policy_pb2 import Scope

from mesh.audit_trail.events import call_event
from mesh.clock import Clock
from mesh.contract.call import Call
from user_svc.domain.accounts import Account
from user_svc.messages.accounts import role_message


def account_event(
    call: Call, account: Account, clock: Clock, session_id: str = "", *, refusal: str = ""
) -> AuditEvent:
    """Returns what staff did with their own account before a token said who they are.

    Args:
        call: The call.
        account: The account.
        clock: Dates the event.
        session_id: The session that it opened or used.
        refusal: Why it was refused.
    """
    act = AuditAct.AUDIT_ACT_REFUSED if refusal else AuditAct.AUDIT_ACT_CHANGE
    event = call_event(call, act, (), clock, persons=[account.id], refusal=refusal)
    event.actor.id, event.actor.role = account.id, role_message(account.role)
    event.actor.institution_id = event.institution_id = account.institution_id
    event.actor.session_id = session_id
    return event


def patient_login_event(call: Call, account_id: str, session_id: str, clock: Clock) -> AuditEvent:
    """Returns that a patient signed in."""
    event = call_event(call, AuditAct.AUDIT_ACT_CHANGE, (), clock, persons=[account_id])
    event.actor.id, event.actor.session_id = account_id, session_id
    event.actor.scope = Scope.SCOPE_TICKETS
    return event


def refused_login_event(
    call: Call, refusal: str, clock: Clock, persons: Sequence[str] = ()
) -> AuditEvent:
    """Returns that somebody tried to sign in and was refused.

    Args:
        call: The call.
        refusal: Why.
        clock: Dates the event.
        persons: Whom they said they are, if that is somebody.
    """
    return call_event(call, AuditAct.AUDIT_ACT_REFUSED, (), clock, persons=persons, refusal=refusal)
