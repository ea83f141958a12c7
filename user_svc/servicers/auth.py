"""AuthService: logins, tokens and sessions."""

import asyncio
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp
from mediq.policy.v1.policy_pb2 import Scope
from mediq.user.v1 import auth_service_pb2 as messages
from sqlalchemy.orm import Session

from mesh.audit_trail.recorder import AuditRecorder, annotate
from mesh.clock import timestamp, utc_now
from mesh.contract.call import current_call
from mesh.errors import MeshError, StatusCode, invalid, not_found
from mesh.idempotency import Idempotency
from mesh.identity.tokens import TokenSigner
from mesh.observability.logs import logger
from mesh.persistence.database import Database
from mesh.rpc.pipeline import Context
from user_svc.application.login_audit_events import by_account, nobody_entered
from user_svc.application.password_hashing import Passwords
from user_svc.application.patient_logins import PatientLogins
from user_svc.application.scoped_sessions import narrow_session
from user_svc.domain import accounts, totp
from user_svc.domain.accounts import Account, End, Refresh, Role
from user_svc.domain.password_policy import check_new_password
from user_svc.messages import role_message, user_message
from user_svc.persistence import known_networks, login_throttle
from user_svc.persistence.account_repository import Accounts, write_again
from user_svc.persistence.session_repository import Opened, Sessions
from user_svc.persistence.totp_repository import SecondFactors
from user_svc.servicers.sessions import SessionsServicer

Result = TypeVar("Result")
_WithPassword = (
    messages.LoginAdminRequest
    | messages.ChangePasswordRequest
    | messages.BeginTotpEnrolmentRequest
    | messages.ConfirmTotpEnrolmentRequest
)


