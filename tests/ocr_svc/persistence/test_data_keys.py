"""Rotation of the data key while the registration service runs."""

import asyncio
from pathlib import Path

import pytest
from mediq.ocr.v1 import registration_service_pb2 as messages

from mesh.errors import unavailable
from ocr_svc.persistence.models import Base
from tests.ocr_svc.conftest import Clinic, upload
from tests.ocr_svc.doubles import NIK, card
from tests.ocr_svc.erasures import ABSENT, ERASED, erase, visited
from tests.ocr_svc.steps import COMPLETED, state_becomes
from tests.support.encrypted import rotate_while_it_serves, undeclared_binaries
from tests.support.mesh import Mesh


@pytest.fixture
def mesh(home_copy: Path, quick_reencryption: None) -> Mesh:
    """A mesh whose keys this test may rotate."""
    return Mesh(home_copy)


def test_every_binary_column_is_declared() -> None:
    assert undeclared_binaries("ocr_svc", Base.metadata) == set()


async def test_registrations_go_on_after_a_rotation(clinic: Clinic, database_url: str) -> None:
    async with clinic.serve(database_url=database_url) as stub:
        draft, metadata = await upload(stub)
        finished, finished_metadata = await upload(stub)
        confirm = clinic.confirm_request(finished.id)
        done = await stub.ConfirmRegistration(confirm, metadata=finished_metadata)
        assert done.state == COMPLETED
        clinic.reader.reading = card(nik="3273014107900002", nama="ORANG LAIN")
        gone = await visited(clinic, stub, *ABSENT)
        assert (await erase(clinic, gone.user_id)).state == ERASED
        clinic.reader.reading = card()
        # Its identity and age are kept, because the accounts do not answer.
        pending, pending_metadata = await upload(stub)
        clinic.users.refusal = unavailable("down", "DOWN")
        await stub.ConfirmRegistration(
            clinic.confirm_request(pending.id), metadata=pending_metadata
        )
        made: list[str] = []

        async def load() -> None:
            other, other_metadata = await upload(stub)
            change = messages.UpdateDraftRequest(id=other.id, alamat="JL. MAWAR NO. 1")
            await stub.UpdateDraft(change, metadata=other_metadata)
            get = messages.GetDraftRequest(id=other.id)
            read = await stub.GetDraft(get, metadata=other_metadata)
            assert read.ktp.alamat.value == "JL. MAWAR NO. 1"
            made.append(other.id)
            await asyncio.sleep(0.01)

        await rotate_while_it_serves("ocr_svc", clinic.mesh.home, database_url, load)
        assert len(made) > 1
        get = messages.GetDraftRequest(id=draft.id)
        assert (await stub.GetDraft(get, metadata=metadata)).ktp.nik.value == NIK
        request = messages.GetRegistrationRequest(draft_id=finished.id)
        read = await stub.GetRegistration(request, metadata=finished_metadata)
        assert read.ticket == done.ticket
        clinic.users.refusal = None
        ended = await state_becomes(stub, pending.id, pending_metadata, COMPLETED)
        assert clinic.users.identities[-1].nik == NIK
        assert clinic.queue.ages[-1] == clinic.queue.ages[0] > 0
        assert ended.ticket.id
