"""Login throttling: guessing gets slow, and whom it holds up besides the guesser.

The first tries of a counter are free; then each failed one doubles the wait before the next, up
to a minute. A try during the wait is refused without looking at the password, and neither counts
nor prolongs the wait. A success, or a quarter of an hour without a try, clears the counter. So a
guesser gets at most 1,440 tries a day of each counter.

Staff: a login has a counter, and another one at each address from which it has succeeded before
(known_networks.py). A try there is charged on the counter of that network only, a try from
elsewhere on that of the login. So the owner signs in at the usual place at once, whatever others
try elsewhere. From a new network the owner waits for the same counter as the guessers, of whom one
that never stops may take each turn as it comes up; the same happens at the usual place when the
guesser shares its address.

Patients: a NIK has one counter, wherever a try comes from: a login opens little, and phones
change their addresses. One who guesses all the time may keep the patient out as long as that.

A counter is kept by a blind index, of unknown logins too, which never have a known network: at an
address from which a login has not succeeded, the throttle does not show whether it is somebody's.
It lives in the service's database, so it holds for all replicas, and no login succeeds when it
cannot be read.
"""

import datetime
from dataclasses import dataclass

from mesh.errors import MeshError, StatusCode

FREE_TRIES = 5
FIRST_WAIT_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0
FORGOTTEN_AFTER = datetime.timedelta(minutes=15)


@dataclass(frozen=True)
class Attempts:
    """Counts the failed tries of one counter."""

    failures: int
    last_time: datetime.datetime


def wait_after(failures: int) -> datetime.timedelta:
    """Returns how long the next try must wait after so many failed ones."""
    if failures < FREE_TRIES:
        return datetime.timedelta()
    doublings = min(failures - FREE_TRIES, 16)
    return datetime.timedelta(seconds=min(FIRST_WAIT_SECONDS * 2**doublings, MAX_WAIT_SECONDS))


def charged(known: Attempts | None, now: datetime.datetime) -> Attempts:
    """Returns the attempts with one more, which counts as failed until it has succeeded.

    Raises:
        MeshError: RESOURCE_EXHAUSTED with reason LOGIN_THROTTLED and the time to wait.
    """
    if known is None or now - known.last_time > FORGOTTEN_AFTER:
        return Attempts(1, now)
    wait = wait_after(known.failures)
    left = known.last_time + wait - now
    # Of tries at the same moment one may have read its clock before another that is counted
    # already: while tries are free, that is no reason to refuse it.
    if wait and left > datetime.timedelta():
        raise MeshError(
            "too many failed logins, wait before the next one",
            StatusCode.RESOURCE_EXHAUSTED,
            "LOGIN_THROTTLED",
            retry_after_seconds=max(left.total_seconds(), 0.001),
        )
    return Attempts(known.failures + 1, max(now, known.last_time))
