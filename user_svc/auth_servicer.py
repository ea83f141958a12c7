"""AuthService: logins, tokens and sessions."""

import asyncio
import datetime
import hmac
import uuid
from pathlib import Path

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp
from mediq.policy.v1.policy_pb2 import Scope
from mediq.user.v1 import auth_service_pb2 as messages
from mediq.user.v1.auth_service_pb2_grpc import AuthServiceServicer
from sqlalchemy.orm import Session

from mesh.errors import not_found
from mesh.logs import logger
from mesh.pipeline import Context
from mesh.storage import Database
from mesh.times import timestamp, utc_now
from mesh.tokens import TokenSigner
from user_svc import domain, throttle
from user_svc.domain import Account, End, Refresh, Role
from user_svc.passwords import Passwords
from user_svc.store import Accounts, Opened, Sessions, write_again
from user_svc.translate import role_message, user_message

_NOBODY = "-"
"""Compared with the given name when no account has the NIK, so that both cases do the same work."""


class AuthServicer(AuthServiceServicer):
    """Logins, tokens and sessions."""

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        sessions: Sessions,
        passwords: Passwords,
        signer: TokenSigner,
        jwks_file: Path,
        access_life: datetime.timedelta,
    ) -> None:
        """Serves from `database`.

        Args:
            database: The service's database.
            accounts: Repository of accounts.
            sessions: Repository of sessions.
            passwords: Checks passwords.
            signer: Signs access tokens.
            jwks_file: Public keys, given out as they are.
            access_life: Life of an access token of staff.
        """
        self._database = database
        self._accounts = accounts
        self._sessions = sessions
        self._passwords = passwords
        self._signer = signer
        self._jwks_file = jwks_file
        self._access_life = access_life

    async def LoginAdmin(
        self, request: messages.LoginAdminRequest, context: Context
    ) -> messages.TokenPair:
        login_index = self._accounts.email_index(request.email)

        def begin(session: Session) -> tuple[Account, str] | None:
            throttle.charge(session, login_index, utc_now())
            return self._accounts.credentials(session, request.email)

        known = await write_again(self._database, begin)
        stored = known[1] if known is not None else None
        if not await self._passwords.matches(request.password, stored) or stored is None:
            raise domain.invalid_credentials()
        renewed = stored
        if self._passwords.outdated(stored):
            renewed = await self._passwords.hash(request.password)

        def open_session(session: Session) -> tuple[Account, Opened]:
            # The account may have been closed while the password was checked.
            current = self._accounts.credentials(session, request.email)
            if current is None or current[1] != stored:
                raise domain.invalid_credentials()
            throttle.clear(session, login_index)
            if renewed != stored:
                self._accounts.set_password(session, current[0].id, renewed)
            return current[0], self._sessions.open(session, current[0].id, utc_now())

        return self._pair(*await self._database.write(open_session))

    async def LoginUser(
        self, request: messages.LoginUserRequest, context: Context
    ) -> messages.NarrowSession:
        login_index = self._accounts.nik_index(request.nik)

        def look(session: Session) -> Account | None:
            throttle.charge(session, login_index, utc_now())
            return self._accounts.by_nik(session, request.nik)

        known = await write_again(self._database, look)
        right = hmac.compare_digest(
            domain.fold_name(known.nama if known is not None else _NOBODY).encode(),
            domain.fold_name(request.name).encode(),
        )
        if known is None or not right:
            raise domain.invalid_credentials()
        await self._database.write(lambda session: throttle.clear(session, login_index))
        return self._narrow(Scope.SCOPE_TICKETS, known.id, domain.LOGIN_SESSION)

    async def RefreshToken(
        self, request: messages.RefreshTokenRequest, context: Context
    ) -> messages.TokenPair:
        def exchange(session: Session) -> tuple[Refresh, Opened | None, Account | None]:
            verdict, opened = self._sessions.refresh(session, request.refresh_token, utc_now())
            account = None if opened is None else self._accounts.get(session, opened.user_id)
            return verdict, opened, account

        verdict, opened, account = await self._database.write(exchange)
        if verdict is Refresh.REUSE:
            logger().warning("refresh token reused, session ended")
        if opened is None or account is None:
            raise domain.invalid_refresh_token()
        return self._pair(account, opened)

    async def Logout(self, request: messages.LogoutRequest, context: Context) -> Empty:
        await self._database.write(
            lambda session: self._sessions.end(
                session, request.refresh_token, End.LOGOUT, utc_now()
            )
        )
        return Empty()

    async def GetJwks(self, request: messages.GetJwksRequest, context: Context) -> HttpBody:
        keys = await asyncio.to_thread(self._jwks_file.read_bytes)
        return HttpBody(content_type="application/json", data=keys)

    async def IssueNarrowSession(
        self, request: messages.IssueNarrowSessionRequest, context: Context
    ) -> messages.NarrowSession:
        subject = request.subject_id.lower()
        if request.scope == Scope.SCOPE_REGISTRATION:
            return self._narrow(request.scope, subject, domain.REGISTRATION_SESSION)
        account = await self._database.read(lambda session: self._accounts.get(session, subject))
        if account.role is not Role.PASIEN:
            raise not_found("user", subject)
        return self._narrow(request.scope, subject, domain.TICKETS_SESSION)

    def _pair(self, account: Account, opened: Opened) -> messages.TokenPair:
        life = min(self._access_life, opened.expire_time - utc_now())
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

    def _narrow(
        self, scope: Scope.ValueType, subject: str, life: datetime.timedelta
    ) -> messages.NarrowSession:
        token, ends = self._signer.sign(
            subject,
            lifetime_seconds=int(life.total_seconds()),
            session_id=str(uuid.uuid4()),
            scope=scope,
        )
        return messages.NarrowSession(
            access_token=token, access_expire_time=Timestamp(seconds=int(ends))
        )
