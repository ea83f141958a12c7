"""A real process that is killed between the account and the ticket."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceStub

from tests.ocr_svc.conftest import Clinic, upload
from tests.ocr_svc.doubles import NAME, NIK
from tests.ocr_svc.test_confirm import COMPLETED, state_becomes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
            async with asyncio.timeout(30):
                await channel.channel_ready()
            draft, metadata = await upload(stub)
            confirm = clinic.confirm_request(draft.id)
            pending = asyncio.ensure_future(stub.ConfirmRegistration(confirm, metadata=metadata))
            async with asyncio.timeout(10):
                await clinic.queue.arrived.wait()
            first.send_signal(signal.SIGKILL)
            await first.wait()
            assert first.returncode == -signal.SIGKILL
            assert isinstance((await asyncio.gather(pending, return_exceptions=True))[0], Exception)
        assert clinic.rows("SELECT state FROM registrations") == [("ACCOUNT_READY",)]
        # Nobody asks: the registration is finished because it is there.
        clinic.queue.hold.set()
        async with process(clinic, port, log):
            async with asyncio.timeout(30):
                while clinic.rows("SELECT state FROM registrations") != [("COMPLETED",)]:
                    await asyncio.sleep(0.1)
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
