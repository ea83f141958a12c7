"""The services that a registration needs, as the domain sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mediq.institution.v1.institution_service_pb2 import GetFacilityFactsRequest
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceStub
from mediq.ocr_engine.v1 import ocr_engine_service_pb2 as engine
from mediq.ocr_engine.v1.ocr_engine_service_pb2_grpc import OcrEngineServiceStub
from mediq.policy.v1.policy_pb2 import Scope
from mediq.queue.v1.queue_pb2 import TicketStatus
from mediq.queue.v1.ticket_service_pb2 import (
    ErasePatientTicketsRequest,
    IssueTicketRequest,
    ListPatientTicketsRequest,
    PatientTicket,
)
from mediq.queue.v1.ticket_service_pb2_grpc import TicketServiceStub
from mediq.user.v1.auth_service_pb2 import IssueNarrowSessionRequest, NarrowSession
from mediq.user.v1.auth_service_pb2_grpc import AuthServiceStub
from mediq.user.v1.user_pb2 import PatientIdentity
from mediq.user.v1.user_service_pb2 import (
    EnsurePatientRequest,
    ErasePatientRequest,
    GetPatientRecordRequest,
    PatientRecord,
)
from mediq.user.v1.user_service_pb2_grpc import UserServiceStub

from mesh.clock import timestamp
from mesh.errors import MeshError, StatusCode
from ocr_svc.domain.draft import CORRECTABLE, Content, current_fields
from ocr_svc.domain.driving_licence import SEXES, registrable
from ocr_svc.domain.erasure import Visits
from ocr_svc.domain.reading import SIM, CardWarning, ReadField, Reading
from ocr_svc.domain.registration import Identity

if TYPE_CHECKING:
    from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceAsyncStub
    from mediq.ocr_engine.v1.ocr_engine_service_pb2_grpc import OcrEngineServiceAsyncStub
    from mediq.queue.v1.ticket_service_pb2_grpc import TicketServiceAsyncStub
    from mediq.user.v1.auth_service_pb2_grpc import AuthServiceAsyncStub
    from mediq.user.v1.user_service_pb2_grpc import UserServiceAsyncStub

    from mesh.rpc.client import Channels


SERVED = frozenset(
    {
        TicketStatus.TICKET_STATUS_SERVING,
        TicketStatus.TICKET_STATUS_DONE,
        TicketStatus.TICKET_STATUS_TRANSFERRED,
    }
)
"""States that make a ticket a visit."""
OPEN = frozenset(
    {
        TicketStatus.TICKET_STATUS_WAITING,
        TicketStatus.TICKET_STATUS_CALLED,
        TicketStatus.TICKET_STATUS_SERVING,
        TicketStatus.TICKET_STATUS_SKIPPED,
    }
)
"""States in which a ticket may still change."""
PAGE_SIZE = 200
"""The most that queue_svc gives at once."""
_KTP_NAMES = frozenset(engine.KtpFields.DESCRIPTOR.fields_by_name)
_SIM_NAMES = frozenset(engine.SimFields.DESCRIPTOR.fields_by_name)
_SEXES_OF_SIM = {ktp: sim for sim, ktp in SEXES.items()}


def _fields(message: engine.KtpFields | engine.SimFields) -> Mapping[str, ReadField]:
    return {
        spec.name: ReadField(
            found.value,
            found.raw_value,
            found.confidence,
            engine.FieldReason.Name(found.reason),
            tuple((point.x, point.y) for point in found.polygon),
        )
        for spec, found in message.ListFields()
    }


def _warnings(messages: Iterable[engine.Warning]) -> tuple[CardWarning, ...]:
    return tuple(
        CardWarning(one.reason, one.field, one.message, one.message_en) for one in messages
    )


def _field(found: ReadField) -> engine.Field:
    return engine.Field(
        value=found.value,
        raw_value=found.raw_value,
        confidence=found.confidence,
        reason=engine.FieldReason.Value(found.reason or "FIELD_REASON_UNSPECIFIED"),
        polygon=[engine.Point(x=x, y=y) for x, y in found.polygon],
    )


def ktp_message(content: Content) -> engine.KtpFields:
    """The fields as they stand, corrections included; of a SIM those that a registration needs."""
    # A SIM has a validity of its own, which would look like that of a KTP.
    names = CORRECTABLE if content.reading.document_type == SIM else _KTP_NAMES
    fields = current_fields(content)
    return engine.KtpFields(**{name: _field(fields[name]) for name in fields.keys() & names})


def sim_message(content: Content) -> engine.SimFields | None:
    """The fields of a SIM as they stand, corrections included, in its own words; None of a KTP."""
    if content.reading.document_type != SIM:
        return None
    fields = current_fields(content)
    message = engine.SimFields(
        **{name: _field(fields[name]) for name in fields.keys() & _SIM_NAMES}
    )
    if message.HasField("jenis_kelamin"):
        sex = message.jenis_kelamin
        sex.value = _SEXES_OF_SIM.get(sex.value, sex.value)
    return message


class CardReader:
    """ocr_engine. Every method raises MeshError as the engine answers it."""

    def __init__(self, channels: Channels) -> None:
        """Calls through `channels`."""
        self._stub: OcrEngineServiceAsyncStub = OcrEngineServiceStub(channels.to("ocr_engine"))

    async def read(self, photo: bytes) -> Reading:
        """What stands on the card."""
        found = await self._stub.ReadCard(engine.ReadCardRequest(image=photo))
        return registrable(
            Reading(
                engine.DocumentType.Name(found.document_type),
                _fields(found.sim if found.HasField("sim") else found.ktp),
                _warnings(found.warnings),
            )
        )

    async def validate(self, content: Content) -> tuple[CardWarning, ...]:
        """What is doubtful about the fields as they stand."""
        request = engine.ValidateReadingRequest(ktp=ktp_message(content))
        return _warnings((await self._stub.ValidateReading(request)).warnings)


class Accounts:
    """user_svc."""

    def __init__(self, channels: Channels) -> None:
        """Calls through `channels`."""
        self._sessions: AuthServiceAsyncStub = AuthServiceStub(channels.to("user_svc"))
        self._users: UserServiceAsyncStub = UserServiceStub(channels.to("user_svc"))

    async def registration_session(self, draft_id: str) -> NarrowSession:
        """A session that opens one draft."""
        return await self._session(Scope.SCOPE_REGISTRATION, draft_id)

    async def tickets_session(self, user_id: str) -> NarrowSession:
        """A session that opens one patient's tickets."""
        return await self._session(Scope.SCOPE_TICKETS, user_id)

    async def _session(self, scope: Scope.ValueType, subject_id: str) -> NarrowSession:
        return await self._sessions.IssueNarrowSession(
            IssueNarrowSessionRequest(scope=scope, subject_id=subject_id)
        )

    async def ensure_patient(self, key: str, identity: Identity, institution_id: str) -> str:
        """The patient's account, found or made.

        Args:
            key: The request_id: the registration.
            identity: Whom the card names.
            institution_id: Where the person registers: its staff may see the account.

        Raises:
            MeshError: NIK_NAME_MISMATCH and what else user_svc refuses.
        """
        answer = await self._users.EnsurePatient(
            EnsurePatientRequest(
                request_id=key,
                identity=PatientIdentity(**vars(identity)),
                institution_id=institution_id,
            )
        )
        return answer.user.id

    async def record(self, user_id: str) -> PatientRecord:
        """All that user_svc knows of a patient.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        return await self._users.GetPatientRecord(GetPatientRecordRequest(id=user_id))

    async def erase(self, key: str, user_id: str, retain_time: datetime | None) -> None:
        """Closes the account and erases what is known of the patient.

        Args:
            key: The request_id: the erasure.
            user_id: The account. One that is not there is erased.
            retain_time: Until when it is kept, sealed. None: it is erased at once.
        """
        request = ErasePatientRequest(request_id=key, id=user_id)
        if retain_time is not None:
            request.retain_time.CopyFrom(timestamp(retain_time))
        try:
            await self._users.ErasePatient(request)
        except MeshError as error:
            if error.kind is not StatusCode.NOT_FOUND:
                raise


class Queue:
    """queue_svc."""

    def __init__(self, channels: Channels) -> None:
        """Calls through `channels`."""
        self._stub: TicketServiceAsyncStub = TicketServiceStub(channels.to("queue_svc"))

    async def issue_ticket(
        self, key: str, institution_id: str, service_id: str, user_id: str, age_years: int
    ) -> bytes:
        """The ticket, serialized.

        Args:
            key: The request_id: the registration.
            institution_id: Facility.
            service_id: Service of the facility.
            user_id: Patient.
            age_years: Age of the patient. 0: not known.

        Raises:
            MeshError: ACTIVE_TICKET_EXISTS and what else queue_svc refuses.
        """
        ticket = await self._stub.IssueTicket(
            IssueTicketRequest(
                request_id=key,
                institution_id=institution_id,
                service_id=service_id,
                patient_id=user_id,
                age_years=age_years,
            )
        )
        return ticket.SerializeToString()

    async def tickets(self, user_id: str) -> AsyncIterator[PatientTicket]:
        """All tickets of a patient with their changes, newest first."""
        request = ListPatientTicketsRequest(patient_id=user_id, page_size=PAGE_SIZE)
        while True:
            page = await self._stub.ListPatientTickets(request)
            for one in page.tickets:
                yield one
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def visits(self, user_id: str) -> Visits:
        """What an erasure must know of a patient's tickets."""
        open_tickets: list[str] = []
        served: list[datetime] = []
        async for one in self.tickets(user_id):
            if one.ticket.status in OPEN:
                open_tickets.append(one.ticket.id)
            # A service that was begun and taken back is a visit all the same.
            served += [
                change.occur_time.ToDatetime(UTC)
                for change in one.changes
                if change.status in SERVED
            ]
        return Visits(open_tickets, max(served, default=None))

    async def erase(self, key: str, user_id: str) -> None:
        """Takes a patient out of the closed tickets.

        Args:
            key: The request_id: the erasure.
            user_id: The patient.

        Raises:
            MeshError: OPEN_TICKETS.
        """
        await self._stub.ErasePatientTickets(
            ErasePatientTicketsRequest(request_id=key, patient_id=user_id)
        )


class Facilities:
    """institution_svc."""

    def __init__(self, channels: Channels) -> None:
        """Calls through `channels`."""
        self._stub: InstitutionServiceAsyncStub = InstitutionServiceStub(
            channels.to("institution_svc")
        )

    async def require_service(self, institution_id: str, service_id: str) -> str:
        """The facility's time zone, an IANA name, when it is open and has the service.

        Raises:
            MeshError: INSTITUTION_NOT_FOUND or SERVICE_NOT_FOUND.
        """
        facts = await self._stub.GetFacilityFacts(
            GetFacilityFactsRequest(institution_id=institution_id, service_id=service_id)
        )
        return facts.institution.time_zone
