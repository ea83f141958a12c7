"""A real facility service, a new database a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceStub
from mediq.policy.v1.policy_pb2 import Role

from institution_svc.__main__ import wire
from institution_svc.settings import InstitutionSettings
from mesh.clock import utc_now
from mesh.rpc.server import Server
from tests.support.audit import Collector, double
from tests.support.backends.databases import migrated_sqlite
from tests.support.deadlines import patient_deadlines
from tests.support.mesh import Mesh

if TYPE_CHECKING:
    from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceAsyncStub

__all__ = ["patient_deadlines"]
Metadata = tuple[tuple[str, str], ...]


@pytest.fixture
def schema() -> str:
    """The tables of databases here."""
    return "institution_svc"


@pytest.fixture
def audit() -> Collector:
    """Where the audit trail ends."""
    return Collector()


@pytest.fixture
async def institutions(
    mesh: Mesh, audit: Collector, tmp_path: Path
) -> AsyncIterator[InstitutionServiceAsyncStub]:
    """A stub that calls as the edge does."""
    settings = InstitutionSettings(
        home=mesh.home,
        port=0,
        database_url=migrated_sqlite("institution_svc", tmp_path / "facilities.db"),
        migrate_at_start=False,
    )

    async def build(server: Server) -> None:
        wire(server, mesh.channels("institution_svc"), utc_now)

    async with (
        mesh.double("user_svc", double(audit)),
        mesh.serve(settings, build),
        mesh.channel("institution_svc") as channel,
    ):
        yield InstitutionServiceStub(channel)


@pytest.fixture
def network_admin(mesh: Mesh) -> Metadata:
    """Metadata of a network administrator."""
    return mesh.token(Role.ROLE_ADMIN_FASKES)
