"""The repository of staff sessions: families of refresh tokens, of which one is good."""

import base64
import datetime
import hashlib
import secrets
import uuid
from dataclasses import dataclass

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.orm import Session

from mesh.encryption.field_cipher import FieldCipher
from user_svc.domain import accounts
from user_svc.domain.accounts import End, Refresh
from user_svc.persistence.models import RefreshTokenRow, SessionRow

TOKEN_BYTES = 32


@dataclass(frozen=True)
class Opened:
    """A session with the refresh token that is good now."""

    session_id: str
    user_id: str
    refresh_token: str
    expire_time: datetime.datetime


@dataclass(frozen=True)
class Owner:
    """The session of a refresh token."""

    session_id: str
    user_id: str


def digest(token: str) -> str:
    """What is stored of a refresh token. It is random, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


class Sessions:
    """Sessions of staff, renewed by refresh tokens that are good for one use."""

    def __init__(
        self, cipher: FieldCipher, life: datetime.timedelta, grace: datetime.timedelta
    ) -> None:
        """Sets the rules.

        Args:
            cipher: Holds the key that successors are derived with.
            life: How long a session lives, whatever is refreshed.
            grace: How long after its use a token repeats its answer.
        """
        self._cipher = cipher
        self._life = life
        self._grace = grace

    def open(self, session: Session, user_id: str, now: datetime.datetime) -> Opened:
        """Begins a session."""
        row = SessionRow(
            id=str(uuid.uuid4()), user_id=user_id, create_time=now, expire_time=now + self._life
        )
        token = secrets.token_urlsafe(TOKEN_BYTES)
        session.add(row)
        session.flush()
        session.add(RefreshTokenRow(token_hash=digest(token), session_id=row.id))
        return Opened(row.id, user_id, token, row.expire_time)

    def refresh(
        self, session: Session, token: str, now: datetime.datetime
    ) -> tuple[Refresh, Opened | None]:
        """Exchanges a refresh token; a session whose token is reused ends.

        The caller must let the unit of work commit whatever the verdict is.

        Returns:
            The verdict, and the session when it goes on.
        """
        found = session.execute(
            select(RefreshTokenRow, SessionRow)
            .join(SessionRow, SessionRow.id == RefreshTokenRow.session_id)
            .where(RefreshTokenRow.token_hash == digest(token))
            .with_for_update()
        ).one_or_none()
        if found is None:
            return Refresh.ENDED, None
        used, family = found
        successor = self._successor(token, used.successor_salt) if used.successor_salt else ""
        next_row = session.get(RefreshTokenRow, digest(successor)) if successor else None
        verdict = accounts.judge(
            accounts.Shown(
                session_open=family.end_time is None,
                session_expire_time=family.expire_time,
                use_time=used.use_time,
                successor_used=next_row is not None and next_row.use_time is not None,
            ),
            now,
            self._grace,
        )
        if verdict is Refresh.ENDED:
            return verdict, None
        if verdict is Refresh.REUSE:
            family.end_time, family.end_reason = now, End.REUSE
            return verdict, None
        if verdict is Refresh.ROTATE:
            used.use_time = now
            used.successor_salt = secrets.token_hex(TOKEN_BYTES)
            successor = self._successor(token, used.successor_salt)
            session.add(RefreshTokenRow(token_hash=digest(successor), session_id=family.id))
        return verdict, Opened(family.id, family.user_id, successor, family.expire_time)

    def owner(self, session: Session, token: str) -> Owner | None:
        """Whose a refresh token is, good or not."""
        found = session.execute(
            select(SessionRow.id, SessionRow.user_id)
            .join(RefreshTokenRow, RefreshTokenRow.session_id == SessionRow.id)
            .where(RefreshTokenRow.token_hash == digest(token))
        ).one_or_none()
        return None if found is None else Owner(*found)

    def end(self, session: Session, token: str, why: End, now: datetime.datetime) -> bool:
        """Ends the session of a refresh token. False when there is none that is open."""
        row = session.get(RefreshTokenRow, digest(token))
        if row is None:
            return False
        ended = session.execute(
            update(SessionRow)
            .where(SessionRow.id == row.session_id, SessionRow.end_time.is_(None))
            .values(end_time=now, end_reason=why)
        )
        assert isinstance(ended, CursorResult)
        return ended.rowcount > 0

    def end_all(self, session: Session, user_id: str, why: End, now: datetime.datetime) -> None:
        """Ends every session of an account."""
        session.execute(
            update(SessionRow)
            .where(SessionRow.user_id == user_id, SessionRow.end_time.is_(None))
            .values(end_time=now, end_reason=why)
        )

    def purge(self, session: Session, now: datetime.datetime) -> None:
        """Deletes sessions whose time is over, with their tokens."""
        session.execute(delete(SessionRow).where(SessionRow.expire_time < now))

    def _successor(self, token: str, salt: str) -> str:
        """The token that follows: random to all who lack the token, the salt or the key.

        Derived, not stored: so the answer can be repeated, and the database holds only hashes.
        """
        raw = bytes.fromhex(self._cipher.blind_index(f"{token}.{salt}", "refresh"))
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")
