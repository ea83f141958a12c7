"""The repository of staff sessions: families of refresh tokens, of which one is good."""

import base64
import datetime
import hashlib
import secrets
import uuid
from dataclasses import dataclass

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.orm import Session

from mesh.encryption.field_cipher import FieldCipher
from user_svc.domain import sessions
from user_svc.domain.sessions import End, OpenSession, Refresh, SessionRules
from user_svc.persistence.models import RefreshTokenRow, SessionRow

TOKEN_BYTES = 32


@dataclass(frozen=True)
class Opened:
    """Names a session, with the refresh token that is good now."""

    session_id: str
    user_id: str
    refresh_token: str
    expire_time: datetime.datetime


@dataclass(frozen=True)
class Owner:
    """Names the session of a refresh token."""

    session_id: str
    user_id: str


def digest(token: str) -> str:
    """Returns what is stored of a refresh token. It is random, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


class SessionRepository:
    """Reads and writes sessions of staff, which refresh tokens for one use renew."""

    def __init__(self, session: Session, cipher: FieldCipher, rules: SessionRules) -> None:
        """Works in `session`.

        Args:
            session: The unit of work.
            cipher: Holds the key that successors are derived with.
            rules: How long sessions live.
        """
        self._session = session
        self._cipher = cipher
        self._rules = rules

    def open(self, user_id: str, now: datetime.datetime) -> Opened:
        """Begins a session."""
        row = SessionRow(
            id=str(uuid.uuid4()),
            user_id=user_id,
            create_time=now,
            expire_time=now + self._rules.life,
        )
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._session.add(row)
        self._session.flush()
        self._session.add(RefreshTokenRow(token_hash=digest(token), session_id=row.id))
        return Opened(row.id, user_id, token, row.expire_time)

    def refresh(self, token: str, now: datetime.datetime) -> tuple[Refresh, Opened | None]:
        """Exchanges a refresh token; a session whose token is reused ends.

        The caller must let the unit of work commit whatever the verdict is.

        Returns:
            The verdict, and the session when it goes on.
        """
        found = self._session.execute(
            select(RefreshTokenRow, SessionRow)
            .join(SessionRow, SessionRow.id == RefreshTokenRow.session_id)
            .where(RefreshTokenRow.token_hash == digest(token))
            .with_for_update()
        ).one_or_none()
        if found is None:
            return Refresh.ENDED, None
        used, family = found
        successor = self._successor(token, used.successor_salt) if used.successor_salt else ""
        next_row = self._session.get(RefreshTokenRow, digest(successor)) if successor else None
        verdict = sessions.judge(
            sessions.Shown(
                session_open=family.end_time is None,
                session_expire_time=family.expire_time,
                use_time=used.use_time,
                successor_used=next_row is not None and next_row.use_time is not None,
            ),
            now,
            self._rules.grace,
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
            self._session.add(RefreshTokenRow(token_hash=digest(successor), session_id=family.id))
        return verdict, Opened(family.id, family.user_id, successor, family.expire_time)

    def find_owner(self, token: str) -> Owner | None:
        """Finds whose a refresh token is, good or not."""
        found = self._session.execute(
            select(SessionRow.id, SessionRow.user_id)
            .join(RefreshTokenRow, RefreshTokenRow.session_id == SessionRow.id)
            .where(RefreshTokenRow.token_hash == digest(token))
        ).one_or_none()
        return None if found is None else Owner(*found)

    def end_by_token(self, token: str, why: End, now: datetime.datetime) -> bool:
        """Ends the session of a refresh token; returns whether there was one that is open."""
        row = self._session.get(RefreshTokenRow, digest(token))
        if row is None:
            return False
        ended = self._session.execute(
            update(SessionRow)
            .where(SessionRow.id == row.session_id, SessionRow.end_time.is_(None))
            .values(end_time=now, end_reason=why)
        )
        assert isinstance(ended, CursorResult)
        return ended.rowcount > 0

    def end_all_of(self, user_id: str, why: End, now: datetime.datetime) -> None:
        """Ends every session of an account."""
        self._session.execute(
            update(SessionRow)
            .where(SessionRow.user_id == user_id, SessionRow.end_time.is_(None))
            .values(end_time=now, end_reason=why)
        )

    def end(self, session_id: str, why: End, now: datetime.datetime) -> None:
        """Ends a session; one that has ended stays as it is."""
        self._session.execute(
            update(SessionRow)
            .where(SessionRow.id == session_id, SessionRow.end_time.is_(None))
            .values(end_time=now, end_reason=why)
        )

    def end_all(self, why: End, now: datetime.datetime) -> list[str]:
        """Ends every open session of every account.

        Returns:
            The accounts whose sessions ended.
        """
        self._session.execute(
            update(SessionRow)
            .where(SessionRow.end_time.is_(None), SessionRow.expire_time > now)
            .values(end_time=now, end_reason=why)
        )
        ended = select(SessionRow.user_id).where(
            SessionRow.end_time == now, SessionRow.end_reason == why
        )
        return list(self._session.scalars(ended.distinct().order_by(SessionRow.user_id)))

    def find_account(self, session_id: str) -> str | None:
        """Finds the account of a session, open or not."""
        return self._session.scalar(select(SessionRow.user_id).where(SessionRow.id == session_id))

    def page(
        self,
        user_id: str,
        after: tuple[datetime.datetime, str] | None,
        limit: int,
        now: datetime.datetime,
    ) -> list[OpenSession]:
        """Lists open sessions of an account, newest first.

        Args:
            user_id: The account.
            after: Create time and identifier after which the page begins. None: the first page.
            limit: Most sessions.
            now: The time.
        """
        used = (
            select(func.max(RefreshTokenRow.use_time))
            .where(RefreshTokenRow.session_id == SessionRow.id)
            .scalar_subquery()
        )
        query = select(SessionRow, used).where(
            SessionRow.user_id == user_id,
            SessionRow.end_time.is_(None),
            SessionRow.expire_time > now,
        )
        if after is not None:
            time, identifier = after
            query = query.where(
                (SessionRow.create_time < time)
                | ((SessionRow.create_time == time) & (SessionRow.id < identifier))
            )
        query = query.order_by(SessionRow.create_time.desc(), SessionRow.id.desc()).limit(limit)
        return [
            OpenSession(
                row.id, row.user_id, row.create_time, use or row.create_time, row.expire_time
            )
            for row, use in self._session.execute(query)
        ]

    def purge(self, now: datetime.datetime) -> None:
        """Deletes sessions whose time is over, with their tokens."""
        self._session.execute(delete(SessionRow).where(SessionRow.expire_time < now))

    def _successor(self, token: str, salt: str) -> str:
        """Returns the token that follows: random to all who lack the token, the salt or the key.

        Derived, not stored: so the answer can be repeated, and the database holds only hashes.
        """
        raw = bytes.fromhex(self._cipher.blind_index(f"{token}.{salt}", "refresh"))
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")
