"""The use cases of accounts: who is added, looked up, changed and closed."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from google.protobuf.empty_pb2 import Empty
from mediq.user.v1 import user_service_pb2 as requests
from mediq.user.v1.user_pb2 import User

from mesh.audit_trail.recorder import AuditRecorder
from mesh.clock import Clock
from mesh.contract.access_scope import AccessScope
from mesh.contract.call import current_call
from user_svc.application.nik_changes import NikChanges
from user_svc.application.password_hashing import Passwords, generate_password
from user_svc.application.unit_of_work import UnitOfWork, UnitsOfWork
from user_svc.domain import accounts
from user_svc.domain.accounts import Account, Person, Role
from user_svc.domain.sessions import End
from user_svc.messages.accounts import user_message
from user_svc.persistence.profile_loader import ProfileLoader


@dataclass(frozen=True, kw_only=True)
class CreateUser:
    """Asks for a new account."""

    creator: Role
    """Role of who asks."""
    role: Role
    nama: str = field(repr=False)
    email: str = field(repr=False)
    password: str = field(repr=False)
    nik: str = field(repr=False)
    institution_id: str
    """Facility of staff; of a patient the one where the counter is, which may then reach them."""


@dataclass(frozen=True)
class NewAccount:
    """Describes an account that is about to be added."""

    person: Person
    password_hash: str | None = field(default=None, repr=False)
    """None: it has no password."""
    registered_at: str = ""
    """Facility whose patient it becomes; empty for staff."""


@dataclass(frozen=True)
class ChangeAccount:
    """Asks for a change of somebody else's account."""

    caller_id: str
    scope: AccessScope
    """The accounts that exist for the caller."""
    account_id: str


@dataclass(frozen=True)
class UpdateUserRole(ChangeAccount):
    """Asks for another role of an account."""

    role: Role


@dataclass(frozen=True)
class ResetPassword(ChangeAccount):
    """Asks for another password of an account, which is shown once."""

    request: requests.ResetPasswordRequest
    """For the audit trail."""


@dataclass(frozen=True)
class DeleteUser(ChangeAccount):
    """Asks for the end of an account."""


def new_account(command: CreateUser, today: datetime.date) -> NewAccount:
    """Returns the account that a command asks for, yet without a password.

    Raises:
        MeshError: INVALID_ARGUMENT with the field that is missing, wrong or too much.
    """
    if command.role is Role.PASIEN:
        person = accounts.new_patient(
            command.nama, command.email, command.password, command.nik, today
        )
        return NewAccount(person, registered_at=command.institution_id)
    person = accounts.new_staff(
        command.role,
        command.nama,
        command.email,
        command.password,
        command.nik,
        command.institution_id,
    )
    return NewAccount(person)


def create_user(unit: UnitOfWork, command: NewAccount, now: datetime.datetime) -> Account:
    """Adds an account.

    Raises:
        MeshError: EMAIL_TAKEN or NIK_TAKEN.
    """
    account = unit.accounts.create(command.person, command.password_hash, now)
    unit.patients.join(account.id, command.registered_at, now)
    return account


def find_user_by_nik(unit: UnitOfWork, nik: str) -> Account | None:
    """Finds the patient with this NIK."""
    return unit.accounts.find_by_nik(nik)


def get_user(unit: UnitOfWork, account_id: str, scope: AccessScope) -> Account:
    """Returns an account that exists for an administrator.

    Raises:
        MeshError: USER_NOT_FOUND.
    """
    return unit.accounts.get_administered(account_id, scope)


def list_users(
    unit: UnitOfWork,
    scope: AccessScope,
    role: Role | None,
    after: tuple[datetime.datetime, str] | None,
    limit: int,
) -> Sequence[Account]:
    """Lists accounts that exist for an administrator; see `AccountRepository.page`."""
    return unit.accounts.page(scope, role, after, limit)


def update_user_role(unit: UnitOfWork, command: UpdateUserRole, now: datetime.datetime) -> Account:
    """Changes the role of an account and ends its sessions.

    Raises:
        MeshError: OWN_ACCOUNT, USER_NOT_FOUND, NOT_STAFF or INSTITUTION_REQUIRED.
    """
    accounts.require_other_account(command.caller_id, command.account_id)
    account = unit.accounts.get_administered(command.account_id, command.scope, lock=True)
    accounts.require_role_fits(account, command.role)
    unit.sessions.end_all_of(account.id, End.ROLE_CHANGED, now)
    return unit.accounts.set_role(account.id, command.role, now)


