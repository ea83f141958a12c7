"""Rotation of the data key while the facility service runs."""

from pathlib import Path
from uuid import uuid4

import pytest
from mediq.institution.v1 import institution_service_pb2 as requests
from mediq.institution.v1.institution_pb2 import Institution
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceStub
from mediq.policy.v1.policy_pb2 import Role

from institution_svc.__main__ import build
from institution_svc.persistence.models import Base
from institution_svc.settings import InstitutionSettings
from tests.support.encrypted import rotate_while_it_serves, undeclared_binaries
from tests.support.mesh import Mesh


@pytest.fixture
def mesh(home_copy: Path, quick_reencryption: None) -> Mesh:
    """A mesh whose keys this test may rotate."""
    return Mesh(home_copy)


def test_every_binary_column_is_declared() -> None:
    assert undeclared_binaries("institution_svc", Base.metadata) == set()


async def test_answers_are_repeated_after_a_rotation(mesh: Mesh, database_url: str) -> None:
    settings = InstitutionSettings(
        home=mesh.home, port=0, database_url=database_url, migrate_at_start=False
    )
    admin = mesh.token(Role.ROLE_ADMIN_FASKES)
    answers: dict[str, Institution] = {}
    async with mesh.serve(settings, build), mesh.channel("institution_svc") as channel:
        stub = InstitutionServiceStub(channel)

        async def create(key: str) -> Institution:
            return await stub.CreateInstitution(
                requests.CreateInstitutionRequest(
                    request_id=key,
                    name=f"Puskesmas {key[:8]}",
                    city="Bandung",
                    time_zone="Asia/Jakarta",
                ),
                metadata=admin,
            )

        async def load() -> None:
            key = str(uuid4())
            answers[key] = await create(key)
            assert await create(key) == answers[key]

        await load()
        await rotate_while_it_serves("institution_svc", mesh.home, database_url, load)
        assert len(answers) > 2
        for key, answer in answers.items():
            assert await create(key) == answer
