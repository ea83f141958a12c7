"""The use cases of sessions of staff: renewed, shown and ended."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp
from mediq.user.v1 import auth_service_pb2 as messages

from mesh.audit_trail.events import annotate
from mesh.audit_trail.recorder import AuditRecorder
from mesh.clock import Clock, timestamp
from mesh.contract.access_scope import AccessScope
from mesh.contract.call import current_call
from mesh.errors import MeshError, not_found
from mesh.identity.tokens import TokenSigner
from mesh.observability.logs import logger
from user_svc.application.logins.audit_events import account_event
from user_svc.application.unit_of_work import UnitOfWork, UnitsOfWork
from user_svc.domain import sessions
from user_svc.domain.accounts import Account
from user_svc.domain.sessions import End, OpenSession, Refresh
from user_svc.messages.accounts import role_message, user_message
from user_svc.persistence.logins import attempt_counters, known_networks
from user_svc.persistence.logins.session_repository import Opened


@dataclass(frozen=True)
class SessionViewer:
    """Says whose sessions exist for a caller: their own, and those of accounts they administer."""

    account_id: str
    administers: AccessScope | None
    """None: no accounts."""


@dataclass(frozen=True)
class EndSession:
    """Asks for the end of a session."""

    viewer: SessionViewer
    session_id: str


def list_sessions(
    unit: UnitOfWork,
    viewer: SessionViewer,
    user_id: str,
    after: tuple[datetime.datetime, str] | None,
    limit: int,
    now: datetime.datetime,
) -> Sequence[OpenSession]:
    """Lists open sessions of an account; see `SessionRepository.page`.

    Raises:
        MeshError: USER_NOT_FOUND.
    """
    _require_visible(unit, viewer, user_id)
    return unit.sessions.page(user_id, after, limit, now)


def end_session(unit: UnitOfWork, command: EndSession, now: datetime.datetime) -> None:
    """Ends a session.

    Raises:
        MeshError: SESSION_NOT_FOUND, the one error of unknown sessions and of those of others.
    """
    user_id = unit.sessions.find_account(command.session_id) or ""
    try:
        _require_visible(unit, command.viewer, user_id)
    except MeshError as error:
        raise not_found("session", command.session_id) from error
    annotate(persons=[user_id])
    unit.sessions.end(command.session_id, End.END_SESSION, now)


def delete_expired(unit: UnitOfWork, _: None, now: datetime.datetime) -> None:
    """Deletes sessions, counters of failed logins and known networks whose time is over."""
    unit.sessions.purge(now)
    attempt_counters.purge(unit.session, now)
    known_networks.purge(unit.session, now)


def _require_visible(unit: UnitOfWork, viewer: SessionViewer, user_id: str) -> None:
    """Refuses an account that is neither the caller's nor administered by the caller.

    Raises:
        MeshError: USER_NOT_FOUND.
    """
    if user_id == viewer.account_id:
        return
    if viewer.administers is None:
        raise not_found("user", user_id)
    unit.accounts.get_administered(user_id, viewer.administers)


class StaffSessions:
    """Runs the use cases of sessions of staff."""

    def __init__(
        self,
        units: UnitsOfWork,
        signer: TokenSigner,
        access_life: datetime.timedelta,
        recorder: AuditRecorder,
        clock: Clock,
    ) -> None:
        """Works in units of work.

        Args:
            units: Opens the sessions.
            signer: Signs access tokens.
            access_life: Life of an access token.
            recorder: Where what is done with tokens is recorded for the audit trail.
            clock: Gives the time.
        """
        self._units = units
        self._signer = signer
        self._access_life = access_life
        self._recorder = recorder
        self._clock = clock

    def token_pair(self, account: Account, opened: Opened) -> messages.TokenPair:
        """Signs an access token for a session, and returns it with the refresh token."""
        life = min(self._access_life, opened.expire_time - self._clock())
        token, ends = self._signer.sign(
            account.id,
            lifetime_seconds=int(life.total_seconds()),
            session_id=opened.session_id,
            role=role_message(account.role),
            institution_id=account.institution_id,
        )
        return messages.TokenPair(
            access_token=token,
            access_expire_time=Timestamp(seconds=int(ends)),
            refresh_token=opened.refresh_token,
            session_expire_time=timestamp(opened.expire_time),
            user=user_message(account),
        )

    async def refresh(self, refresh_token: str) -> messages.TokenPair:
        """Exchanges a refresh token; a session whose token is reused ends.

        Raises:
            MeshError: REFRESH_TOKEN_INVALID.
        """
        verdict, opened, account = await self._units.execute(self._refresh_token, refresh_token)
        if verdict is Refresh.REUSE:
            logger().warning("refresh token reused, session ended")
        if opened is None or account is None:
            raise sessions.invalid_refresh_token()
        return self.token_pair(account, opened)

    async def log_out(self, refresh_token: str) -> Empty:
        """Ends the session of a refresh token, if there is one that is open."""
        await self._units.execute(self._logout, refresh_token)
        return Empty()

    async def page(
        self,
        viewer: SessionViewer,
        user_id: str,
        after: tuple[datetime.datetime, str] | None,
        limit: int,
    ) -> Sequence[OpenSession]:
        """Lists open sessions of an account; see `list_sessions`."""
        return await self._units.read(list_sessions, viewer, user_id, after, limit, self._clock())

    async def end(self, request: messages.EndSessionRequest, command: EndSession) -> Empty:
        """Ends a session, once a request.

        Raises:
            MeshError: SESSION_NOT_FOUND or REQUEST_ID_REUSED.
        """
        return await self._units.change(
            command.viewer.account_id, request, end_session, command, lambda _: Empty(), Empty
        )

    def _refresh_token(
        self, unit: UnitOfWork, token: str, now: datetime.datetime
    ) -> tuple[Refresh, Opened | None, Account | None]:
        verdict, opened = unit.sessions.refresh(token, now)
        account = None if opened is None else unit.accounts.get(opened.user_id)
        if opened is not None and account is not None and verdict is Refresh.ROTATE:
            self._record(unit, account, opened.session_id)
        if verdict is Refresh.REUSE:
            self._record_owner(unit, token, "REFRESH_TOKEN_REUSED")
        return verdict, opened, account

    def _logout(self, unit: UnitOfWork, token: str, now: datetime.datetime) -> None:
        if unit.sessions.end_by_token(token, End.LOGOUT, now):
            self._record_owner(unit, token)

    def _record_owner(self, unit: UnitOfWork, token: str, refusal: str = "") -> None:
        """Records what was done with a refresh token, whether its session is open or not."""
        owner = unit.sessions.find_owner(token)
        account = None if owner is None else unit.accounts.get_including_closed(owner.user_id)
        if owner is not None and account is not None:
            self._record(unit, account, owner.session_id, refusal)

    def _record(
        self, unit: UnitOfWork, account: Account, session_id: str, refusal: str = ""
    ) -> None:
        call = current_call()
        if call is not None:
            event = account_event(call, account, self._recorder.clock, session_id, refusal=refusal)
            self._recorder.record_in(unit.session, [event])
