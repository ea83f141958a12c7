"""The use case that erases again what a restored backup has brought back."""

from collections.abc import Sequence
from datetime import datetime

from mediq.audit.v1.audit_pb2 import AuditAct

from mesh.audit_trail.events import command_event
from mesh.clock import Clock
from mesh.contract.audit_fields import MAX_IDENTIFIERS
from mesh.contract.validation import validate
from ocr_svc.application.unit_of_work import UnitOfWork, UnitsOfWork
from ocr_svc.persistence.erasure_repository import Replayed


async def replay_erasures(
    units: UnitsOfWork, service: str, since: datetime, reason: str, clock: Clock
) -> tuple[int, Sequence[str]]:
    """Begins every erasure again of which a step was done at or after a moment.

    A step that nothing has undone finds nothing to do. Each page goes into the audit trail in its
    own transaction; a running service does the steps and sends the events.

    Args:
        units: Opens the erasures.
        service: The service's name, for the audit trail.
        since: The moment.
        reason: Why, for the audit trail.
        clock: Gives the time.

    Returns:
        How many begin again, and the identifiers of those whose account is not known any more.

    Raises:
        MeshError: INVALID_REQUEST: the reason is too long. Or the database does not answer: what
            began again before stays so.
    """
    again, lost, after = 0, list[str](), ""
    while True:
        found = await units.write(replay_page, service, since, after, reason, clock)
        again += len(found.persons)
        lost += found.lost
        if found.last is None:
            return again, lost
        after = found.last


def replay_page(
    unit: UnitOfWork, service: str, since: datetime, after: str, reason: str, clock: Clock
) -> Replayed:
    """Begins the erasures of one page again, and writes that into the audit trail.

    Args:
        unit: The unit of work.
        service: The service's name, for the audit trail.
        since: The moment.
        after: The identifier after which the page begins; empty for the first page.
        reason: Why, for the audit trail.
        clock: Gives the time.

    Raises:
        MeshError: INVALID_REQUEST: the reason is too long.
    """
    found = unit.erasures.replay(since, after, MAX_IDENTIFIERS, clock())
    if found.persons or not after:
        event = command_event(
            service,
            "data-rights replay",
            AuditAct.AUDIT_ACT_CHANGE,
            clock,
            persons=found.persons,
            reason=reason,
        )
        validate(event)
        unit.record_event(event)
    return found
