"""The services around a registration, as doubles that count and can be told to fail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias
from uuid import uuid4

import grpc
from google.protobuf.message import Message
from grpc_status import rpc_status
from mediq.institution.v1.institution_pb2 import Institution
from mediq.institution.v1.institution_service_pb2 import FacilityFacts, GetFacilityFactsRequest
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceServicer
from mediq.ocr_engine.v1 import ocr_engine_service_pb2 as engine
from mediq.ocr_engine.v1.ocr_engine_service_pb2_grpc import OcrEngineServiceServicer
from mediq.queue.v1.queue_pb2 import Ticket, TicketStatus
from mediq.queue.v1.queue_service_pb2 import IssueTicketRequest
from mediq.queue.v1.queue_service_pb2_grpc import QueueServiceServicer
from mediq.user.v1.auth_service_pb2 import IssueNarrowSessionRequest, NarrowSession
from mediq.user.v1.auth_service_pb2_grpc import AuthServiceServicer
from mediq.user.v1.user_pb2 import User
from mediq.user.v1.user_service_pb2 import EnsurePatientRequest, EnsurePatientResponse
from mediq.user.v1.user_service_pb2_grpc import UserServiceServicer

from mesh.errors import MeshError, not_found
from mesh.status import to_status
from mesh.tokens import TokenSigner

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
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def admit(self, context: Context) -> None:
        self.arrived.set()
        if self.refusal is not None:
            await _fail(context, self.refusal)
        if self.hold is not None:
            await self.hold.wait()


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

    async def EnsurePatient(
        self, request: EnsurePatientRequest, context: Context
    ) -> EnsurePatientResponse:
        await self.admit(context)
        self.keys.append(request.request_id)
        self.identities.append(request.identity)
        user_id = self.accounts.setdefault(request.identity.nik, str(uuid4()))
        return EnsurePatientResponse(user=User(id=user_id, nama=request.identity.nama))


class QueueDouble(Double, QueueServiceServicer):
    """queue_svc: one ticket a key."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.ages: list[int] = []
        self.tickets: dict[str, Ticket] = {}

    async def IssueTicket(self, request: IssueTicketRequest, context: Context) -> Ticket:
        self.calls += 1
        self.ages.append(request.age_years)
        await self.admit(context)
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
