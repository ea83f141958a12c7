"""Rotation of the data key while the account service runs."""

from pathlib import Path
from uuid import uuid4

import pytest
from mediq.policy.v1.policy_pb2 import Role

from tests.support.encrypted import rotate_while_it_serves, undeclared_binaries
from tests.support.mesh import Mesh
from tests.user_svc.conftest import NAME, Clock, World, new_email, new_nik
from tests.user_svc.staff import STEP, hire
from user_svc.persistence.models import Base


@pytest.fixture
def mesh(home_copy: Path, quick_reencryption: None) -> Mesh:
    """A mesh whose keys this test may rotate."""
    return Mesh(home_copy)


def test_every_binary_column_is_declared() -> None:
    assert undeclared_binaries("user_svc", Base.metadata) == set()


async def test_everything_works_after_a_rotation(world: World, clock: Clock) -> None:
    protected, enrolling = await hire(world, clock), await hire(world, clock)
    recovery = await protected.enrol()
    enrolling.secret = (await enrolling.begin()).secret
    nik, key = new_nik(), str(uuid4())
    details = {
        "tempat_lahir": "BANDUNG",
        "tanggal_lahir": "15-08-1990",
        "jenis_kelamin": "PEREMPUAN",
        "alamat": "JL. MELATI NO. 5",
    }
    patient = await world.ensure(nik, NAME, key, **details)
    pair = await protected.login(protected.code())
    made: list[str] = []

    async def load() -> None:
        email = new_email()
        await world.create(Role.ROLE_OPERATOR, email=email)
        assert (await world.login(email)).user.email == email
        await world.ensure(new_nik())
        made.append(email)

    await rotate_while_it_serves("user_svc", world.mesh.home, world.settings.database, load)
    assert len(made) > 1
    assert await world.ensure(nik, NAME, key, **details) == patient
    again = await world.ensure(nik)
    assert (again.user.id, again.created) == (patient.user.id, False)
    clock.move(STEP)
    assert (await protected.login(protected.code())).user.id == protected.user_id
    assert (await protected.login(recovery_code=recovery[0])).user.id == protected.user_id
    assert len((await enrolling.confirm(enrolling.code())).codes) == 10
    assert (await world.refresh(pair.refresh_token)).user.id == protected.user_id
    for email in made:
        assert (await world.login(email)).user.email == email
