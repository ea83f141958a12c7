"""Units of work: each runs in one transaction, in one thread of the database's pool."""

import datetime
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from google.protobuf.message import Message

from institution_svc.persistence.facility_repository import FacilityRepository
from mesh.clock import Clock
from mesh.idempotency import Idempotency
from mesh.persistence.database import Database

Args = ParamSpec("Args")
Command = TypeVar("Command")
Result = TypeVar("Result")
Answer = TypeVar("Answer", bound=Message)


class UnitsOfWork:
    """Opens the repository for use cases."""

    def __init__(self, database: Database, idempotency: Idempotency, clock: Clock) -> None:
        """Opens nothing yet.

        Args:
            database: Holds the facilities.
            idempotency: Remembers answers.
            clock: Gives the time.
        """
        self._database = database
        self._idempotency = idempotency
        self._clock = clock

    async def read(
        self,
        query: Callable[Concatenate[FacilityRepository, Args], Result],
        *args: Args.args,
        **named: Args.kwargs,
    ) -> Result:
        """Runs a query; further arguments go to it."""
        return await self._database.read(
            lambda session: query(FacilityRepository(session), *args, **named)
        )

    async def change(
        self,
        caller: str,
        request: Message,
        use_case: Callable[[FacilityRepository, Command, datetime.datetime], Result],
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
            lambda session: message(use_case(FacilityRepository(session), command, self._clock())),
        )
