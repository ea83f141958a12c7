"""A real process that is killed between two steps: of a registration, of an erasure."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mediq.ocr.v1.data_rights_service_pb2_grpc import DataRightsServiceStub
from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceStub

from tests.ocr_svc.conftest import Clinic, upload
from tests.ocr_svc.doubles import NAME, NIK, Double
from tests.ocr_svc.erasures import ABSENT, ERASED, erase, in_database, keys, visited
from tests.ocr_svc.steps import COMPLETED, state_becomes
from tests.support.backends.databases import dump
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_SECONDS, eventually


@asynccontextmanager
async def process(
    clinic: Clinic, port: int, log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service as it is started in earnest, until the test kills it."""
    settings = {
        "MEDIQ_HOME": str(clinic.mesh.home),
        "MEDIQ_OCR_SVC_PORT": str(port),
        "MEDIQ_OCR_SVC_DATABASE_URL": f"sqlite:///{clinic.database}",
        "MEDIQ_OCR_SVC_LEASE_SECONDS": "2",
        "MEDIQ_OCR_SVC_POLL_SECONDS": "0.1",
    }
    with log.open("ab") as output:
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ocr_svc", env=os.environ | settings, stderr=output
        )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.send_signal(signal.SIGKILL)
        await started.wait()


async def test_killed_between_account_and_ticket(clinic: Clinic, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "ocr_svc.log"
    clinic.mesh.addresses["ocr_svc"] = f"127.0.0.1:{port}"
    clinic.queue.hold = asyncio.Event()
    async with clinic.mesh.channel("ocr_svc") as channel:
        stub = RegistrationServiceStub(channel)
        async with process(clinic, port, log) as first:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await channel.channel_ready()
            draft, metadata = await upload(stub)
            confirm = clinic.confirm_request(draft.id)
            pending = asyncio.ensure_future(stub.ConfirmRegistration(confirm, metadata=metadata))
            async with asyncio.timeout(PATIENCE_SECONDS):
                await clinic.queue.arrived.wait()
            first.send_signal(signal.SIGKILL)
            await first.wait()
            assert first.returncode == -signal.SIGKILL
            assert isinstance((await asyncio.gather(pending, return_exceptions=True))[0], Exception)
        assert clinic.rows("SELECT state FROM registrations") == [("ACCOUNT_READY",)]
        # Nobody asks: the registration is finished because it is there.
        clinic.queue.hold.set()
        async with process(clinic, port, log):
            query = "SELECT state FROM registrations"
            await eventually(lambda: clinic.rows(query) == [("COMPLETED",)])
            await channel.channel_ready()
            done = await state_becomes(stub, draft.id, metadata, COMPLETED)
            repeated = await stub.ConfirmRegistration(confirm, metadata=metadata)
    assert repeated.ticket == done.ticket == clinic.queue.tickets[done.id]
    assert len(clinic.queue.tickets) == len(clinic.users.keys) == 1
    assert clinic.queue.calls == 2
    written = log.read_text()
    assert done.id in written
    assert NIK not in written
    assert NAME not in written


@pytest.mark.parametrize(
    ("service", "method", "state"),
    [
        ("users", "ErasePatient", "ACCEPTED"),
        ("queue", "ErasePatientTickets", "ACCOUNT_ERASED"),
    ],
)
async def test_killed_in_an_erasure(
    clinic: Clinic, tmp_path: Path, service: str, method: str, state: str
) -> None:
    port, log = free_port(), tmp_path / "ocr_svc.log"
    clinic.mesh.addresses["ocr_svc"] = f"127.0.0.1:{port}"
    url = f"sqlite:///{clinic.database}"
    double: Double = getattr(clinic, service)
    async with clinic.mesh.channel("ocr_svc") as channel:
        stub, clinic.rights = RegistrationServiceStub(channel), DataRightsServiceStub(channel)
        async with process(clinic, port, log) as first:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await channel.channel_ready()
            done = await visited(clinic, stub, *ABSENT)
            double.arrived.clear()
            double.hold, double.held = asyncio.Event(), method
            pending = asyncio.ensure_future(erase(clinic, done.user_id))
            async with asyncio.timeout(PATIENCE_SECONDS):
                await double.arrived.wait()
            first.send_signal(signal.SIGKILL)
            await first.wait()
            assert isinstance((await asyncio.gather(pending, return_exceptions=True))[0], Exception)
        assert [row["state"] for row in dump(url)["erasures"]] == [state]
        # Nobody asks: the erasure is finished because it was accepted.
        double.hold.set()
        async with process(clinic, port, log):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await channel.channel_ready()
            await in_database(url, "ERASED")
            found = await erase(clinic, done.user_id)
    assert found.state == ERASED
    # The call that was on its way when the process was killed arrives too: with the same key.
    assert set(keys(clinic.users, "ErasePatient")) == {found.id}
    assert set(keys(clinic.queue, "ErasePatientTickets")) == {found.id}
    assert done.user_id not in repr(dump(url))
    assert done.user_id not in log.read_text()
