"""The events of the audit trail: what is kept of a call, and of a command beside a service."""

import os
import pwd
import uuid
from collections.abc import Iterable

from google.protobuf.message import Message
from mediq.audit.v1.audit_pb2 import AuditAct, AuditActor, AuditEvent

from mesh.clock import Clock, timestamp
from mesh.contract.audit_fields import MAX_IDENTIFIERS, Subjects, subjects_of
from mesh.contract.call import Call, current_call
from mesh.contract.methods import peer_name

__all__ = [
    "annotate",
    "call_event",
    "command_event",
    "event_about",
    "facility_of_call",
    "subjects_of_call",
]

COMMAND = "command"
"""The peer of what a command beside the service does."""


def annotate(*, persons: Iterable[str] = (), objects: Iterable[str] = ()) -> None:
    """Tells whom and what the call in progress is about, where its messages do not.

    Outside of a call it does nothing.
    """
    call = current_call()
    if call is not None:
        call.persons.update(dict.fromkeys(persons))
        call.objects.update(dict.fromkeys(objects))


def call_event(
    call: Call,
    act: AuditAct.ValueType,
    messages: Iterable[Message],
    clock: Clock,
    *,
    persons: Iterable[str] = (),
    objects: Iterable[str] = (),
    refusal: str = "",
) -> AuditEvent:
    """Makes the event of a call.

    Args:
        call: The call.
        act: What kind of thing happened.
        messages: The request, and the answer if there is one.
        clock: Dates the event.
        persons: Accounts that it is about and that the messages do not name.
        objects: Things that it is about and that the messages do not name.
        refusal: Why it was refused.
    """
    subjects = subjects_of_call(call, messages)
    subjects.persons.update(dict.fromkeys(persons))
    subjects.objects.update(dict.fromkeys(objects))
    return event_about(call, act, subjects, clock, refusal)


def command_event(
    service: str,
    command: str,
    act: AuditAct.ValueType,
    clock: Clock,
    *,
    persons: Iterable[str] = (),
    institution_id: str = "",
    reason: str = "",
) -> AuditEvent:
    """Makes the event of a command beside a service, by the login on the machine that runs it.

    Args:
        service: The service whose data it touches.
        command: Its words, such as `admin create`.
        act: What kind of thing it does.
        clock: Dates the event.
        persons: Accounts whose data it touches.
        institution_id: Facility that it is about; empty for none.
        reason: Why.
    """
    return AuditEvent(
        id=str(uuid.uuid4()),
        occur_time=timestamp(clock()),
        service=service,
        method=command,
        act=act,
        actor=AuditActor(peer=COMMAND, login=_login()),
        person_ids=list(persons),
        institution_id=institution_id,
        reason=reason,
    )


def _login() -> str:
    """Returns the name on the machine of who runs the command; a user without one is a number."""
    # Not getpass.getuser, which believes the environment.
    try:
        return pwd.getpwuid(os.getuid()).pw_name[:64]
    except KeyError:
        return str(os.getuid())


def subjects_of_call(call: Call, messages: Iterable[Message]) -> Subjects:
    """Returns what a call is about: what its messages name, and what `annotate` has added."""
    subjects = subjects_of(messages)
    subjects.persons.update(call.persons)
    subjects.objects.update(call.objects)
    return subjects


def _actor(call: Call) -> AuditActor:
    actor = AuditActor(peer=peer_name(call.peer), address=call.address)
    who = call.principal
    if who is not None:
        actor.id, actor.session_id = who.subject, who.session_id
        actor.role, actor.scope = who.role, who.scope
        actor.institution_id = who.institution_id
    return actor


def facility_of_call(call: Call, subjects: Subjects) -> str:
    """Returns the facility that a call belongs to; empty: none."""
    if len(subjects.institutions) == 1:
        return next(iter(subjects.institutions))
    # Of several facilities, none is the one that it belongs to: then it is the actor's.
    return "" if call.principal is None else call.principal.institution_id


def event_about(
    call: Call, act: AuditAct.ValueType, subjects: Subjects, clock: Clock, refusal: str = ""
) -> AuditEvent:
    """Makes the event of a call about `subjects`; see `call_event`."""
    return AuditEvent(
        id=str(uuid.uuid4()),
        occur_time=timestamp(clock()),
        service=call.method.server,
        method=call.method.name,
        act=act,
        actor=_actor(call),
        person_ids=list(subjects.persons)[:MAX_IDENTIFIERS],
        object_ids=list(subjects.objects)[:MAX_IDENTIFIERS],
        institution_id=facility_of_call(call, subjects),
        reason=subjects.reason,
        refusal=refusal,
        trace=call.trace_id,
    )
