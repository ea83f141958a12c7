"""A real registration service between doubles, a new database a test."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.api.httpbody_pb2 import HttpBody
from mediq.institution.v1.institution_service_pb2_grpc import (
    add_InstitutionServiceServicer_to_server,
)
from mediq.ocr.v1 import registration_service_pb2 as messages
from mediq.ocr.v1.data_rights_service_pb2_grpc import DataRightsServiceStub
from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceStub
from mediq.ocr_engine.v1.ocr_engine_service_pb2_grpc import add_OcrEngineServiceServicer_to_server
from mediq.policy.v1.policy_pb2 import Scope
from mediq.queue.v1.ticket_service_pb2_grpc import add_TicketServiceServicer_to_server
from mediq.user.v1.auth_service_pb2_grpc import add_AuthServiceServicer_to_server
from mediq.user.v1.user_service_pb2_grpc import add_UserServiceServicer_to_server

from mesh.clock import utc_now
from mesh.identity.tokens import TokenSigner
from mesh.rpc.client import Channels
from mesh.rpc.server import Server
from mesh.workflow.runner import WorkflowRunner
from ocr_svc.__main__ import wire
from ocr_svc.domain.consent import CONSENTS, Consent
from ocr_svc.settings import OcrSettings
from tests.ocr_svc.doubles import (
    FacilitiesDouble,
    QueueDouble,
    ReaderDouble,
    SessionsDouble,
    UsersDouble,
)
from tests.support.audit import Collector, double
from tests.support.backends.databases import migrated_sqlite
from tests.support.deadlines import patient_deadlines
from tests.support.mesh import Mesh
from tests.support.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from mediq.ocr.v1.data_rights_service_pb2_grpc import DataRightsServiceAsyncStub
    from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceAsyncStub

__all__ = ["patient_deadlines"]
Metadata = tuple[tuple[str, str], ...]
ALL_PURPOSES = [
    messages.CONSENT_PURPOSE_REGISTRATION,
    messages.CONSENT_PURPOSE_VISIT_RECORD,
]
PHOTO = b"\xff\xd8\xff\xe0" + b"a photo that must not be kept " * 20


@dataclass
class Clinic:
    """The service under test with what is around it."""

    mesh: Mesh
    database: Path
    reader: ReaderDouble = field(default_factory=ReaderDouble)
    users: UsersDouble = field(default_factory=UsersDouble)
    queue: QueueDouble = field(default_factory=QueueDouble)
    facilities: FacilitiesDouble = field(default_factory=FacilitiesDouble)
    audit: Collector = field(default_factory=Collector)
    ahead: timedelta = timedelta()
    """How far the clock of the service is moved."""
    rights: DataRightsServiceAsyncStub = field(init=False)
    """The rights of persons, at the service that was started last."""

    def __post_init__(self) -> None:
        signer = TokenSigner(self.mesh.home / "keys")
        self.sessions = SessionsDouble(signer)  # type: ignore[abstract]

    @asynccontextmanager
    async def serve(
        self, consents: Sequence[Consent] = CONSENTS, **settings: Any
    ) -> AsyncIterator[RegistrationServiceAsyncStub]:
        """The service, and a stub that calls as the edge does."""

        async def build(server: Server) -> None:
            channels = Channels(server.settings.tls, server.settings.service)
            wire(server, channels, self.now, consents)

        usual: dict[str, Any] = {
            "database_url": f"sqlite:///{self.database}",
            "migrate_at_start": False,
            "poll_seconds": 0.05,
            "purge_seconds": 0.05,
            "drain_seconds": 0.2,
        }
        ocr = OcrSettings(home=self.mesh.home, port=0, **(usual | settings))
        async with self.mesh.serve(ocr, build), self.mesh.channel("ocr_svc") as channel:
            self.rights = DataRightsServiceStub(channel)
            yield RegistrationServiceStub(channel)

    def now(self) -> datetime:
        """The time as the service sees it."""
        return utc_now() + self.ahead

    def database_bytes(self) -> bytes:
        """All that is on the disk, the write-ahead log included."""
        return b"".join(
            file.read_bytes() for file in self.database.parent.glob(f"{self.database.name}*")
        )

    def rows(self, query: str) -> list[Any]:
        """What a query finds in the service's database."""
        connection = sqlite3.connect(self.database)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def damage(self, change: str) -> None:
        """Changes registrations behind the service's back."""
        with sqlite3.connect(self.database) as connection:
            connection.execute(f"UPDATE registrations SET {change}")
        connection.close()

    def confirm_request(self, draft_id: str, **changes: Any) -> messages.ConfirmRegistrationRequest:
        values: dict[str, Any] = {
            "request_id": str(uuid4()),
            "draft_id": draft_id,
            "institution_id": self.facilities.institution_id,
            "service_id": self.facilities.service_id,
            "consent": True,
            "consent_version": CONSENTS[-1].version,
            "purposes": ALL_PURPOSES,
        }
        return messages.ConfirmRegistrationRequest(**(values | changes))


