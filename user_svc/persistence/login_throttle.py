"""Login throttling: guessing gets slow, and whom it holds up besides the guesser.

The first tries of a counter are free; then each failed one doubles the wait before the next, up
to a minute. A try during the wait is refused without looking at the password, and neither counts
nor prolongs the wait. A success, or a quarter of an hour without a try, clears the counter. So a
guesser gets at most 1,440 tries a day of each counter.

Staff: a login has a counter, and another one at each address from which it has succeeded before
(login_places.py). A try there is charged on the counter of that place only, a try from elsewhere on
that of the login. So the owner signs in at the usual place at once, whatever others try elsewhere.
From a new place the owner waits for the same counter as the guessers, of whom one that never stops
may take each turn as it comes up; the same happens at the usual place when the guesser shares its
address.

Patients: a NIK has one counter, wherever a try comes from: what a login opens is narrow, and phones
change their addresses. One who guesses all the time may keep the patient out as long as that.

A counter is kept by a blind index, of unknown logins too, which never have a place: at an address
from which a login has not succeeded, the throttle does not tell whether it is somebody's. It lives
in the service's database, so it holds for all replicas, and no login succeeds when it cannot be
read.
"""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from mesh.errors import MeshError, StatusCode
from user_svc.persistence.models import Base, LoginAttemptRow

FREE_TRIES = 5
FIRST_WAIT_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0
FORGOTTEN_AFTER = datetime.timedelta(minutes=15)
_TABLE = Base.metadata.tables[LoginAttemptRow.__tablename__]
_LOCKED = (
    select(_TABLE)
    .where(_TABLE.c.login_index.in_(bindparam("indexes", expanding=True)))
    .with_for_update()
)


@dataclass(frozen=True)
class Attempts:
    """Failed tries of one login."""

    failures: int
    last_time: datetime.datetime


def wait_after(failures: int) -> datetime.timedelta:
    """How long the next try must wait after so many failed ones."""
    if failures < FREE_TRIES:
        return datetime.timedelta()
    doublings = min(failures - FREE_TRIES, 16)
    return datetime.timedelta(seconds=min(FIRST_WAIT_SECONDS * 2**doublings, MAX_WAIT_SECONDS))


def charged(known: Attempts | None, now: datetime.datetime) -> Attempts:
    """The attempts with one more, which counts as failed until it has succeeded.

    Raises:
        MeshError: RESOURCE_EXHAUSTED with reason LOGIN_THROTTLED and the time to wait.
    """
    if known is None or now - known.last_time > FORGOTTEN_AFTER:
        return Attempts(1, now)
    wait = wait_after(known.failures)
    left = known.last_time + wait - now
    # Of tries at the same moment one may have looked at its clock before another that is counted
    # already: while tries are free, that is no reason to refuse it.
    if wait and left > datetime.timedelta():
        raise MeshError(
            "too many failed logins, wait before the next one",
            StatusCode.RESOURCE_EXHAUSTED,
            "LOGIN_THROTTLED",
            retry_after_seconds=max(left.total_seconds(), 0.001),
        )
    return Attempts(known.failures + 1, max(now, known.last_time))


class AttemptCounters:
    """The failed tries of some logins in one unit of work, which writes what they came to.

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
