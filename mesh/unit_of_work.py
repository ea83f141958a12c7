"""Units of work: each runs in one transaction, in one thread of the database's pool."""

import datetime
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Concatenate, Generic, ParamSpec, TypeVar

from google.protobuf.message import Message
from sqlalchemy.orm import Session

from mesh.clock import Clock
from mesh.idempotency import Idempotency
from mesh.persistence.database import Database

__all__ = [
    "IdempotentUnitsOfWork",
    "UnitsOfWork",
]

Args = ParamSpec("Args")
Unit = TypeVar("Unit")
Command = TypeVar("Command")
Result = TypeVar("Result")
Answer = TypeVar("Answer", bound=Message)


class UnitsOfWork(ABC, Generic[Unit]):
    """Opens what use cases read and write with."""

    def __init__(self, database: Database) -> None:
        """Opens nothing yet; `database` holds what the service keeps."""
        self._database = database

    @abstractmethod
    def open(self, session: Session) -> Unit:
        """Returns the unit of work of a transaction that is open already."""

    async def read(
        self,
        query: Callable[Concatenate[Unit, Args], Result],
        *args: Args.args,
        **named: Args.kwargs,
    ) -> Result:
        """Runs a query; further arguments go to it."""
        return await self._database.read(lambda session: query(self.open(session), *args, **named))

    async def write(
        self,
        change: Callable[Concatenate[Unit, Args], Result],
        *args: Args.args,
        **named: Args.kwargs,
    ) -> Result:
        """Makes a change, which may run again, see `Database.write`; arguments go to it."""
        return await self._database.write(
            lambda session: change(self.open(session), *args, **named)
        )


class IdempotentUnitsOfWork(UnitsOfWork[Unit]):
    """Executes the commands of requests too, each once, at the service's time."""

    def __init__(self, database: Database, idempotency: Idempotency, clock: Clock) -> None:
        """Opens nothing yet.

        Args:
            database: Holds what the service keeps.
            idempotency: Remembers answers.
            clock: Gives the time.
        """
        super().__init__(database)
        self._idempotency = idempotency
        self._clock = clock

    async def change(
        self,
        caller: str,
        request: Message,
        use_case: Callable[[Unit, Command, datetime.datetime], Result],
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
            lambda session: message(use_case(self.open(session), command, self._clock())),
        )
