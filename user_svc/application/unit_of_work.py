"""Units of work: each runs in one transaction, in one thread of the database's pool."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

from google.protobuf.message import Message
from sqlalchemy.orm import Session

from mesh.clock import Clock
from mesh.encryption.field_cipher import FieldCipher
from mesh.idempotency import Idempotency
from mesh.persistence.database import Database
from user_svc.domain.sessions import SessionRules
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.account_repository import AccountRepository, write_with_retry
from user_svc.persistence.patient_repository import PatientRepository
from user_svc.persistence.second_factor_repository import SecondFactorRepository
from user_svc.persistence.session_repository import SessionRepository

Args = ParamSpec("Args")
Command = TypeVar("Command")
Result = TypeVar("Result")
Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True)
class UnitOfWork:
    """Holds the repositories that work in one transaction."""

    session: Session
    accounts: AccountRepository
    patients: PatientRepository
    sessions: SessionRepository
    second_factors: SecondFactorRepository


class UnitsOfWork:
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
        self._database = database
        self._cipher = cipher
        self._account_cipher = AccountCipher(cipher)
        self._rules = rules
        self._idempotency = idempotency
        self._clock = clock

    async def read(
        self,
        query: Callable[Concatenate[UnitOfWork, Args], Result],
        *args: Args.args,
        **named: Args.kwargs,
    ) -> Result:
        """Runs a query; further arguments go to it."""
        return await self._database.read(lambda session: query(self._unit(session), *args, **named))

    async def write(
        self, use_case: Callable[[UnitOfWork, Command, datetime.datetime], Result], command: Command
    ) -> Result:
        """Executes a command; again when another unit wrote the same unique value first."""
        return await write_with_retry(
            self._database, lambda session: use_case(self._unit(session), command, self._clock())
        )

    async def change(
        self,
        caller: str,
        request: Message,
        use_case: Callable[[UnitOfWork, Command, datetime.datetime], Result],
        command: Command,
        message: Callable[[Result], Answer],
        answer: type[Answer],
    ) -> Answer:
        """Executes a command once, however often the request comes.

        Args:
            caller: Who asks.
            request: The request; its `request_id` is the key.
            use_case: What the command does.
            command: The command.
            message: Makes the answer of the result.
            answer: Type of the answer.

        Raises:
            MeshError: REQUEST_ID_REUSED, or what the use case raises.
        """
        return await self._idempotency.once(
            caller,
            request,
            answer,
            lambda session: message(use_case(self._unit(session), command, self._clock())),
        )

    def _unit(self, session: Session) -> UnitOfWork:
        return UnitOfWork(
            session,
            AccountRepository(session, self._account_cipher),
            PatientRepository(session, self._account_cipher),
            SessionRepository(session, self._cipher, self._rules),
            SecondFactorRepository(session, self._cipher),
        )
