"""The use case that accepts the erasure of a person's data."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from google.protobuf.message import Message
from mediq.ocr.v1 import data_rights_service_pb2 as messages
from sqlalchemy.exc import IntegrityError

from mesh.clock import Clock
from mesh.errors import MeshError, StatusCode
from ocr_svc.adapters.accounts import Accounts
from ocr_svc.adapters.queue import Queue
from ocr_svc.application.erasure_workflow import ErasureWorkflow
from ocr_svc.application.unit_of_work import UnitOfWork, UnitsOfWork
from ocr_svc.domain.erasure import Erasure, registration_running, require_closed, retain_time

ANSWER_SECONDS = 0.5
"""Kept back from an erasing call for its answer."""


@dataclass(frozen=True)
class RequestErasure:
    """Asks for the erasure of a person's data."""

    user_id: str
    """The person's account."""
    request: Message
    """The whole request, for the audit trail."""


class ErasureHandler:
    """Accepts erasures."""

    def __init__(
        self,
        units: UnitsOfWork,
        accounts: Accounts,
        queue: Queue,
        workflow: ErasureWorkflow,
        clock: Clock,
        *,
        lease_seconds: float,
        retention_days: int,
    ) -> None:
        """Works in units of work.

        Args:
            units: Opens the erasures.
            accounts: Knows the person.
            queue: Knows the person's visits.
            workflow: Carries erasures on.
            clock: Gives the time.
            lease_seconds: How long another process waits before it begins the first step.
            retention_days: How long after the last visit the law wants the data kept.
        """
        self._units = units
        self._accounts = accounts
        self._queue = queue
        self._workflow = workflow
        self._clock = clock
        self._lease = timedelta(seconds=lease_seconds)
        self._retention = timedelta(days=retention_days)

    async def request(self, command: RequestErasure) -> Erasure:
        """Accepts the erasure of a person, once, and works on it as long as the call can.

        Raises:
            MeshError: As `_accept`.
        """
        found = await self._known(command.user_id)
        if found is None or not found.is_unfinished():
            found = await self._accept(command, found)
        return await self._workflow.run_for_call(found.id, ANSWER_SECONDS)

    async def _known(self, user_id: str) -> Erasure | None:
        return await self._units.read(lambda unit: unit.erasures.of_patient(user_id))

    async def _accept(self, command: RequestErasure, done: Erasure | None) -> Erasure:
        """Returns the person's erasure, accepted now unless another call was faster.

        Args:
            command: What is asked for.
            done: The erasure that has been done. It closed the account, so an open one has come
                back with a backup, and it is begun again; otherwise it is the answer. None: none.

        Raises:
            MeshError: OPEN_TICKETS, REGISTRATION_RUNNING, or what the other services raise. Then
                nothing is stored.
        """
        user_id = command.user_id
        try:
            nik = (await self._accounts.record(user_id)).identity.nik
        except MeshError as error:
            if done is None or error.kind is not StatusCode.NOT_FOUND:
                raise
            return done
        visits = await self._queue.visits(user_id)
        require_closed(visits)
        now = self._clock()
        made = Erasure(
            str(uuid.uuid4()) if done is None else done.id,
            user_id,
            now,
            retain_time(visits, self._retention, now),
            round=0 if done is None else done.round + 1,
        )
        try:
            return await self._units.write(
                accept_erasure, made, nik, now + self._lease, command.request
            )
        except IntegrityError:
            other = await self._known(user_id)
            if other is None:
                raise
            return other


def accept_erasure(
    unit: UnitOfWork, erasure: Erasure, nik: str, first_attempt_time: datetime, request: Message
) -> Erasure:
    """Accepts an erasure, for the first time or again.

    Args:
        unit: The unit of work.
        erasure: As it is from now on.
        nik: Of the person.
        first_attempt_time: When another process may begin, if the accepting one does not.
        request: The request, for the audit trail.

    Returns:
        The erasure; the one of another call when that was faster.

    Raises:
        MeshError: REGISTRATION_RUNNING.
        IntegrityError: Another call was faster with the first one.
    """
    if unit.registrations.is_running_for(erasure.user_id, nik):
        raise registration_running()
    if erasure.round == 0:
        unit.erasures.add(erasure, first_attempt_time)
    elif not unit.erasures.begin_again(erasure, first_attempt_time):
        return unit.erasures.get(erasure.id)
    unit.record_change(request, messages.Erasure(id=erasure.id, user_id=erasure.user_id))
    return erasure