class AuthServicer(SessionsServicer):
    """Logins, tokens and sessions."""

    def __init__(
        self,
        database: Database,
        idempotency: Idempotency,
        trail: AuditRecorder,
        accounts: Accounts,
        sessions: Sessions,
        factors: SecondFactors,
        passwords: Passwords,
        signer: TokenSigner,
        jwks_file: Path,
        access_life: datetime.timedelta,
        *,
        require_admin_totp: bool = False,
    ) -> None:
        """Serves from `database`.

        Args:
            database: The service's database.
            idempotency: Repeats answers.
            trail: Where it is written down who did what.
            accounts: Repository of accounts.
            sessions: Repository of sessions.
            factors: Repository of second factors.
            passwords: Checks passwords.
            signer: Signs access tokens.
            jwks_file: Public keys, given out as they are.
            access_life: Life of an access token of staff.
            require_admin_totp: Whether administrators need one-time codes to sign in.
        """
        self._database = database
        self._idempotency = idempotency
        self._trail = trail
        self._accounts = accounts
        self._sessions = sessions
        self._factors = factors
        self._passwords = passwords
        self._signer = signer
        self._jwks_file = jwks_file
        self._access_life = access_life
        self._require_admin_totp = require_admin_totp
        self._patients = PatientLogins(database, trail, accounts)

    async def LoginAdmin(
        self, request: messages.LoginAdminRequest, context: Context
    ) -> messages.TokenPair:
        def open_session(session: Session, account: Account) -> tuple[Account, Opened]:
            protected = self._factors.prove(
                session, account.id, request.totp_code, request.recovery_code, utc_now()
            )
            if self._require_admin_totp and account.role is Role.ADMIN_FASKES and not protected:
                raise totp.enrolment_required()
            opened = self._sessions.open(session, account.id, utc_now())
            self._note(session, account, opened.session_id)
            return account, opened

        return self._pair(*await self._with_password(request, open_session, clears_count=True))

    async def ChangePassword(
        self, request: messages.ChangePasswordRequest, context: Context
    ) -> Empty:
        check_new_password(
            request.new_password, request.password, accounts.fold_email(request.email)
        )

        def change(session: Session, account: Account) -> Empty:
            self._factors.prove(
                session, account.id, request.totp_code, request.recovery_code, utc_now()
            )
            self._sessions.end_all(session, account.id, End.PASSWORD_CHANGED, utc_now())
            self._note(session, account)
            return Empty()

        return await self._with_password(
            request, change, clears_count=True, new_password=request.new_password
        )

    async def BeginTotpEnrolment(
        self, request: messages.BeginTotpEnrolmentRequest, context: Context
    ) -> messages.TotpEnrolment:
        secret = totp.new_secret()

        def begin(session: Session, account: Account) -> tuple[str, datetime.datetime]:
            self._factors.prove(
                session, account.id, request.totp_code, request.recovery_code, utc_now()
            )
            self._note(session, account)
            return account.email, self._factors.begin(session, account.id, secret, utc_now())

        email, expire_time = await self._with_password(request, begin)
        uri = totp.key_uri(secret, email)
        return messages.TotpEnrolment(
            secret=secret,
            key_uri=uri,
            qr_svg=await asyncio.to_thread(totp.qr_svg, uri),
            expire_time=timestamp(expire_time),
        )

    async def ConfirmTotpEnrolment(
        self, request: messages.ConfirmTotpEnrolmentRequest, context: Context
    ) -> messages.RecoveryCodes:
        def confirm(session: Session, account: Account) -> list[str]:
            codes = self._factors.confirm(session, account.id, request.totp_code, utc_now())
            # Whoever signed in with the password alone may not be the one who protects it now.
            self._sessions.end_all(session, account.id, End.TOTP_CONFIRMED, utc_now())
            self._note(session, account)
            return codes

        return messages.RecoveryCodes(codes=await self._with_password(request, confirm))

    async def LoginUser(
        self, request: messages.LoginUserRequest, context: Context
    ) -> messages.NarrowSession:
        entered = await self._patients.sign_in(request.nik, request.name)
        return narrow_session(
            self._signer,
            Scope.SCOPE_TICKETS,
            entered.account_id,
            accounts.LOGIN_SESSION,
            session_id=entered.session_id,
        )

    async def RefreshToken(
        self, request: messages.RefreshTokenRequest, context: Context
    ) -> messages.TokenPair:
        def exchange(session: Session) -> tuple[Refresh, Opened | None, Account | None]:
            verdict, opened = self._sessions.refresh(session, request.refresh_token, utc_now())
            account = None if opened is None else self._accounts.get(session, opened.user_id)
            if opened is not None and account is not None and verdict is Refresh.ROTATE:
                self._note(session, account, opened.session_id)
            if verdict is Refresh.REUSE:
                self._note_owner(session, request.refresh_token, "REFRESH_TOKEN_REUSED")
            return verdict, opened, account

        verdict, opened, account = await self._database.write(exchange)
        if verdict is Refresh.REUSE:
            logger().warning("refresh token reused, session ended")
        if opened is None or account is None:
            raise accounts.invalid_refresh_token()
        return self._pair(account, opened)

    async def Logout(self, request: messages.LogoutRequest, context: Context) -> Empty:
        def end(session: Session) -> None:
            if self._sessions.end(session, request.refresh_token, End.LOGOUT, utc_now()):
                self._note_owner(session, request.refresh_token)

        await self._database.write(end)
        return Empty()

    async def GetJwks(self, request: messages.GetJwksRequest, context: Context) -> HttpBody:
        keys = await asyncio.to_thread(self._jwks_file.read_bytes)
        return HttpBody(content_type="application/json", data=keys)

    async def IssueNarrowSession(
        self, request: messages.IssueNarrowSessionRequest, context: Context
    ) -> messages.NarrowSession:
        subject = request.subject_id.lower()
        if request.scope == Scope.SCOPE_REGISTRATION:
            return self._narrow(request.scope, subject, accounts.REGISTRATION_SESSION)
        if request.scope != Scope.SCOPE_TICKETS:
            raise invalid("scope", "services do not issue this scope", "SCOPE_NOT_ISSUED")
        annotate(persons=[subject])
        account = await self._database.read(lambda session: self._accounts.get(session, subject))
        if account.role is not Role.PASIEN:
            raise not_found("user", subject)
        return self._narrow(request.scope, subject, accounts.TICKETS_SESSION)

    async def _with_password(
        self,
        request: _WithPassword,
        work: Callable[[Session, Account], Result],
        *,
        clears_count: bool = False,
        new_password: str = "",
    ) -> Result:
        """Runs a unit of work on the staff account with this login, which it locks.

        Args:
            request: Login and password.
            work: The unit of work. What it refuses changes nothing.
            clears_count: Whether its success clears the count of failed tries, and makes the place
                known. Else a try counts as failed.
            new_password: Takes the place of the password. Empty: it stays.

        Raises:
            MeshError: UNAUTHENTICATED with reason INVALID_CREDENTIALS, or RESOURCE_EXHAUSTED with
                reason LOGIN_THROTTLED.
        """
        call = current_call()
        place = known_networks.place_of(self._accounts, request.email, call)

        def begin(session: Session) -> tuple[str, tuple[Account, str] | None]:
            slate = known_networks.slate_of(session, place)
            login_throttle.charge(session, slate, utc_now())
            return slate, self._accounts.credentials(session, request.email)

        slate, known = await write_again(self._database, begin)
        stored = known[1] if known is not None else None
        right = await self._passwords.matches(request.password, stored)
        renewed = None
        if new_password:
            # After a wrong password too, so that it takes as long as a wrong code.
            renewed = await self._passwords.hash(new_password)
        elif right and stored is not None and self._passwords.outdated(stored):
            renewed = await self._passwords.hash(request.password)

        def run(session: Session) -> Result:
            # Looked up again: the account may have been closed while the password was checked.
            # After a wrong password too, so that it takes as long as a wrong code.
            current = self._accounts.credentials(session, request.email)
            if not right or current is None or current[1] != stored:
                raise accounts.invalid_credentials()
            if renewed is not None:
                self._accounts.set_password(session, current[0].id, renewed)
            done = work(session, current[0])
            if clears_count:
                login_throttle.clear(session, slate)
                known_networks.remember(session, place, utc_now())
            return done

        try:
            return await self._database.write(run)
        except MeshError as error:
            if call is not None and error.kind is not StatusCode.UNAVAILABLE:
                await self._trail.record_refusal(
                    nobody_entered(call, error.reason)
                    if known is None
                    else by_account(call, known[0], refusal=error.reason)
                )
            raise

    def _note(self, session: Session, account: Account, session_id: str = "") -> None:
        call = current_call()
        if call is not None:
            self._trail.record_in(session, [by_account(call, account, session_id)])

    def _note_owner(self, session: Session, refresh_token: str, refusal: str = "") -> None:
        """Writes down what was done with a refresh token, open or not."""
        call, owner = current_call(), self._sessions.owner(session, refresh_token)
        account = None if owner is None else self._accounts.whoever(session, owner.user_id)
        if call is not None and owner is not None and account is not None:
            event = by_account(call, account, owner.session_id, refusal=refusal)
            self._trail.record_in(session, [event])

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
        return narrow_session(self._signer, scope, subject, life)
