"""What ended lately: the tokens that every service must refuse."""

import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mesh.identity.key_set import LONGEST_TOKEN_SECONDS
from mesh.identity.revocations import Revocation
from mesh.identity.tokens import LEEWAY_SECONDS
from user_svc.persistence.models import SessionRow, UserRow

TOKEN_LIFE = datetime.timedelta(seconds=LONGEST_TOKEN_SECONDS)
LEEWAY = datetime.timedelta(seconds=LEEWAY_SECONDS)
LOGIN_UNDER_WAY = datetime.timedelta(seconds=1)
"""A login may read the old name just before a correction and sign its token this much later."""


def ended_since(
    session: Session, since: datetime.datetime, now: datetime.datetime
) -> list[Revocation]:
    """Returns what every service must refuse of the sessions and accounts that ended since."""
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
    """Returns from when on tokens of a patient whose NIK or name was corrected are good.

    A token says the whole second in which it was signed, so it is the beginning of one.
    """
    return (identity_time + LOGIN_UNDER_WAY + datetime.timedelta(seconds=1)).replace(microsecond=0)


def _last_token(end_time: datetime.datetime | None) -> datetime.datetime:
    """Returns when tokens that were signed until shortly after this time have ended."""
    assert end_time is not None, "selected by its end"
    return end_time + TOKEN_LIFE + LEEWAY


def _every_token(subject: str, last: datetime.datetime) -> Revocation:
    ends = (last + LEEWAY).timestamp()
    return Revocation(subject, issued_before=ends, ends=ends)