def require_resettable(unit: UnitOfWork, command: ResetPassword, *, lock: bool = False) -> None:
    """Refuses to reset the password of an account that has none, or does not exist for the caller.

    Raises:
        MeshError: USER_NOT_FOUND or NOT_STAFF.
    """
    accounts.require_staff(
        unit.accounts.get_administered(command.account_id, command.scope, lock=lock)
    )


def delete_user(unit: UnitOfWork, command: DeleteUser, now: datetime.datetime) -> None:
    """Closes an account, takes its second factor away and ends its sessions.

    Raises:
        MeshError: OWN_ACCOUNT, USER_NOT_FOUND or LAST_NETWORK_ADMIN.
    """
    accounts.require_other_account(command.caller_id, command.account_id)
    account = unit.accounts.get_administered(command.account_id, command.scope, lock=True)
    unit.accounts.close(account, now)
    unit.second_factors.remove(account.id)
    unit.sessions.end_all_of(account.id, End.ACCOUNT_CLOSED, now)


class Accounts:
    """Runs the use cases of accounts."""

    def __init__(
        self,
        units: UnitsOfWork,
        nik_changes: NikChanges,
        profiles: ProfileLoader,
        passwords: Passwords,
        recorder: AuditRecorder,
        clock: Clock,
    ) -> None:
        """Works in units of work.

        Args:
            units: Opens the accounts.
            nik_changes: Executes what gives an account a NIK.
            profiles: Reads profiles.
            passwords: Hashes passwords.
            recorder: Where changes are recorded for the audit trail.
            clock: Gives the time.
        """
        self._units = units
        self._nik_changes = nik_changes
        self._profiles = profiles
        self._passwords = passwords
        self._recorder = recorder
        self._clock = clock

    async def create(
        self, caller: str, request: requests.CreateUserRequest, command: CreateUser
    ) -> User:
        """Adds an account, once a request.

        Raises:
            MeshError: A field is wrong, EMAIL_TAKEN, NIK_TAKEN or REQUEST_ID_REUSED.
        """
        accounts.require_may_create(command.creator, command.role)
        account = new_account(command, self._clock().date())
        if command.password:
            hashed = await self._passwords.hash(command.password)
            account = replace(account, password_hash=hashed)
        return await self._nik_changes.execute(caller, request, create_user, account)

    async def find_by_nik(self, nik: str) -> Account | None:
        """Finds the patient with this NIK."""
        return await self._units.read(find_user_by_nik, nik)

    async def profile(self, account_id: str) -> Account:
        """Returns an account as its owner sees it.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        return await self._profiles.get(account_id)

    async def get(self, account_id: str, scope: AccessScope) -> Account:
        """Returns an account that exists for an administrator.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        return await self._units.read(get_user, account_id, scope)

    async def page(
        self,
        scope: AccessScope,
        role: Role | None,
        after: tuple[datetime.datetime, str] | None,
        limit: int,
    ) -> Sequence[Account]:
        """Lists accounts that exist for an administrator; see `AccountRepository.page`."""
        return await self._units.read(list_users, scope, role, after, limit)

    async def update_role(
        self, request: requests.UpdateUserRoleRequest, command: UpdateUserRole
    ) -> User:
        """Changes the role of an account, once a request.

        Raises:
            MeshError: See `update_user_role`; REQUEST_ID_REUSED.
        """
        return await self._units.change(
            command.caller_id, request, update_user_role, command, user_message, User
        )

    async def reset_password(self, command: ResetPassword) -> str:
        """Gives an account a random password and ends its sessions.

        Returns:
            The password. It is not remembered for repetitions: it is kept nowhere.

        Raises:
            MeshError: OWN_ACCOUNT, USER_NOT_FOUND or NOT_STAFF.
        """
        # One's own needs the password until now: a stolen token must not change it.
        accounts.require_other_account(command.caller_id, command.account_id)
        # Before the hash, which takes long: others wait for it to sign in.
        await self._units.read(require_resettable, command)
        password = generate_password()
        hashed = await self._passwords.hash(password)
        await self._units.execute(partial(self._reset_password, hashed), command)
        return password

    async def delete(self, request: requests.DeleteUserRequest, command: DeleteUser) -> Empty:
        """Closes an account, once a request.

        Raises:
            MeshError: See `delete_user`; REQUEST_ID_REUSED.
        """
        return await self._units.change(
            command.caller_id, request, delete_user, command, lambda _: Empty(), Empty
        )

    def _reset_password(
        self, hashed: str, unit: UnitOfWork, command: ResetPassword, now: datetime.datetime
    ) -> None:
        require_resettable(unit, command, lock=True)
        unit.accounts.set_password(command.account_id, hashed)
        unit.sessions.end_all_of(command.account_id, End.PASSWORD_RESET, now)
        self._recorder.record_change(unit.session, current_call(), command.request)
