"""A real account service, a new database a test, on every kind of database."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc
import pytest
from mediq.policy.v1.policy_pb2 import Role
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1 import user_service_pb2 as messages
from mediq.user.v1.auth_service_pb2_grpc import AuthServiceStub
from mediq.user.v1.user_pb2 import PatientIdentity, User
from mediq.user.v1.user_service_pb2_grpc import UserServiceStub
from sqlalchemy import Engine, text

from mesh.clock import utc_now
from mesh.persistence.database import make_engine
from mesh.rpc.server import Server
from tests.support.deadlines import patient_deadlines
from tests.support.mesh import Mesh
from user_svc.__main__ import wire
from user_svc.settings import UserSettings

if TYPE_CHECKING:
    from mediq.user.v1.auth_service_pb2_grpc import AuthServiceAsyncStub
    from mediq.user.v1.user_service_pb2_grpc import UserServiceAsyncStub

__all__ = ["patient_deadlines"]
Metadata = tuple[tuple[str, str], ...]
PASSWORD = "kuda-biru-lari-pagi"
NAME = "SITI RAHMAWATI"
_serial = count(1)


def new_nik() -> str:
    """A NIK that can exist: a woman born on 15 August 1990."""
    return f"320101550890{next(_serial):04d}"


def new_email() -> str:
    """An address that no other test uses."""
    return f"staf{next(_serial)}@contoh.example"


def bearer(token: str) -> Metadata:
    """Metadata with an access token."""
    return (("authorization", f"Bearer {token}"),)


class Clock:
    """What the account service takes for the time: it runs until it is stopped."""

    def __init__(self) -> None:
        self._stopped: datetime.datetime | None = None

    def __call__(self) -> datetime.datetime:
        return self._stopped or utc_now()

    @property
    def now(self) -> datetime.datetime:
        """The time."""
        return self()

    async def build(self, server: Server) -> None:
        """Wires a service that takes this clock."""
        wire(server, self)

    def stop(self) -> None:
        """Lets it stand still until it is moved."""
        self._stopped = self.now

    def move(self, by: datetime.timedelta) -> None:
        """Moves it on; from then on it stands still."""
        self._stopped = self.now + by


@dataclass
class World:
    """A running account service with stubs that call it."""

    mesh: Mesh
    settings: UserSettings
    auth: AuthServiceAsyncStub
    """As the edge calls."""
    users: UserServiceAsyncStub
    """As the edge calls."""
    ocr_auth: AuthServiceAsyncStub
    """As ocr_svc calls."""
    ocr_users: UserServiceAsyncStub
    """As ocr_svc calls."""
    engine: Engine
    """The service's database."""
    network_admin: Metadata
    """A network administrator without a row of its own."""

    async def create(
        self,
        role: Role.ValueType = Role.ROLE_OPERATOR,
        *,
        email: str = "",
        institution_id: str | None = None,
        metadata: Metadata = (),
        nama: str = "Budi Santoso",
        request_id: str = "",
    ) -> User:
        """Makes a staff account."""
        request = messages.CreateUserRequest(
            role=role,
            email=email or new_email(),
            institution_id=str(uuid4()) if institution_id is None else institution_id,
            nama=nama,
            password=PASSWORD,
            request_id=request_id,
        )
        return await self.users.CreateUser(request, metadata=metadata or self.network_admin)

    async def ensure(
        self,
        nik: str,
        nama: str = NAME,
        request_id: str = "",
        institution_id: str = "",
        **details: str,
    ) -> messages.EnsurePatientResponse:
        """Finds or makes a patient."""
        return await self.ocr_users.EnsurePatient(
            messages.EnsurePatientRequest(
                request_id=request_id or str(uuid4()),
                identity=PatientIdentity(nik=nik, nama=nama, **details),
                institution_id=institution_id,
            )
        )

    async def login(self, email: str, password: str = PASSWORD) -> logins.TokenPair:
        """Signs staff in."""
        return await self.auth.LoginAdmin(logins.LoginAdminRequest(email=email, password=password))

    async def refresh(self, token: str) -> logins.TokenPair:
        """Exchanges a refresh token."""
        return await self.auth.RefreshToken(logins.RefreshTokenRequest(refresh_token=token))

    def sql(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Runs a statement beside the service."""
        with self.engine.begin() as connection:
            found = connection.execute(text(statement), values)
            return [tuple(row) for row in found] if found.returns_rows else []

    def age(self, table: str, column: str, by: datetime.timedelta) -> None:
        """Moves every time in a column back."""
        rows = self.sql(f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL")
        for (value,) in rows:
            time = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
            form = "%Y-%m-%d %H:%M:%S.%f"
            self.sql(
                f"UPDATE {table} SET {column} = :new WHERE {column} = :old",
                new=(time - by).strftime(form),
                old=time.strftime(form),
            )

    def age_out_grace(self) -> None:
        """Makes every use of a refresh token too old to be repeated."""
        self.age("refresh_tokens", "use_time", datetime.timedelta(seconds=11))


@pytest.fixture
def schema() -> str:
    """The tables of databases here."""
    return "user_svc"


@pytest.fixture
def settings(mesh: Mesh, database_url: str, tmp_path: Path) -> UserSettings:
    """Settings that make passwords quick."""
    return UserSettings(
        home=mesh.home,
        port=0,
        database_url=database_url,
        migrate_at_start=False,
        bcrypt_cost=4,
        drain_seconds=0.2,
        audit_anchors=tmp_path / "anchors",
    )


@pytest.fixture
def engine(settings: UserSettings) -> Iterator[Engine]:
    """Direct access to the service's database."""
    engine = make_engine(settings.database, 2)
    yield engine
    engine.dispose()


@pytest.fixture
def running_clock() -> Clock:
    """The clock of the account service, which runs."""
    return Clock()


@pytest.fixture
async def world(
    mesh: Mesh, settings: UserSettings, engine: Engine, running_clock: Clock
) -> AsyncIterator[World]:
    """A running account service."""
    async with (
        mesh.serve(settings, running_clock.build),
        mesh.channel("user_svc") as edge,
        mesh.channel("user_svc", "ocr_svc") as ocr,
    ):
        yield World(
            mesh=mesh,
            settings=settings,
            auth=AuthServiceStub(edge),
            users=UserServiceStub(edge),
            ocr_auth=AuthServiceStub(ocr),
            ocr_users=UserServiceStub(ocr),
            engine=engine,
            network_admin=mesh.token(Role.ROLE_ADMIN_FASKES),
        )


@pytest.fixture
def clock(running_clock: Clock) -> Clock:
    """The clock of the account service, which stands still."""
    running_clock.stop()
    return running_clock


def retry_seconds(error: grpc.aio.AioRpcError) -> float:
    """The retry time of an error; 0 without one."""
    from mesh.contract.status import from_rpc_error

    return from_rpc_error(error).retry_after_seconds or 0.0
