"""Units of work on accounts, sessions and second factors."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.orm import Session

from mesh.clock import Clock
from mesh.encryption.field_cipher import FieldCipher
from mesh.idempotency import Idempotency
from mesh.persistence.database import Database
from mesh.unit_of_work import IdempotentUnitsOfWork
from user_svc.domain.sessions import SessionRules
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.account_repository import AccountRepository, write_with_retry
from user_svc.persistence.logins.second_factor_repository import SecondFactorRepository
from user_svc.persistence.logins.session_repository import SessionRepository
from user_svc.persistence.patient_repository import PatientRepository

Command = TypeVar("Command")
Result = TypeVar("Result")


@dataclass(frozen=True)
class UnitOfWork:
    """Holds the repositories that work in one transaction."""

    session: Session
    accounts: AccountRepository
    patients: PatientRepository
    sessions: SessionRepository
    second_factors: SecondFactorRepository


class UnitsOfWork(IdempotentUnitsOfWork[UnitOfWork]):
    """Opens the repositories for use cases."""

    def __init__(
        self,
        database: Database,
        cipher: FieldCipher,
        rules: SessionRules,
        idempotency: Idempotency,
        clock: Clock,
    ) -> None:
        """Opens nothing yet.

        Args:
            database: Holds accounts and sessions.
            cipher: Encrypts what is personal or secret.
            rules: How long sessions live.
            idempotency: Remembers answers.
            clock: Gives the time.
        """
        super().__init__(database, idempotency, clock)
        self._cipher = cipher
        self._account_cipher = AccountCipher(cipher)
        self._rules = rules

    async def execute(
        self, use_case: Callable[[UnitOfWork, Command, datetime.datetime], Result], command: Command
    ) -> Result:
        """Executes a command; again when another unit wrote the same unique value first."""
        return await write_with_retry(
            self._database, lambda session: use_case(self.open(session), command, self._clock())
        )

    def open(self, session: Session) -> UnitOfWork:
        return UnitOfWork(
            session,
            AccountRepository(session, self._account_cipher),
            PatientRepository(session, self._account_cipher),
            SessionRepository(session, self._cipher, self._rules),
            SecondFactorRepository(session, self._cipher),
        )
