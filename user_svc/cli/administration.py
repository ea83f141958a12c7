"""What the commands of `mediq admin` do, each in one transaction with its audit event."""

from collections.abc import Sequence
from functools import partial

from mediq.audit.v1.audit_pb2 import AuditAct
from mediq.user.v1.user_service_pb2 import CreateUserRequest
from sqlalchemy.orm import Session

from mesh.audit_trail.events import command_event
from mesh.clock import utc_now
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
from user_svc.persistence.second_factor_repository import SecondFactorRepository
from user_svc.persistence.session_repository import SessionRepository
from user_svc.settings import UserSettings

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
    database = Database(settings.database, 1)
    try:
        return await write_with_retry(database, partial(_create, settings, person, hashed))
    finally:
        await database.close()


async def reset_second_factor(settings: UserSettings, email: str) -> None:
    """Takes the second factor of a staff account away and ends its sessions.

    Raises:
        MeshError: NOT_FOUND with reason USER_NOT_FOUND, or the database does not answer.
    """
    await _change_staff(settings, "admin reset-totp", email, End.TOTP_RESET)


async def reset_password(settings: UserSettings, email: str, password: str) -> None:
    """Gives a staff account another password and ends its sessions. Its one-time codes stay.

    Raises:
        MeshError: The password is not one that the service takes, NOT_FOUND with reason
            USER_NOT_FOUND, or the database does not answer.
    """
    check_password(password, fold_email(email))
    hashed = await _hash(settings, password)
    await _change_staff(settings, "admin reset-password", email, End.PASSWORD_RESET, hashed)


async def end_sessions(settings: UserSettings, email: str) -> None:
    """Ends the sessions of a staff account.

    Raises:
        MeshError: NOT_FOUND with reason USER_NOT_FOUND, or the database does not answer.
    """
    await _change_staff(settings, END_SESSIONS, email, End.END_SESSION)


async def end_all_sessions(settings: UserSettings) -> int:
    """Ends every open session of staff, and gives the number of accounts that had one.

    Raises:
        MeshError: The database does not answer.
    """
    database = Database(settings.database, 1)
    try:
        return await database.write(partial(_end_all_sessions, settings))
    finally:
        await database.close()


async def _hash(settings: UserSettings, password: str) -> str:
    cipher = FieldCipher.load(settings.keys, settings.service)
    hasher = Passwords(cipher, settings.bcrypt_cost, 1)
    try:
        return await hasher.hash(password)
    finally:
        await hasher.close()


async def _change_staff(
    settings: UserSettings, command: str, email: str, why: End, password_hash: str = ""
) -> None:
    """Changes what a staff account signs in with, ends its sessions and records that.

    Args:
        settings: The service's settings.
        command: Its words, for the audit trail.
        email: Login of the account, which is locked.
        why: Why the sessions end. With TOTP_RESET the second factor is taken away.
        password_hash: Replaces that of the password. Empty: it stays.

    Raises:
        MeshError: NOT_FOUND with reason USER_NOT_FOUND, or the database does not answer.
    """
    database = Database(settings.database, 1)
    try:
        await database.write(partial(_change_in, settings, command, email, why, password_hash))
    finally:
        await database.close()


def _create(settings: UserSettings, person: Person, hashed: str, session: Session) -> Account:
    cipher = FieldCipher.load(settings.keys, settings.service)
    account = AccountRepository(session, AccountCipher(cipher)).create(person, hashed, utc_now())
    _record(session, settings, "admin create", [account.id], account.institution_id)
    return account


def _change_in(
    settings: UserSettings,
    command: str,
    email: str,
    why: End,
    password_hash: str,
    session: Session,
) -> None:
    cipher = FieldCipher.load(settings.keys, settings.service)
    repository = AccountRepository(session, AccountCipher(cipher))
    known = repository.find_credentials(email)
    if known is None:
        raise not_found("user", "")
    account = known[0]
    if why is End.TOTP_RESET:
        SecondFactorRepository(session, cipher).remove(account.id)
    if password_hash:
        repository.set_password(account.id, password_hash)
    sessions = SessionRepository(session, cipher, settings.session_rules)
    sessions.end_all_of(account.id, why, utc_now())
    _record(session, settings, command, [account.id], account.institution_id)


def _end_all_sessions(settings: UserSettings, session: Session) -> int:
    cipher = FieldCipher.load(settings.keys, settings.service)
    sessions = SessionRepository(session, cipher, settings.session_rules)
    ended = sessions.end_all(End.END_SESSION, utc_now())
    _record(session, settings, END_SESSIONS, ended)
    return len(ended)


def _record(
    session: Session,
    settings: UserSettings,
    command: str,
    persons: Sequence[str],
    institution_id: str = "",
) -> None:
    """Records in the audit trail, with its effect, what a command did to these accounts."""
    pieces = range(0, max(1, len(persons)), MAX_IDENTIFIERS)
    events = [
        command_event(
            settings.service,
            command,
            AuditAct.AUDIT_ACT_CHANGE,
            persons=persons[start : start + MAX_IDENTIFIERS],
            institution_id=institution_id,
        )
        for start in pieces
    ]
    AuditChain.load(settings.keys, settings.service).append(session, events, utc_now())
