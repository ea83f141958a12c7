"""The metrics page of a service, and that nothing of it is there without a port."""

import socket
import subprocess
import sys
from typing import ClassVar

import httpx
import pytest

from mesh.clock import utc_now
from mesh.rpc.server import Server
from mesh.settings import ServiceSettings
from tests.support.mesh import Mesh
from tests.support.pages import page
from tests.support.ports import free_port


class Settings(ServiceSettings):
    service: ClassVar[str] = "institution_svc"


async def build(server: Server) -> None:
    server.meter.create_counter("mediq.test.calls").add(3, {"kind": "odd"})


async def test_the_page_shows_the_instruments(mesh: Mesh) -> None:
    port = free_port()
    async with mesh.serve(Settings(home=mesh.home, port=0, metrics_port=port), build):
        shown = await page(port)
    assert 'mediq_test_calls_total{kind="odd"} 3.0' in shown
    assert 'service_name="institution_svc"' in shown
    assert "process_resident_memory_bytes" in shown
    with pytest.raises(httpx.ConnectError):
        await page(port)


async def test_servers_of_one_process_do_not_mix(mesh: Mesh) -> None:
    """Each test of this file would see the numbers of the one before."""
    for _ in range(2):
        port = free_port()
        async with mesh.serve(Settings(home=mesh.home, port=0, metrics_port=port), build):
            assert 'mediq_test_calls_total{kind="odd"} 3.0' in await page(port)


async def test_without_a_port_instruments_do_nothing(mesh: Mesh) -> None:
    async with mesh.serve(Settings(home=mesh.home, port=0), build) as server:
        assert type(server.meter).__name__ == "NoOpMeter"


async def test_a_taken_port_says_what_to_do(mesh: Mesh) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = Server(Settings(home=mesh.home, port=0, metrics_port=port), utc_now)
        with pytest.raises(RuntimeError, match="MEDIQ_INSTITUTION_SVC_METRICS_PORT"):
            await server.start()
        await server.stop()


def test_nothing_is_imported_without_a_port() -> None:
    code = (
        "import sys, mesh.rpc.server; "
        "sys.exit(any(name.startswith(('prometheus_client', 'opentelemetry.sdk.metrics'))"
        " for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_variable_is_named_after_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    from ocr_svc.settings import OcrSettings

    monkeypatch.setenv("MEDIQ_OCR_SVC_METRICS_PORT", "9403")
    assert OcrSettings().metrics_port == 9403
