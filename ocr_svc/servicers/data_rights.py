"""DataRightsService: the copy of a person's data and their erasure."""

from collections.abc import Callable
from datetime import datetime, timedelta

from mediq.ocr.v1 import data_rights_service_pb2 as messages
from mediq.ocr.v1.data_rights_service_pb2_grpc import DataRightsServiceServicer
from mediq.ocr.v1.registration_service_pb2 import ConsentPurpose, RegistrationState
from mediq.queue.v1.ticket_service_pb2 import PatientTicket
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mesh.audit_trail.recorder import AuditRecorder
from mesh.clock import timestamp
from mesh.contract.call import current_call
from mesh.errors import MeshError, StatusCode
from mesh.persistence.database import Database
from mesh.rpc.pipeline import Context
from ocr_svc.adapters.clients import Accounts, Queue
from ocr_svc.domain import registration
from ocr_svc.domain.erasure import Erasure, State, registration_running, require_closed, retain_time
from ocr_svc.persistence.erasures import Erasures
from ocr_svc.persistence.registrations import new_id
from ocr_svc.settings import OcrSettings
from ocr_svc.workflows.erasure import ErasureSaga

ANSWER_SECONDS = 0.5
"""Kept back from an erasing call for its answer."""
MOST_TICKETS = 5000
"""Tickets in one copy, some 7 MB: a message of the mesh is at most 12 MiB."""


def _consent(found: registration.Registration) -> messages.ConsentRecord:
    return messages.ConsentRecord(
        registration_id=found.id,
        institution_id=found.institution_id,
        service_id=found.service_id,
        consent_time=timestamp(found.consent_time),
        version=found.consent_version,
        purposes=[ConsentPurpose.Value(one) for one in found.consent_purposes],
        state=RegistrationState.Value(f"REGISTRATION_STATE_{found.state}"),
    )


def _state(found: Erasure) -> messages.ErasureState.ValueType:
    if found.state is State.ERASED:
        return messages.ERASURE_STATE_ERASED
    if found.state is State.ACCEPTED or found.retain_time is None:
        return messages.ERASURE_STATE_ACCEPTED
    return messages.ERASURE_STATE_RETAINED


class DataRightsServicer(DataRightsServiceServicer):
    """What the law lets a person ask for."""

    def __init__(
        self,
        settings: OcrSettings,
        database: Database,
        trail: AuditRecorder,
        erasures: Erasures,
        accounts: Accounts,
        queue: Queue,
        saga: ErasureSaga,
        clock: Callable[[], datetime],
    ) -> None:
        """Serves from `database` and from what the other services know."""
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._retention = timedelta(days=settings.retention_days)
        self._database = database
        self._trail = trail
        self._erasures = erasures
        self._accounts = accounts
        self._queue = queue
        self._saga = saga
        self._clock = clock

    async def ExportPersonalData(
        self, request: messages.ExportPersonalDataRequest, context: Context
    ) -> messages.PersonalData:
        now = self._clock()
        record = await self._accounts.record(request.user_id)
        tickets = await self._tickets(request.user_id)
        registrations = await self._database.read(
            lambda session: self._erasures.registrations(session, request.user_id)
        )
        return messages.PersonalData(
            create_time=timestamp(now),
            record=record,
            consents=[_consent(one) for one in registrations],
            tickets=tickets,
        )

    async def _tickets(self, user_id: str) -> list[PatientTicket]:
        found: list[PatientTicket] = []
        async for one in self._queue.tickets(user_id):
            found.append(one)
            if len(found) > MOST_TICKETS:
                raise MeshError(
                    f"more than {MOST_TICKETS} tickets do not fit into one copy",
                    StatusCode.RESOURCE_EXHAUSTED,
                    "TOO_MANY_TICKETS",
                )
        return found

    async def RequestErasure(
        self, request: messages.RequestErasureRequest, context: Context
    ) -> messages.Erasure:
        found = await self._known(request.user_id)
        if found is None or not found.is_unfinished():
            found = await self._accept(request, found)
        call = current_call()
        left = call.remaining_seconds() if call is not None else None
        found = await self._saga.run_until(found.id, (left or 0.0) - ANSWER_SECONDS)
        message = messages.Erasure(
            id=found.id,
            user_id=request.user_id,
            state=_state(found),
            create_time=timestamp(found.create_time),
        )
        if found.retain_time is not None:
            message.retain_time.CopyFrom(timestamp(found.retain_time))
        return message

    async def _known(self, user_id: str) -> Erasure | None:
        return await self._database.read(lambda session: self._erasures.of(session, user_id))

    async def _accept(
        self, request: messages.RequestErasureRequest, done: Erasure | None
    ) -> Erasure:
        """The person's erasure, accepted now unless another call was faster.

        Args:
            request: What is asked for.
            done: The erasure that has been done. It closed the account, so an open one has come
                back with a backup, and it is begun anew; otherwise it is the answer. None: none.

        Raises:
            MeshError: OPEN_TICKETS, REGISTRATION_RUNNING, or what the other services raise. Then
                nothing is stored.
        """
        user_id = request.user_id
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
            new_id() if done is None else done.id,
            user_id,
            now,
            retain_time(visits, self._retention, now),
            round=0 if done is None else done.round + 1,
        )

        def accept(session: Session) -> Erasure:
            if self._erasures.registration_runs(session, user_id, nik):
                raise registration_running()
            if done is None:
                self._erasures.add(session, made, now + self._lease)
            elif not self._erasures.begin_again(session, made, now + self._lease):
                return self._erasures.get(session, made.id)
            shown = messages.Erasure(id=made.id, user_id=user_id)
            self._trail.record_change(session, current_call(), request, shown)
            return made

        try:
            return await self._database.write(accept)
        except IntegrityError:
            other = await self._known(user_id)
            if other is None:
                raise
            return other
