"""The services around a registration, as doubles that count and can be told to fail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeAlias
from uuid import uuid4

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from grpc_status import rpc_status
from mediq.institution.v1.institution_pb2 import Institution
from mediq.institution.v1.institution_service_pb2 import FacilityFacts, GetFacilityFactsRequest
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceServicer
from mediq.ocr_engine.v1 import ocr_engine_service_pb2 as engine
from mediq.ocr_engine.v1.ocr_engine_service_pb2_grpc import OcrEngineServiceServicer
from mediq.queue.v1.queue_pb2 import Ticket, TicketStatus
from mediq.queue.v1.ticket_service_pb2 import (
    ErasePatientTicketsRequest,
    ErasePatientTicketsResponse,
    IssueTicketRequest,
    ListPatientTicketsRequest,
    ListPatientTicketsResponse,
    PatientTicket,
    TicketChange,
)
from mediq.queue.v1.ticket_service_pb2_grpc import TicketServiceServicer
from mediq.user.v1.auth_service_pb2 import IssueNarrowSessionRequest, NarrowSession
from mediq.user.v1.auth_service_pb2_grpc import AuthServiceServicer
from mediq.user.v1.user_pb2 import User
from mediq.user.v1.user_service_pb2 import (
    EnsurePatientRequest,
    EnsurePatientResponse,
    ErasePatientRequest,
    GetPatientRecordRequest,
    PatientRecord,
)
from mediq.user.v1.user_service_pb2_grpc import UserServiceServicer

from mesh.contract.status import to_status
from mesh.errors import MeshError, StatusCode, failed_precondition, not_found, unavailable
from mesh.identity.tokens import TokenSigner
from ocr_svc.adapters.queue import OPEN

Context: TypeAlias = "grpc.aio.ServicerContext[Message, Message]"
NIK = "3273014107900001"
NAME = "SITI RAHAYU"
ADDRESS = "JL. MELATI NO. 5"


def card(**values: str) -> engine.CardReading:
    """A reading; an empty value leaves the field out."""
    fields = {
        "nik": NIK,
        "nama": NAME,
        "tempat_lahir": "BANDUNG",
        "tanggal_lahir": "01-07-1990",
        "jenis_kelamin": "PEREMPUAN",
        "alamat": ADDRESS,
    } | values
    reading = engine.CardReading(document_type=engine.DOCUMENT_TYPE_KTP, elapsed_ms=5)
    reading.ktp.CopyFrom(engine.KtpFields(**_read(fields)))
    reading.warnings.add(
        reason="GLARE", message="Ada pantulan cahaya.", message_en="Light is reflected."
    )
    reading.warnings.add(reason="FIELD_MISSING", field="agama", message="Agama tidak terbaca.")
    return reading


def licence(**values: str) -> engine.CardReading:
    """A reading of a SIM whose number is no NIK; an empty value leaves the field out."""
    fields = {
        "nomor_sim": "1234-5678-901234",
        "golongan": "C",
        "nama": NAME,
        "tempat_lahir": "BANDUNG",
        "tanggal_lahir": "01-07-1990",
        "jenis_kelamin": "WANITA",
        "alamat": ADDRESS,
        "wilayah": "JAWA BARAT",
        "berlaku_hingga": "01-07-2029",
    } | values
    reading = engine.CardReading(document_type=engine.DOCUMENT_TYPE_SIM, elapsed_ms=5)
    reading.sim.CopyFrom(engine.SimFields(**_read(fields)))
    reading.warnings.add(reason="FIELD_MISSING", field="pekerjaan", message="Tidak terbaca.")
    return reading


def _read(values: dict[str, str]) -> dict[str, engine.Field]:
    corners = [engine.Point(x=x, y=y) for x, y in ((0.1, 0.2), (0.4, 0.2), (0.4, 0.3), (0.1, 0.3))]
    return {
        name: engine.Field(
            value=value,
            raw_value=value.lower(),
            confidence=0.75,
            reason=engine.FIELD_REASON_REPAIRED,
            polygon=corners,
        )
        for name, value in values.items()
        if value
    }


async def _fail(context: Context, error: MeshError) -> NoReturn:
    await context.abort_with_status(rpc_status.to_status(to_status(error)))
    raise AssertionError("abort returned")


@dataclass
class Double:
    """What every double can be told."""

    refusal: MeshError | None = None
    """Answered instead of the effect."""
    hold: asyncio.Event | None = None
    """Waited for before the effect."""
    held: str = ""
    """The only method that waits, and that says that it has arrived. Empty: all of them."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    refusals: dict[str, MeshError] = field(default_factory=dict)
    """The same for single methods."""
    lost: set[str] = field(default_factory=set)
    """Methods whose next answer does not arrive, though the effect has happened."""
    seen: list[Message] = field(default_factory=list)
    """Requests of methods that look for a key, in order."""

    async def admit(self, context: Context, method: str = "") -> None:
        if self.held in ("", method):
            self.arrived.set()
        refusal = self.refusals.get(method, self.refusal)
        if refusal is not None:
            await _fail(context, refusal)
        if self.hold is not None and self.held in ("", method):
            await self.hold.wait()

    async def remember(self, context: Context, request: Any) -> None:
        """Refuses a key that came with another body, as the services do for a day."""
        for one in self.seen:
            same = isinstance(one, type(request)) and one.request_id == request.request_id
            if same and one != request:
                await _fail(
                    context, MeshError("reused", StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
                )
        self.seen.append(request)

    async def answer(self, context: Context, method: str) -> None:
        """The way of an answer to the caller."""
        if method in self.lost:
            self.lost.remove(method)
            await _fail(context, unavailable("lost", "LOST"))


class ReaderDouble(Double, OcrEngineServiceServicer):
    """ocr_engine."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = card()
        self.photos: list[bytes] = []
        self.validated: list[engine.KtpFields] = []
        self.found: list[engine.Warning] = []
        self.validation_refusal: MeshError | None = None

    async def ReadCard(
        self, request: engine.ReadCardRequest, context: Context
    ) -> engine.CardReading:
        await self.admit(context)
        self.photos.append(request.image)
        return self.reading

    async def ValidateReading(
        self, request: engine.ValidateReadingRequest, context: Context
    ) -> engine.ValidateReadingResponse:
        if self.validation_refusal is not None:
            await _fail(context, self.validation_refusal)
        self.validated.append(request.ktp)
        return engine.ValidateReadingResponse(valid=not self.found, warnings=self.found)


class SessionsDouble(Double, AuthServiceServicer):
    """The sessions of user_svc."""

    def __init__(self, signer: TokenSigner) -> None:
        super().__init__()
        self._signer = signer
        self.issued: list[IssueNarrowSessionRequest] = []

    async def IssueNarrowSession(
        self, request: IssueNarrowSessionRequest, context: Context
    ) -> NarrowSession:
        await self.admit(context)
        self.issued.append(request)
        token, _ = self._signer.sign(
            request.subject_id, lifetime_seconds=300, session_id=str(uuid4()), scope=request.scope
        )
        return NarrowSession(access_token=token)


class UsersDouble(Double, UserServiceServicer):
    """The accounts of user_svc: one a NIK."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []
        self.identities: list[Any] = []
        self.accounts: dict[str, str] = {}
        """Those that a NIK is found by."""
        self.records: dict[str, PatientRecord] = {}
        self.kept: dict[str, datetime] = {}
        """Closed accounts that are kept for a time."""

    async def EnsurePatient(
        self, request: EnsurePatientRequest, context: Context
    ) -> EnsurePatientResponse:
        await self.admit(context, "EnsurePatient")
        self.keys.append(request.request_id)
        self.identities.append(request.identity)
        user_id = self.accounts.setdefault(request.identity.nik, str(uuid4()))
        self.records.setdefault(
            user_id,
            PatientRecord(user=User(id=user_id, nama=request.identity.nama)),
        ).identity.CopyFrom(request.identity)
        if request.institution_id not in self.records[user_id].institution_ids:
            self.records[user_id].institution_ids.append(request.institution_id)
        return EnsurePatientResponse(user=User(id=user_id, nama=request.identity.nama))

    async def GetPatientRecord(
        self, request: GetPatientRecordRequest, context: Context
    ) -> PatientRecord:
        await self.admit(context, "GetPatientRecord")
        if request.id not in self.records or request.id in self.kept:
            await _fail(context, not_found("user", request.id))
        return self.records[request.id]

    async def ErasePatient(self, request: ErasePatientRequest, context: Context) -> Empty:
        await self.admit(context, "ErasePatient")
        await self.remember(context, request)
        self.accounts = {nik: one for nik, one in self.accounts.items() if one != request.id}
        if request.HasField("retain_time"):
            self.kept[request.id] = request.retain_time.ToDatetime(UTC)
        else:
            self.kept.pop(request.id, None)
            if self.records.pop(request.id, None) is None:
                await _fail(context, not_found("user", request.id))
        await self.answer(context, "ErasePatient")
        return Empty()


class QueueDouble(Double, TicketServiceServicer):
    """queue_svc: one ticket a key."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.ages: list[int] = []
        self.tickets: dict[str, Ticket] = {}
        self.changes: dict[str, list[TicketChange]] = {}
        """By ticket."""
        self.page_size = 200

    async def IssueTicket(self, request: IssueTicketRequest, context: Context) -> Ticket:
        self.calls += 1
        self.ages.append(request.age_years)
        await self.admit(context, "IssueTicket")
        if request.request_id not in self.tickets:
            self.tickets[request.request_id] = Ticket(
                id=str(uuid4()),
                number=f"A-{len(self.tickets) + 1:03}",
                institution_id=request.institution_id,
                service_id=request.service_id,
                patient_id=request.patient_id,
                status=TicketStatus.TICKET_STATUS_WAITING,
            )
        return self.tickets[request.request_id]

    def close(self, ticket: Ticket, *statuses: TicketStatus.ValueType, time: datetime) -> None:
        """Moves a ticket through states, the last of which is final."""
        (kept,) = (one for one in self.tickets.values() if one.id == ticket.id)
        for status in statuses:
            kept.status = status
            change = TicketChange(status=status, actor=str(uuid4()), reason=f"{status} batuk")
            change.occur_time.FromDatetime(time)
            self.changes.setdefault(kept.id, []).append(change)

    def of(self, patient_id: str) -> list[Ticket]:
        """The tickets of a patient, newest first."""
        return [one for one in self.tickets.values() if one.patient_id == patient_id][::-1]

    async def ListPatientTickets(
        self, request: ListPatientTicketsRequest, context: Context
    ) -> ListPatientTicketsResponse:
        await self.admit(context, "ListPatientTickets")
        found, start = self.of(request.patient_id), int(request.page_token or 0)
        end = start + min(self.page_size, request.page_size)
        return ListPatientTicketsResponse(
            tickets=[
                PatientTicket(ticket=one, changes=self.changes.get(one.id, ()))
                for one in found[start:end]
            ],
            next_page_token=str(end) if end < len(found) else "",
        )

    async def ErasePatientTickets(
        self, request: ErasePatientTicketsRequest, context: Context
    ) -> ErasePatientTicketsResponse:
        await self.admit(context, "ErasePatientTickets")
        await self.remember(context, request)
        found = self.of(request.patient_id)
        if any(one.status in OPEN for one in found):
            await _fail(context, failed_precondition("open", "OPEN_TICKETS"))
        for one in found:
            one.patient_id = str(uuid4())
            self.changes.pop(one.id, None)
        await self.answer(context, "ErasePatientTickets")
        return ErasePatientTicketsResponse(tickets=len(found))


class FacilitiesDouble(Double, InstitutionServiceServicer):
    """institution_svc: one facility with two services."""

    def __init__(self) -> None:
        super().__init__()
        self.institution_id = str(uuid4())
        self.service_id = str(uuid4())
        self.other_service_id = str(uuid4())

    async def GetFacilityFacts(
        self, request: GetFacilityFactsRequest, context: Context
    ) -> FacilityFacts:
        await self.admit(context)
        if request.institution_id != self.institution_id:
            await _fail(context, not_found("institution", request.institution_id))
        if request.service_id not in (self.service_id, self.other_service_id):
            await _fail(context, not_found("service", request.service_id))
        return FacilityFacts(
            institution=Institution(id=self.institution_id, time_zone="Asia/Jakarta")
        )
