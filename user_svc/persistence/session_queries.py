"""Queries of sessions: which are open, and what ended lately."""

import datetime
from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from mesh.identity.revocations import Revocation
from mesh.identity.signing_keys import LONGEST_TOKEN_SECONDS
from mesh.identity.tokens import LEEWAY_SECONDS
from user_svc.domain.accounts import End
from user_svc.persistence.models import RefreshTokenRow, SessionRow, UserRow

TOKEN_LIFE = datetime.timedelta(seconds=LONGEST_TOKEN_SECONDS)
LEEWAY = datetime.timedelta(seconds=LEEWAY_SECONDS)
LOGIN_UNDER_WAY = datetime.timedelta(seconds=1)
"""A login may read the old name just before a correction and sign its token this much later."""


@dataclass(frozen=True)
class OpenSession:
    """A session that can be renewed."""

    id: str
    user_id: str
    create_time: datetime.datetime
    use_time: datetime.datetime
    """When it was last renewed; its beginning when it never was."""
    expire_time: datetime.datetime


def page(
    session: Session,
    user_id: str,
    after: tuple[datetime.datetime, str] | None,
    limit: int,
    now: datetime.datetime,
) -> list[OpenSession]:
    """Open sessions of an account, newest first, from the one after `after` (create time, id)."""
    used = (
        select(func.max(RefreshTokenRow.use_time))
        .where(RefreshTokenRow.session_id == SessionRow.id)
        .scalar_subquery()
    )
    query = select(SessionRow, used).where(
        SessionRow.user_id == user_id, SessionRow.end_time.is_(None), SessionRow.expire_time > now
    )
    if after is not None:
        time, identifier = after
        query = query.where(
            (SessionRow.create_time < time)
            | ((SessionRow.create_time == time) & (SessionRow.id < identifier))
        )
    query = query.order_by(SessionRow.create_time.desc(), SessionRow.id.desc()).limit(limit)
    return [
        OpenSession(row.id, row.user_id, row.create_time, use or row.create_time, row.expire_time)
        for row, use in session.execute(query)
    ]


def owner(session: Session, session_id: str) -> str | None:
    """The account of a session, open or not; None when it is not known."""
    return session.scalar(select(SessionRow.user_id).where(SessionRow.id == session_id))


def end(session: Session, session_id: str, why: End, now: datetime.datetime) -> None:
    """Ends a session; one that has ended stays as it is."""
    session.execute(
        update(SessionRow)
        .where(SessionRow.id == session_id, SessionRow.end_time.is_(None))
        .values(end_time=now, end_reason=why)
    )


def end_of_all(session: Session, why: End, now: datetime.datetime) -> list[str]:
    """Ends every open session of every account.

    Returns:
        The accounts whose sessions ended.
    """
    session.execute(
        update(SessionRow)
        .where(SessionRow.end_time.is_(None), SessionRow.expire_time > now)
        .values(end_time=now, end_reason=why)
    )
    ended = select(SessionRow.user_id).where(
        SessionRow.end_time == now, SessionRow.end_reason == why
    )
    return list(session.scalars(ended.distinct().order_by(SessionRow.user_id)))


def ended_since(
    session: Session, since: datetime.datetime, now: datetime.datetime
) -> list[Revocation]:
    """What every service must refuse of the sessions and accounts that ended after `since`."""
    found: list[Revocation] = []
    ended = select(SessionRow).where(SessionRow.end_time > since, SessionRow.expire_time > now)
    for row in session.scalars(ended):
        # Every token of the session: even one that is being signed at this moment.
        found.append(_every_token(row.id, min(row.expire_time, _last_token(row.end_time))))
    closed = select(UserRow.id, UserRow.close_time).where(UserRow.close_time > since)
    for identifier, close_time in session.execute(closed):
        # An account never opens again: a login that is under way at this moment is refused too.
        found.append(_every_token(identifier, _last_token(close_time)))
    corrected = select(UserRow.id, UserRow.identity_time).where(UserRow.identity_time > since)
    for identifier, identity_time in session.execute(corrected):
        assert identity_time is not None, "selected by it"
        good = good_from(identity_time)
        ends = (good + TOKEN_LIFE + LEEWAY).timestamp()
        found.append(Revocation(identifier, issued_before=good.timestamp(), ends=ends))
    return found


def good_from(identity_time: datetime.datetime) -> datetime.datetime:
    """From when on tokens of a patient whose NIK or name was corrected are good.

    A token says the whole second in which it was signed, so it is the beginning of one.
    """
    return (identity_time + LOGIN_UNDER_WAY + datetime.timedelta(seconds=1)).replace(microsecond=0)


def _last_token(end_time: datetime.datetime | None) -> datetime.datetime:
    """When tokens that were signed until shortly after this time have ended."""
    assert end_time is not None, "selected by its end"
    return end_time + TOKEN_LIFE + LEEWAY


def _every_token(subject: str, last: datetime.datetime) -> Revocation:
    ends = (last + LEEWAY).timestamp()
    return Revocation(subject, issued_before=ends, ends=ends)
