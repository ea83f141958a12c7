"""The counters of failed logins: read, locked and written in a unit of work."""

import datetime
from collections.abc import Iterable

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from user_svc.domain.login_throttle import FORGOTTEN_AFTER, Attempts, charged
from user_svc.persistence.models import Base, LoginAttemptRow

_TABLE = Base.metadata.tables[LoginAttemptRow.__tablename__]
_LOCKED = (
    select(_TABLE)
    .where(_TABLE.c.login_index.in_(bindparam("indexes", expanding=True)))
    .with_for_update()
)


class AttemptCounters:
    """Counts the failed tries of some logins in one unit of work, and writes the sums.

    Tries at the same moment all count: within the unit one after the other, and what is read is
    locked for all others.
    """

    def __init__(self, session: Session, login_indexes: Iterable[str]) -> None:
        """Reads and locks what is known of these logins."""
        self._session = session
        rows = session.execute(_LOCKED, {"indexes": list(set(login_indexes))}).all()
        self._before = {row.login_index: Attempts(row.failures, row.last_time) for row in rows}
        self._after = dict(self._before)

    def charge(self, login_index: str, now: datetime.datetime) -> None:
        """Counts a try before it is made.

        Raises:
            MeshError: RESOURCE_EXHAUSTED with reason LOGIN_THROTTLED and the time to wait.
        """
        self._after[login_index] = charged(self._after.get(login_index), now)

    def clear(self, login_index: str) -> None:
        """Forgets the failed tries of a login that has succeeded."""
        self._after.pop(login_index, None)

    def write(self) -> None:
        """Writes what has changed.

        Raises:
            IntegrityError: Another first try came in between; the unit of work runs again.
        """
        gone = self._before.keys() - self._after.keys()
        changed = {
            index: one for index, one in self._after.items() if one != self._before.get(index)
        }
        new = [
            {"login_index": index, "failures": one.failures, "last_time": one.last_time}
            for index, one in changed.items()
            if index not in self._before
        ]
        more = [
            {"known_index": index, "failures": one.failures, "last_time": one.last_time}
            for index, one in changed.items()
            if index in self._before
        ]
        if gone:
            self._session.execute(delete(_TABLE).where(_TABLE.c.login_index.in_(gone)))
        if new:
            self._session.execute(insert(_TABLE), new)
        if more:
            known = _TABLE.c.login_index == bindparam("known_index")
            self._session.execute(update(_TABLE).where(known), more)


def charge(session: Session, login_index: str, now: datetime.datetime) -> None:
    """Counts a try before it is made: tries at the same moment all count.

    Raises:
        MeshError: RESOURCE_EXHAUSTED with reason LOGIN_THROTTLED and the time to wait.
        IntegrityError: Another first try came in between; the unit of work runs again.
    """
    counters = AttemptCounters(session, [login_index])
    counters.charge(login_index, now)
    counters.write()


def clear(session: Session, login_index: str) -> None:
    """Forgets the failed tries of a login that has succeeded."""
    session.execute(delete(_TABLE).where(_TABLE.c.login_index == login_index))


def purge(session: Session, now: datetime.datetime) -> None:
    """Deletes counts that no longer matter."""
    session.execute(delete(_TABLE).where(_TABLE.c.last_time < now - FORGOTTEN_AFTER))
