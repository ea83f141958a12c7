"""What the commands of `mediq admin` do, each in one transaction with its audit event."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from mediq.audit.v1.audit_pb2 import AuditAct
from mediq.user.v1.user_service_pb2 import CreateUserRequest
from sqlalchemy.orm import Session

from mesh.audit_trail.events import command_event
from mesh.audit_trail.recorder import AuditRecorder, relayed_by_the_service
from mesh.clock import Clock, utc_now
from mesh.contract.audit_fields import MAX_IDENTIFIERS
from mesh.contract.validation import validate
from mesh.encryption.field_cipher import FieldCipher
from mesh.errors import not_found
from mesh.persistence.database import Database
from user_svc.application.password_hashing import Passwords
from user_svc.audit.chain import AuditChain
from user_svc.domain import accounts
from user_svc.domain.accounts import Account, Person, Role
from user_svc.domain.identity import fold_email
from user_svc.domain.password_policy import check_password
from user_svc.domain.sessions import End
from user_svc.messages.accounts import role_message
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.account_repository import AccountRepository, write_with_retry
from user_svc.persistence.audit_models import AUDIT_OUTBOX
from user_svc.persistence.logins.second_factor_repository import SecondFactorRepository
from user_svc.persistence.logins.session_repository import SessionRepository
from user_svc.settings import UserSettings

Result = TypeVar("Result")
END_SESSIONS = "admin end-sessions"
"""Words of the command, for the audit trail."""


async def create_administrator(
    settings: UserSettings, nama: str, email: str, password: str, institution_id: str
) -> Account:
    """Adds an administrator to the service's database, by the rules of the service.

    Raises:
        MeshError: A field is wrong, the e-mail address is taken, or the database does not answer.
    """
    request = CreateUserRequest(
        nama=nama,
        role=role_message(Role.ADMIN_FASKES),
        email=email,
        password=password,
        institution_id=institution_id,
    )
    validate(request)
    person = accounts.new_staff(
        Role.ADMIN_FASKES, nama, email, password, "", institution_id.lower()
    )
    hashed = await _hash(settings, password)
    administration = Administration(settings, utc_now)
    return await administration.run(partial(administration.create, person, hashed))


async def reset_second_factor(settings: UserSettings, email: str) -> None:
    """Takes the second factor of a staff account away and ends its sessions.

    Raises:
        MeshError: NOT_FOUND with reason USER_NOT_FOUND, or the database does not answer.
    """
    administration = Administration(settings, utc_now)
    await administration.run(
        partial(administration.change, "admin reset-totp", email, End.TOTP_RESET)
    )


async def reset_password(settings: UserSettings, email: str, password: str) -> None:
    """Gives a staff account another password and ends its sessions. Its one-time codes stay.

    Raises:
        MeshError: The password is not one that the service takes, NOT_FOUND with reason
            USER_NOT_FOUND, or the database does not answer.
    """
    check_password(password, fold_email(email))
    hashed = await _hash(settings, password)
    administration = Administration(settings, utc_now)
    await administration.run(
        partial(
            administration.change,
            "admin reset-password",
            email,
            End.PASSWORD_RESET,
            password_hash=hashed,
        )
    )


async def end_sessions(settings: UserSettings, email: str) -> None:
    """Ends the sessions of a staff account.

    Raises:
        MeshError: NOT_FOUND with reason USER_NOT_FOUND, or the database does not answer.
    """
    administration = Administration(settings, utc_now)
    await administration.run(partial(administration.change, END_SESSIONS, email, End.END_SESSION))


async def end_all_sessions(settings: UserSettings) -> int:
    """Ends every open session of staff, and gives the number of accounts that had one.

    Raises:
        MeshError: The database does not answer.
    """
    administration = Administration(settings, utc_now)
    return await administration.run(administration.end_all_sessions)


async def _hash(settings: UserSettings, password: str) -> str:
    cipher = FieldCipher.load(settings.keys, settings.service)
    hasher = Passwords(cipher, settings.bcrypt_cost, 1)
    try:
        return await hasher.hash(password)
    finally:
        await hasher.close()


class Administration:
    """Changes accounts of staff beside the service, and records that with the change."""

    def __init__(self, settings: UserSettings, clock: Clock) -> None:
        """Works on the service's database, for one unit of work, at the time of `clock`."""
        self._settings = settings
        self._clock = clock
        self._cipher = FieldCipher.load(settings.keys, settings.service)
        self._database = Database(settings.database, 1)
        self._recorder = AuditRecorder(
            AUDIT_OUTBOX, self._database, self._cipher, relayed_by_the_service, clock
        )

    async def run(self, work: Callable[[Session], Result]) -> Result:
        """Runs a unit of work, and closes the database.

        Raises:
            MeshError: The work refuses, or the database does not answer.
        """
        try:
            return await write_with_retry(self._database, work)
        finally:
            await self._database.close()

    def create(self, person: Person, password_hash: str, session: Session) -> Account:
        """Adds an account.

        Raises:
            MeshError: EMAIL_TAKEN.
        """
        account = self._accounts(session).create(person, password_hash, self._clock())
        self._record(session, "admin create", [account.id], account.institution_id)
        return account

    def change(
        self, command: str, email: str, why: End, session: Session, *, password_hash: str = ""
    ) -> None:
        """Changes what a staff account signs in with, and ends its sessions.

        Args:
            command: Words of the command, for the audit trail.
            email: Login of the account, which is locked.
            why: Why the sessions end. With TOTP_RESET the second factor is taken away.
            session: The unit of work.
            password_hash: Replaces that of the password. Empty: it stays.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        known = self._accounts(session).find_credentials(email)
        if known is None:
            raise not_found("user", "")
        account = known[0]
        if why is End.TOTP_RESET:
            SecondFactorRepository(session, self._cipher).remove(account.id)
        if password_hash:
            self._accounts(session).set_password(account.id, password_hash)
        self._sessions(session).end_all_of(account.id, why, self._clock())
        self._record(session, command, [account.id], account.institution_id)

    def end_all_sessions(self, session: Session) -> int:
        """Ends every open session; returns the number of accounts that had one."""
        ended = self._sessions(session).end_all(End.END_SESSION, self._clock())
        self._record(session, END_SESSIONS, ended)
        return len(ended)

    def _accounts(self, session: Session) -> AccountRepository:
        return AccountRepository(session, AccountCipher(self._cipher))

    def _sessions(self, session: Session) -> SessionRepository:
        return SessionRepository(session, self._cipher, self._settings.session_rules)

    def _record(
        self, session: Session, command: str, persons: Sequence[str], institution_id: str = ""
    ) -> None:
        """Records, with its effect, what a command did to these accounts."""
        pieces = range(0, max(1, len(persons)), MAX_IDENTIFIERS)
        events = [
            command_event(
                self._settings.service,
                command,
                AuditAct.AUDIT_ACT_CHANGE,
                self._clock,
                persons=persons[start : start + MAX_IDENTIFIERS],
                institution_id=institution_id,
            )
            for start in pieces
        ]
        if self._settings.audit_database_url:
            # The trail is in another database: the service takes them there when it runs.
            self._recorder.record_in(session, events)
            return
        chain = AuditChain.load(self._settings.keys, self._settings.service)
        chain.append(session, events, self._clock())
