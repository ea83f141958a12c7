"""Sessions: how long they live, why they end, and what follows from a refresh token."""

import datetime
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from mesh.errors import MeshError, StatusCode

REGISTRATION_SESSION = datetime.timedelta(minutes=35)
"""A draft lives 30 minutes; the session outlives it, so the last error is "draft gone"."""
TICKETS_SESSION = datetime.timedelta(hours=12)
"""Longer than any facility's opening hours: a ticket taken at the door can be followed until it is
called. Not until the day's end, which is up to 24 hours: such a session cannot be ended early."""
LOGIN_SESSION = datetime.timedelta(minutes=15)
"""NIK and name are knowledge, not a secret: what they open is open for a short time."""
DATA_RIGHTS_SESSION = datetime.timedelta(minutes=15)
"""A visit to the counter: enough to ask for a copy or an erasure, and to read what is shown. It
opens all that is known of a person, so it does not outlive the visit."""


class End(StrEnum):
    """Says why a session ended before its time."""

    LOGOUT = "LOGOUT"
    END_SESSION = "END_SESSION"
    REUSE = "REUSE"
    ROLE_CHANGED = "ROLE_CHANGED"
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    TOTP_RESET = "TOTP_RESET"
    TOTP_CONFIRMED = "TOTP_CONFIRMED"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105  # nosec B105 # a reason, no password
    PASSWORD_RESET = "PASSWORD_RESET"  # noqa: S105  # nosec B105 # a reason, no password


@dataclass(frozen=True)
class OpenSession:
    """Describes a session that can be renewed."""

    id: str
    user_id: str
    create_time: datetime.datetime
    use_time: datetime.datetime
    """When it was last renewed; its beginning when it never was."""
    expire_time: datetime.datetime


@dataclass(frozen=True)
class SessionRules:
    """Holds what the sessions of staff depend on."""

    life: datetime.timedelta
    """How long a session lives, whatever is refreshed."""
    grace: datetime.timedelta
    """How long after its use a refresh token still repeats its answer."""


class Refresh(Enum):
    """Says what follows from a refresh token that somebody shows."""

    ROTATE = auto()
    """First use: the token ends, a successor takes its place."""
    REPEAT = auto()
    """The same use again, at the same moment: the same successor once more."""
    REUSE = auto()
    """A token that was exchanged long ago: two parties have it, so the session ends."""
    ENDED = auto()
    """The session is over."""


@dataclass(frozen=True)
class Shown:
    """Describes a refresh token that somebody shows, and its session."""

    session_open: bool
    session_expire_time: datetime.datetime
    use_time: datetime.datetime | None
    """When it was exchanged; None when it never was."""
    successor_used: bool
    """Whether the token that it was exchanged for was itself exchanged."""


def judge(shown: Shown, now: datetime.datetime, grace: datetime.timedelta) -> Refresh:
    """Decides about a refresh token.

    Two refreshes at the same moment (two tabs, a lost answer) are one use: within the grace after
    the first exchange, and until the successor is used, the old token gives the same successor
    again. So a session is always one chain of tokens, and a copy in other hands is found.
    """
    if not shown.session_open or shown.session_expire_time <= now:
        return Refresh.ENDED
    if shown.use_time is None:
        return Refresh.ROTATE
    if now - shown.use_time <= grace and not shown.successor_used:
        return Refresh.REPEAT
    return Refresh.REUSE


def invalid_refresh_token() -> MeshError:
    """Returns the one error of all refresh tokens that are not good: unknown, used, ended."""
    return MeshError(
        "this refresh token is not valid, sign in again",
        StatusCode.UNAUTHENTICATED,
        "REFRESH_TOKEN_INVALID",
    )
