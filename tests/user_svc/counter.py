"""A counter of a facility, and what is asked there about patients."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp
from mediq.policy.v1.policy_pb2 import Role, Scope
from mediq.user.v1.auth_service_pb2 import IssueNarrowSessionRequest, NarrowSession
from mediq.user.v1.user_pb2 import User
from mediq.user.v1.user_service_pb2 import (
    CorrectPatientRequest,
    ErasePatientRequest,
    GetPatientRecordRequest,
    OpenDataRightsRequest,
    PatientRecord,
    RevealNikRequest,
)

from tests.support.mesh import Mesh
from tests.user_svc.conftest import NAME, Metadata, World, new_nik

UNKNOWN = ("NOT_FOUND", "USER_NOT_FOUND")
REASON = "KTP diperlihatkan di loket"
DETAILS = {
    "tempat_lahir": "KOTA CONTOH",
    "tanggal_lahir": "15-08-1990",
    "jenis_kelamin": "PEREMPUAN",
    "alamat": "JL. MELATI 5",
}


@dataclass
class Counter:
    """A counter with its operator."""

    world: World
    institution_id: str = field(default_factory=lambda: str(uuid4()))

    @property
    def mesh(self) -> Mesh:
        """The mesh of the service."""
        return self.world.mesh

    @property
    def operator(self) -> Metadata:
        """A new operator of the facility."""
        return self.mesh.token(Role.ROLE_OPERATOR, institution_id=self.institution_id)

    async def patient(self, nik: str = "", nama: str = NAME) -> User:
        """A patient who registers here with a card."""
        made = await self.world.ensure(
            nik or new_nik(), nama, institution_id=self.institution_id, **DETAILS
        )
        return made.user

    async def reveal(self, user_id: str, metadata: Metadata = ()) -> str:
        """The whole NIK."""
        request = RevealNikRequest(id=user_id, reason=REASON)
        answer = await self.world.users.RevealNik(request, metadata=metadata or self.operator)
        return answer.nik

    async def correct(
        self, user_id: str, metadata: Metadata = (), request_id: str = "", /, **changes: str
    ) -> User:
        """Corrects what is known."""
        request = CorrectPatientRequest(id=user_id, request_id=request_id, reason=REASON, **changes)
        return await self.world.users.CorrectPatient(request, metadata=metadata or self.operator)

    async def open_rights(self, user_id: str, metadata: Metadata = ()) -> NarrowSession:
        """Opens the session of the person."""
        request = OpenDataRightsRequest(id=user_id, reason=REASON)
        return await self.world.users.OpenDataRights(request, metadata=metadata or self.operator)

    async def record(self, user_id: str) -> PatientRecord:
        """All that is known, as ocr_svc asks for it."""
        return await self.world.ocr_users.GetPatientRecord(GetPatientRecordRequest(id=user_id))

    async def erase(self, user_id: str, *, retained: bool = False, request_id: str = "") -> None:
        """Erases, as ocr_svc asks for it."""
        request = ErasePatientRequest(id=user_id, request_id=request_id or str(uuid4()))
        if retained:
            until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=25 * 365)
            request.retain_time.CopyFrom(Timestamp(seconds=int(until.timestamp())))
        await self.world.ocr_users.ErasePatient(request)

    async def tickets_session(self, user_id: str) -> NarrowSession:
        """The session that a patient gets with a ticket."""
        return await self.world.ocr_auth.IssueNarrowSession(
            IssueNarrowSessionRequest(scope=Scope.SCOPE_TICKETS, subject_id=user_id)
        )
