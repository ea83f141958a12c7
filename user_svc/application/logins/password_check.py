"""Commands that staff prove themselves for with a password: throttled, checked, then executed."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from mesh.audit_trail.recorder import AuditRecorder
from mesh.contract.call import Call, current_call
from mesh.errors import MeshError, StatusCode
from user_svc.application.logins.audit_events import account_event, refused_login_event
from user_svc.application.password_hashing import Passwords
from user_svc.application.unit_of_work import UnitOfWork, UnitsOfWork
from user_svc.domain import accounts
from user_svc.domain.accounts import Account
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.logins import attempt_counters, known_networks
from user_svc.persistence.logins.known_networks import LoginOrigin, login_origin


@dataclass(frozen=True, kw_only=True)
class StaffCredentials:
    """Holds what staff prove themselves with."""

    email: str = field(repr=False)
    password: str = field(repr=False)
    totp_code: str = field(default="", repr=False)
    recovery_code: str = field(default="", repr=False)


Command = TypeVar("Command", bound=StaffCredentials)
Result = TypeVar("Result")
UseCase = Callable[[UnitOfWork, Account, Command, datetime.datetime], Result]
"""Executes a command on the account that its password belongs to, which is locked."""


@dataclass(frozen=True)
class _Attempt:
    """Describes a counted try."""

    email: str = field(repr=False)
    origin: LoginOrigin
    counter: str = ""
    account: Account | None = None
    """The account with this login; None when there is none."""
    stored_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class _Verdict:
    """Holds what the check of a password came to."""

    attempt: _Attempt
    right: bool
    renewed_hash: str | None = field(repr=False)
    """Replaces the stored hash. None: it stays."""
    is_login: bool


class PasswordCheck:
    """Executes commands on the account of staff who know its password."""

    def __init__(
        self,
        units: UnitsOfWork,
        cipher: AccountCipher,
        passwords: Passwords,
        recorder: AuditRecorder,
    ) -> None:
        """Works in units of work.

        Args:
            units: Opens the accounts.
            cipher: Makes the blind indexes that tries are counted by.
            passwords: Hashes and checks passwords.
            recorder: Where refused tries are recorded for the audit trail.
        """
        self._units = units
        self._cipher = cipher
        self._passwords = passwords
        self._recorder = recorder

    async def execute(
        self,
        command: Command,
        use_case: UseCase[Command, Result],
        *,
        is_login: bool = False,
        new_password: str = "",
    ) -> Result:
        """Checks the password of a command and executes it.

        Args:
            command: Login and password, and what else the use case needs.
            use_case: What the command does. What it refuses changes nothing.
            is_login: Whether its success clears the counter of failed tries, and makes the network
                known. Else a try counts as failed.
            new_password: Replaces the password. Empty: it stays.

        Raises:
            MeshError: UNAUTHENTICATED with reason INVALID_CREDENTIALS, RESOURCE_EXHAUSTED with
                reason LOGIN_THROTTLED, or what the use case raises.
        """
        call = current_call()
        origin = login_origin(self._cipher, command.email, "" if call is None else call.address)
        attempt = await self._units.execute(_charge, _Attempt(command.email, origin))
        right = await self._passwords.matches(command.password, attempt.stored_hash)
        renewed = None
        if new_password:
            # After a wrong password too, so that it takes as long as a wrong code.
            renewed = await self._passwords.hash(new_password)
        elif right and attempt.stored_hash and self._passwords.is_outdated(attempt.stored_hash):
            renewed = await self._passwords.hash(command.password)
        verdict = _Verdict(attempt, right, renewed, is_login)
        try:
            return await self._units.execute(partial(_finish, use_case, verdict), command)
        except MeshError as error:
            if call is not None and error.kind is not StatusCode.UNAVAILABLE:
                await self._record_refusal(call, attempt.account, error.reason)
            raise

    async def _record_refusal(self, call: Call, account: Account | None, reason: str) -> None:
        clock = self._recorder.clock
        await self._recorder.record_refusal(
            refused_login_event(call, reason, clock)
            if account is None
            else account_event(call, account, clock, refusal=reason)
        )


def _charge(unit: UnitOfWork, attempt: _Attempt, now: datetime.datetime) -> _Attempt:
    """Counts a try before it is made, and reads what it is compared with."""
    counter = known_networks.attempt_counter(unit.session, attempt.origin)
    attempt_counters.charge(unit.session, counter, now)
    account, stored_hash = unit.accounts.find_credentials(attempt.email) or (None, None)
    return _Attempt(attempt.email, attempt.origin, counter, account, stored_hash)


def _finish(
    use_case: UseCase[Command, Result],
    verdict: _Verdict,
    unit: UnitOfWork,
    command: Command,
    now: datetime.datetime,
) -> Result:
    """Executes a command whose password was right."""
    # Looked up again: the account may have been closed while the password was checked.
    # After a wrong password too, so that it takes as long as a wrong code.
    attempt = verdict.attempt
    current = unit.accounts.find_credentials(attempt.email)
    if not verdict.right or current is None or current[1] != attempt.stored_hash:
        raise accounts.invalid_credentials()
    account = current[0]
    if verdict.renewed_hash is not None:
        unit.accounts.set_password(account.id, verdict.renewed_hash)
    result = use_case(unit, account, command, now)
    if verdict.is_login:
        attempt_counters.clear(unit.session, attempt.counter)
        known_networks.remember(unit.session, attempt.origin, now)
    return result
