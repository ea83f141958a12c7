"""The queries of the audit trail: entries, and the persons who were touched."""

import datetime
from collections.abc import Sequence
from typing import Any

from mediq.audit.v1.audit_pb2 import AuditAct
from sqlalchemy import ColumnElement, Row, and_, case, func, or_, select
from sqlalchemy.orm import Session

from mesh.audit_trail.recorder import ACCESS_SECONDS
from user_svc.domain.audit_trail import Filter, Touched, TouchedFilter
from user_svc.persistence.audit_models import AUDIT_ENTRIES, AUDIT_PERSONS, TIME_INDEX

ACCESS_WINDOW = datetime.timedelta(seconds=ACCESS_SECONDS)
"""How many repeated accesses one event of act ACCESS stands for, after its time. A service that
shows the same data to the same person again within this time writes no further event, so whom
somebody accessed during a window may be in an event from before the window."""
_ENTRY = AUDIT_ENTRIES.c
_PERSON = AUDIT_PERSONS.c


def entries(session: Session, wanted: Filter, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Reads rows of AUDIT_ENTRIES, newest first.

    Args:
        session: The unit of work.
        wanted: Which ones.
        before: Position that the page stays below; None for the first page.
        limit: Most rows.
    """
    query = select(_ENTRY.position).where(*_who(wanted.actor_id, wanted.institution_id))
    position: ColumnElement[int] = _ENTRY.position
    if wanted.person_id:
        # By the position of this table, the order of its key serves the page.
        position = _PERSON.position
        query = query.join(AUDIT_PERSONS, _PERSON.position == _ENTRY.position)
        query = query.where(_PERSON.person_id == wanted.person_id)
    elif wanted.end is not None:
        # MariaDB would walk back from the newest entry until it comes to the window.
        query = query.with_hint(AUDIT_ENTRIES, f"FORCE INDEX ({TIME_INDEX})", "mysql")
    if wanted.start is not None:
        query = query.where(_ENTRY.occur_time >= wanted.start)
    if wanted.end is not None:
        query = query.where(_ENTRY.occur_time < wanted.end)
    if before is not None:
        query = query.where(position < before)
    page = query.order_by(position.desc()).limit(limit).subquery()
    rows = select(AUDIT_ENTRIES).join(page, page.c.position == _ENTRY.position)
    return session.execute(rows.order_by(_ENTRY.position.desc())).all()


def touched(session: Session, wanted: TouchedFilter, after: str, limit: int) -> list[Touched]:
    """Reads the persons whose data were seen or changed in a window, by identifier.

    An access counts when any of those that it stands for may have been in the window
    (ACCESS_WINDOW). Who was refused has touched nobody.

    Args:
        session: The unit of work.
        wanted: Which window, and by whom.
        after: The person after whom the page begins; empty for the first page.
        limit: Most persons.
    """
    access, change = (
        _ENTRY.act == act for act in (AuditAct.AUDIT_ACT_ACCESS, AuditAct.AUDIT_ACT_CHANGE)
    )
    query = (
        select(
            _PERSON.person_id,
            func.sum(case((access, 1), else_=0)).label("accesses"),
            func.sum(case((change, 1), else_=0)).label("changes"),
            func.min(_ENTRY.occur_time).label("first"),
            func.max(_ENTRY.occur_time).label("last"),
        )
        .join(AUDIT_ENTRIES, _PERSON.position == _ENTRY.position)
        .where(
            *_who(wanted.actor_id, wanted.institution_id),
            _ENTRY.occur_time > wanted.start - ACCESS_WINDOW,
            _ENTRY.occur_time < wanted.end,
            or_(access, and_(change, _ENTRY.occur_time >= wanted.start)),
        )
    )
    if after:
        query = query.where(_PERSON.person_id > after)
    query = query.group_by(_PERSON.person_id).order_by(_PERSON.person_id).limit(limit)
    return [
        Touched(row.person_id, int(row.accesses), int(row.changes), row.first, row.last)
        for row in session.execute(query)
    ]


def record_time(session: Session, position: int) -> datetime.datetime | None:
    """Returns when the entry at a position came into the trail; None when there is none."""
    return session.scalar(select(_ENTRY.record_time).where(_ENTRY.position == position))


def _who(actor_id: str, institution_id: str) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if actor_id:
        conditions.append(_ENTRY.actor_id == actor_id)
    if institution_id:
        conditions.append(_ENTRY.institution_id == institution_id)
    return conditions