@pytest.fixture
def schema() -> str:
    """The tables of databases here."""
    return "ocr_svc"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Gets an entry each time that a background has looked for work, in any service."""
    done: list[None] = []
    real = WorkflowRunner._start_due

    async def counted(runner: WorkflowRunner[Any]) -> None:
        await real(runner)
        done.append(None)

    monkeypatch.setattr(WorkflowRunner, "_start_due", counted)
    return done


@pytest.fixture
def answers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call has time to wait for its step."""
    reserved = "ocr_svc.application.confirm_registration.ANSWER_SECONDS"
    monkeypatch.setattr(reserved, 2 * PATIENCE_SECONDS)


@pytest.fixture
async def clinic(
    mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Clinic]:
    """The doubles, running."""
    database = tmp_path / "registrations.db"
    migrated_sqlite("ocr_svc", database)
    found = Clinic(mesh, database)
    doubles: dict[str, list[tuple[Callable[..., None], object]]] = {
        "ocr_engine": [(add_OcrEngineServiceServicer_to_server, found.reader)],
        "user_svc": [
            (add_AuthServiceServicer_to_server, found.sessions),
            (add_UserServiceServicer_to_server, found.users),
            double(found.audit),
        ],
        "queue_svc": [(add_TicketServiceServicer_to_server, found.queue)],
        "institution_svc": [(add_InstitutionServiceServicer_to_server, found.facilities)],
    }
    async with AsyncExitStack() as stack:
        for name, registrations in doubles.items():
            await stack.enter_async_context(mesh.double(name, *registrations))
            monkeypatch.setenv(f"MEDIQ_{name.upper()}_ADDRESS", mesh.addresses[name])
        yield found


@pytest.fixture
async def registrations(clinic: Clinic) -> AsyncIterator[RegistrationServiceAsyncStub]:
    """The service with its usual settings."""
    async with clinic.serve() as stub:
        yield stub


def upload_request(
    data: bytes = PHOTO, content_type: str = "image/jpeg", request_id: str = ""
) -> messages.UploadDocumentRequest:
    return messages.UploadDocumentRequest(
        request_id=request_id, document=HttpBody(content_type=content_type, data=data)
    )


async def upload(
    stub: RegistrationServiceAsyncStub, request: messages.UploadDocumentRequest | None = None
) -> tuple[messages.Draft, Metadata]:
    """A draft, and the metadata that opens it."""
    answer = await stub.UploadDocument(request or upload_request())
    return answer.draft, (("authorization", f"Bearer {answer.session.access_token}"),)


def registration_token(mesh: Mesh, draft_id: str) -> Metadata:
    return mesh.token(subject=draft_id, scope=Scope.SCOPE_REGISTRATION)


def rights_token(mesh: Mesh, user_id: str) -> Metadata:
    return mesh.token(subject=user_id, scope=Scope.SCOPE_DATA_RIGHTS)


async def registered(clinic: Clinic, stub: RegistrationServiceAsyncStub) -> messages.Registration:
    """A person with an account and a ticket."""
    draft, metadata = await upload(stub)
    return await stub.ConfirmRegistration(clinic.confirm_request(draft.id), metadata=metadata)
