"""The use cases of staff who sign in or change what they sign in with."""

import asyncio
import datetime
from dataclasses import dataclass, field

from google.protobuf.empty_pb2 import Empty
from mediq.user.v1 import auth_service_pb2 as messages

from mesh.audit_trail.recorder import AuditRecorder
from mesh.clock import timestamp
from mesh.contract.call import current_call
from user_svc.application.logins.audit_events import account_event
from user_svc.application.logins.password_check import PasswordCheck, StaffCredentials
from user_svc.application.logins.staff_sessions import StaffSessions
from user_svc.application.unit_of_work import UnitOfWork
from user_svc.domain import totp
from user_svc.domain.accounts import Account, Role
from user_svc.domain.identity import fold_email
from user_svc.domain.password_policy import check_new_password
from user_svc.domain.sessions import End
from user_svc.persistence.logins.session_repository import Opened


@dataclass(frozen=True, kw_only=True)
class LoginAdmin(StaffCredentials):
    """Asks for a session."""


@dataclass(frozen=True, kw_only=True)
class ChangePassword(StaffCredentials):
    """Asks for another password."""

    new_password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class BeginTotpEnrolment(StaffCredentials):
    """Asks for a secret of one-time codes."""

    secret: str = field(default_factory=totp.new_secret, repr=False)


@dataclass(frozen=True, kw_only=True)
class ConfirmTotpEnrolment(StaffCredentials):
    """Asks to protect the login with the secret that waits."""


class StaffLogins:
    """Runs the use cases of staff who prove themselves with a password."""

    def __init__(
        self,
        check: PasswordCheck,
        sessions: StaffSessions,
        recorder: AuditRecorder,
        *,
        require_admin_totp: bool,
    ) -> None:
        """Executes what the check lets pass.

        Args:
            check: Checks passwords.
            sessions: Signs tokens.
            recorder: Where logins are recorded for the audit trail.
            require_admin_totp: Whether administrators need one-time codes to sign in.
        """
        self._check = check
        self._sessions = sessions
        self._recorder = recorder
        self._require_admin_totp = require_admin_totp

    async def sign_in(self, command: LoginAdmin) -> messages.TokenPair:
        """Opens a session.

        Raises:
            MeshError: TOTP_REQUIRED, TOTP_ENROLMENT_REQUIRED, or see `PasswordCheck.execute`.
        """
        account, opened = await self._check.execute(command, self._login_admin, is_login=True)
        return self._sessions.token_pair(account, opened)

    async def change_password(self, command: ChangePassword) -> Empty:
        """Gives the account another password and ends its sessions.

        Raises:
            MeshError: The new password is refused, TOTP_REQUIRED, or see `PasswordCheck.execute`.
        """
        check_new_password(command.new_password, command.password, fold_email(command.email))
        await self._check.execute(
            command, self._change_password, is_login=True, new_password=command.new_password
        )
        return Empty()

    async def begin_totp_enrolment(self, command: BeginTotpEnrolment) -> messages.TotpEnrolment:
        """Keeps a secret until it is confirmed, and shows it.

        Raises:
            MeshError: TOTP_REQUIRED, or see `PasswordCheck.execute`.
        """
        email, expire_time = await self._check.execute(command, self._begin_totp_enrolment)
        uri = totp.key_uri(command.secret, email)
        return messages.TotpEnrolment(
            secret=command.secret,
            key_uri=uri,
            qr_svg=await asyncio.to_thread(totp.qr_svg, uri),
            expire_time=timestamp(expire_time),
        )

    async def confirm_totp_enrolment(self, command: ConfirmTotpEnrolment) -> messages.RecoveryCodes:
        """Protects the login with the secret that waits; gives new recovery codes.

        Raises:
            MeshError: TOTP_ENROLMENT_NOT_OPEN, or see `PasswordCheck.execute`.
        """
        codes = await self._check.execute(command, self._confirm_totp_enrolment)
        return messages.RecoveryCodes(codes=codes)

    def _login_admin(
        self, unit: UnitOfWork, account: Account, command: LoginAdmin, now: datetime.datetime
    ) -> tuple[Account, Opened]:
        protected = _use_code(unit, account, command, now)
        if self._require_admin_totp and account.role is Role.ADMIN_FASKES and not protected:
            raise totp.enrolment_required()
        opened = unit.sessions.open(account.id, now)
        self._record(unit, account, opened.session_id)
        return account, opened

    def _change_password(
        self, unit: UnitOfWork, account: Account, command: ChangePassword, now: datetime.datetime
    ) -> None:
        _use_code(unit, account, command, now)
        unit.sessions.end_all_of(account.id, End.PASSWORD_CHANGED, now)
        self._record(unit, account)

    def _begin_totp_enrolment(
        self,
        unit: UnitOfWork,
        account: Account,
        command: BeginTotpEnrolment,
        now: datetime.datetime,
    ) -> tuple[str, datetime.datetime]:
        _use_code(unit, account, command, now)
        self._record(unit, account)
        return account.email, unit.second_factors.begin(account.id, command.secret, now)

    def _confirm_totp_enrolment(
        self,
        unit: UnitOfWork,
        account: Account,
        command: ConfirmTotpEnrolment,
        now: datetime.datetime,
    ) -> list[str]:
        codes = unit.second_factors.confirm(account.id, command.totp_code, now)
        # Whoever signed in with the password alone may not be the one who protects it now.
        unit.sessions.end_all_of(account.id, End.TOTP_CONFIRMED, now)
        self._record(unit, account)
        return codes

    def _record(self, unit: UnitOfWork, account: Account, session_id: str = "") -> None:
        call = current_call()
        if call is not None:
            event = account_event(call, account, self._recorder.clock, session_id)
            self._recorder.record_in(unit.session, [event])


def _use_code(
    unit: UnitOfWork, account: Account, command: StaffCredentials, now: datetime.datetime
) -> bool:
    """Uses up a code of the account; returns whether its login is protected by one."""
    return unit.second_factors.prove(account.id, command.totp_code, command.recovery_code, now)
