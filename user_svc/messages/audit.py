"""The audit trail as messages, and the other way round."""

import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from mediq.audit.v1.audit_pb2 import AuditEntry
from mediq.audit.v1.audit_service_pb2 import PersonAccess, TouchedPerson

from mesh.clock import timestamp
from mesh.errors import invalid
from user_svc.domain.audit_trail import Touched

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999, in seconds since the epoch: the last one that a Timestamp may name."""


def time_of(stamp: Timestamp, field: str) -> datetime.datetime:
    """Returns a Timestamp as an aware time; what is finer than a microsecond is cut off.

    Raises:
        MeshError: INVALID_ARGUMENT with reason TIME_INVALID: before 1970 or after 9999.
    """
    if not (0 <= stamp.seconds <= _LAST_SECOND and 0 <= stamp.nanos < 10**9):
        raise invalid(field, "not a time from 1970 to 9999", "TIME_INVALID")
    return _EPOCH + datetime.timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def touched_message(person: Touched) -> TouchedPerson:
    """Returns a person who was touched as others see it."""
    return TouchedPerson(
        user_id=person.person_id,
        accesses=person.accesses,
        changes=person.changes,
        first_time=timestamp(person.first),
        last_time=timestamp(person.last),
    )


def access_message(entry: AuditEntry, person_id: str) -> PersonAccess:
    """Returns the entry as the person sees it: staff stay unnamed."""
    event = entry.event
    return PersonAccess(
        occur_time=event.occur_time,
        act=event.act,
        method=event.method,
        role=event.actor.role,
        # A session that a draft was issued for is nobody's own: anyone may hold up a card.
        self=event.actor.id.lower() == person_id,
        institution_id=event.actor.institution_id,
        reason=event.reason,
    )
