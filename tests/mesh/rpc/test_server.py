import asyncio
import socket
from typing import ClassVar

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from mediq.institution.v1 import institution_service_pb2 as requests
from mediq.institution.v1.institution_pb2 import Institution
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceStub

from mesh.clock import utc_now
from mesh.rpc.server import Server
from mesh.settings import ServiceSettings
from tests.mesh.asked import GET
from tests.mesh.conftest import SERVICE, Probe, Running
from tests.support.mesh import Mesh, partly
from tests.support.waiting import PATIENCE_SECONDS, eventually

HealthStub = health_pb2_grpc.HealthStub
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Settings(ServiceSettings):
    service: ClassVar[str] = "institution_svc"


async def state(channel: grpc.aio.Channel, service: str = "") -> int:
    reply = await HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    return int(reply.status)


async def becomes(channel: grpc.aio.Channel, wanted: int) -> None:
    """Waits until a server says so of itself."""

    async def reached() -> bool:
        return await state(channel) == wanted

    await eventually(reached)


async def test_health_follows_the_checks(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.rpc.server.CHECK_SECONDS", 0.05)
    broken = True

    async def probe() -> None:
        if broken:
            raise ConnectionError("gone")

    async def build(server: Server) -> None:
        server.add_readiness_check("database", probe)

    async with (
        mesh.serve(Settings(home=mesh.home, port=0), build) as server,
        mesh.channel("institution_svc", "ops") as channel,
    ):
        assert await state(channel) == NOT_SERVING
        assert server.failing_checks == {"database": "ConnectionError: gone"}
        broken = False
        await becomes(channel, SERVING)
        assert await state(channel, "mediq.institution.v1.InstitutionService") == SERVING
        broken = True
        await becomes(channel, NOT_SERVING)


async def test_a_hanging_check_is_a_failed_one(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.rpc.server.CHECK_TIMEOUT_SECONDS", 0.05)

    async def build(server: Server) -> None:
        server.add_readiness_check("broker", lambda: asyncio.sleep(10))

    async with mesh.serve(Settings(home=mesh.home, port=0), build) as server:
        assert "broker" in server.failing_checks


async def test_reflection_lists_the_services(running: Running, mesh: Mesh) -> None:
    async with mesh.channel("institution_svc", "ops") as channel:
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        stream = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([request])
        )
        reply = await stream.read()
    names = {service.name for service in reply.list_services_response.service}
    assert "mediq.institution.v1.InstitutionService" in names


async def test_drain_finishes_the_call_in_progress(mesh: Mesh) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def first_waits() -> Institution:
        if not started.is_set():
            started.set()
            await go.wait()
        return Institution(name="finished")

    async def build(server: Server) -> None:
        server.add(partly(SERVICE), Probe(first_waits))

    settings = Settings(home=mesh.home, port=0, drain_seconds=PATIENCE_SECONDS)
    async with mesh.serve(settings, build) as server, mesh.channel("institution_svc") as channel:
        stub = InstitutionServiceStub(channel)
        call = asyncio.ensure_future(stub.GetInstitution(GET))
        await started.wait()
        stopping = asyncio.ensure_future(server.stop())

        async def refuses() -> bool:
            try:
                await stub.GetInstitution(GET)
            except grpc.aio.AioRpcError as error:
                return error.code() is grpc.StatusCode.UNAVAILABLE
            return False

        await eventually(refuses)
        assert not stopping.done()
        go.set()
        await stopping
        assert (await call).name == "finished"


async def test_taken_port_says_what_to_do(mesh: Mesh) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = Server(Settings(home=mesh.home, port=taken.getsockname()[1]), utc_now)
        with pytest.raises(RuntimeError, match="MEDIQ_INSTITUTION_SVC_PORT"):
            await server.start()


async def test_background_work_is_started_again(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.rpc.server.CHECK_SECONDS", 0.02)
    runs: list[int] = []
    done = asyncio.Event()

    async def work() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise OSError("lost")
        done.set()

    async def build(server: Server) -> None:
        server.add_background_task(work)

    async with mesh.serve(Settings(home=mesh.home, port=0), build):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await done.wait()
    assert len(runs) == 3


async def test_unimplemented_method_is_a_typed_answer(running: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.stub.ListInstitutions(requests.ListInstitutionsRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
