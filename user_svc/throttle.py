"""Login throttling by login name: guessing gets slow, the owner is never locked out for long.

The first tries are free; then each failed one doubles the wait before the next, up to a minute. A
try during the wait is refused without looking at the password, and neither counts nor prolongs the
wait. A success, or a quarter of an hour without a try, clears the slate. So the owner can always
try again within a minute, and a guesser gets at most 1,440 tries a day.

The count is kept by the blind index of the e-mail address or NIK, of unknown ones too: the
throttle does not tell who has an account. It lives in the service's database, so it holds for all
replicas, and no login succeeds when it cannot be read.
"""

import datetime
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mesh.errors import Kind, MeshError
from user_svc.store import LoginAttemptRow

FREE_TRIES = 5
FIRST_WAIT_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0
FORGOTTEN_AFTER = datetime.timedelta(minutes=15)


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
    left = known.last_time + wait_after(known.failures) - now
    if left > datetime.timedelta():
        raise MeshError(
            "too many failed logins, wait before the next one",
            Kind.RESOURCE_EXHAUSTED,
            "LOGIN_THROTTLED",
            retry_after_seconds=max(left.total_seconds(), 0.001),
        )
    return Attempts(known.failures + 1, now)


def charge(session: Session, login_index: str, now: datetime.datetime) -> None:
    """Counts a try before it is made: tries at the same moment all count.

    Raises:
        MeshError: RESOURCE_EXHAUSTED with reason LOGIN_THROTTLED and the time to wait.
        IntegrityError: Another first try came in between; the unit of work runs again.
    """
    row = session.scalars(
        select(LoginAttemptRow).where(LoginAttemptRow.login_index == login_index).with_for_update()
    ).one_or_none()
    if row is None:
        session.add(LoginAttemptRow(login_index=login_index, failures=1, last_time=now))
        session.flush()
        return
    after = charged(Attempts(row.failures, row.last_time), now)
    row.failures, row.last_time = after.failures, after.last_time


def clear(session: Session, login_index: str) -> None:
    """Forgets the failed tries of a login that has succeeded."""
    session.execute(delete(LoginAttemptRow).where(LoginAttemptRow.login_index == login_index))


def purge(session: Session, now: datetime.datetime) -> None:
    """Deletes counts that no longer matter."""
    session.execute(
        delete(LoginAttemptRow).where(LoginAttemptRow.last_time < now - FORGOTTEN_AFTER)
    )
