"""Certificates that are renewed under running servers and clients."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from mediq.institution.v1 import institution_service_pb2 as requests
from mediq.institution.v1.institution_pb2 import Institution
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceStub
from structlog.testing import capture_logs
from structlog.typing import EventDict

from mesh import data_dir
from mesh.clock import Clock
from mesh.identity.certificates import IdentityFiles, read_identity
from mesh.identity.tls import ensure_identities, renew_identities
from mesh.observability import telemetry
from mesh.rpc import server
from mesh.rpc.client import Channels, _Renewing
from mesh.rpc.pipeline import Context
from mesh.rpc.server import Server
from tests.mesh.asked import GET
from tests.mesh.conftest import SERVICE, Probe, Settings
from tests.support.mesh import Mesh, partly
from tests.support.waiting import PATIENCE_SECONDS, eventually

NAME = "institution_svc"
FACTS = requests.GetFacilityFactsRequest(institution_id="x")
RENEWED = "certificate renewed"
NOT_TAKEN = "certificate not taken, the one before stays"


@pytest.fixture
def mesh(tmp_path: Path) -> Mesh:
    """A data folder that the test may change."""
    data_dir.prepare(tmp_path)
    return Mesh(tmp_path)


@pytest.fixture(autouse=True)
def _look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.identity.certificates.POLL_SECONDS", 0.0)


def serial(mesh: Mesh, name: str = NAME) -> int:
    return read_identity(mesh.home / "tls", name).leaf.serial_number


async def shown(mesh: Mesh, name: str = NAME, identity: str | None = "edge") -> int:
    """The serial that a server shows to a new connection."""
    folder = mesh.home / "tls"
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.set_alpn_protocols(["h2"])
    if identity is not None:
        context.load_cert_chain(folder / f"{identity}.crt", folder / f"{identity}.key")
    host, _, port = mesh.addresses[name].rpartition(":")
    reader, writer = await asyncio.open_connection(
        host, int(port), ssl=context, server_hostname="localhost"
    )
    try:
        # The server's first frame comes when it has accepted the client's certificate.
        if not await reader.read(9):
            raise ConnectionError("closed")
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
    return x509.load_der_x509_certificate(der).serial_number


@asynccontextmanager
async def serving(mesh: Mesh, probe: Probe) -> AsyncIterator[Server]:
    async def build(server: Server) -> None:
        server.add(partly(SERVICE), probe)

    telemetry.configure(NAME, 0, mesh.home)
    async with mesh.serve(Settings(home=mesh.home, port=0, drain_seconds=0.5), build) as server:
        yield server


class Watching:
    """Answers with the serial of the caller's certificate, when it may."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.began = asyncio.Event()

    async def GetFacilityFacts(
        self, request: requests.GetFacilityFactsRequest, context: Context
    ) -> requests.FacilityFacts:
        (pem,) = context.auth_context()["x509_pem_cert"]
        self.began.set()
        await self.go.wait()
        number = x509.load_pem_x509_certificate(pem).serial_number
        return requests.FacilityFacts(institution=Institution(name=str(number)))


@asynccontextmanager
async def calling(mesh: Mesh) -> AsyncIterator[tuple[Watching, Channels]]:
    watching = Watching()
    async with mesh.double(NAME, (partly(SERVICE), watching)):
        channels = mesh.channels("queue_svc")
        try:
            yield watching, channels
        finally:
            await channels.close()


def below(channels: Channels) -> grpc.aio.Channel:
    """The channel that new calls take at this moment."""
    renewing = channels.to(NAME)
    assert isinstance(renewing, _Renewing)
    return renewing._current()


async def test_server_is_renewed_while_it_serves(mesh: Mesh) -> None:
    go, began = asyncio.Event(), asyncio.Event()

    async def slow() -> Institution:
        began.set()
        await go.wait()
        return Institution(name="finished")

    async with serving(mesh, Probe(slow)), mesh.channel(NAME) as channel:
        stub = InstitutionServiceStub(channel)
        before = await shown(mesh)
        assert before == serial(mesh)
        call = asyncio.ensure_future(stub.GetInstitution(GET))
        await began.wait()
        with capture_logs() as lines:
            renew_identities(mesh.home / "tls", [NAME])
            after = await shown(mesh)
        assert after == serial(mesh) != before
        assert [line["serial"] for line in lines if line["event"] == RENEWED] == [f"{after:x}"]
        go.set()
        assert (await call).name == "finished"
        # The connection from before stays good.
        assert (await stub.GetInstitution(GET)).name == "finished"


@pytest.mark.parametrize("damage", ["half", "other key", "garbage", "authority", "gone"])
async def test_damaged_files_are_not_taken(mesh: Mesh, damage: str) -> None:
    folder = mesh.home / "tls"
    trust = (folder / "ca.crt").read_bytes()
    async with serving(mesh, Probe()):
        before = await shown(mesh)
        with capture_logs() as lines:
            context_files = {
                "half": (f"{NAME}.crt", (folder / f"{NAME}.crt").read_bytes()[:200]),
                "other key": (f"{NAME}.key", (folder / "edge.key").read_bytes()),
                "garbage": (f"{NAME}.key", b"\0"),
                "authority": ("ca.crt", b""),
                "gone": (f"{NAME}.crt", None),
            }
            file, content = context_files[damage]
            (folder / file).unlink()
            if content is not None:
                (folder / file).write_bytes(content)
            whole = folder.parent / "whole.crt"
            whole.write_bytes(trust)
            for _ in range(2):
                assert await _shown_with(mesh, whole) == before
        warnings = [line for line in lines if line["event"] == NOT_TAKEN]
        assert len(warnings) == 1
        assert warnings[0]["log_level"] == "warning"
        assert "PRIVATE" not in str(warnings)
        (folder / "ca.crt").write_bytes(trust)
        if damage == "gone":
            # The link is made again, as the first time.
            ensure_identities(folder)
        renew_identities(folder, [NAME])
        assert await shown(mesh) == serial(mesh) != before


async def _shown_with(mesh: Mesh, trust: Path) -> int:
    """Like `shown`, for a client that does not depend on the damaged file."""
    other = Mesh(trust.parent / "client", mesh.addresses)
    (other.home / "tls").mkdir(parents=True, exist_ok=True)
    for file in ("edge.crt", "edge.key"):
        shutil.copy(mesh.home / "tls" / file, other.home / "tls")
    shutil.copy(trust, other.home / "tls" / "ca.crt")
    return await shown(other)


async def test_client_shows_the_renewed_certificate(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.rpc.client.RETIRE_SECONDS", 0.05)
    async with calling(mesh) as (watching, channels):
        stub = InstitutionServiceStub(channels.to(NAME))
        before = serial(mesh, "queue_svc")
        assert (await stub.GetFacilityFacts(FACTS)).institution.name == str(before)
        watching.go.clear()
        watching.began.clear()
        call = asyncio.ensure_future(stub.GetFacilityFacts(FACTS))
        await watching.began.wait()
        old = below(channels)
        closing, close = asyncio.Event(), old.close

        async def noted(grace: float | None) -> None:
            closing.set()
            await close(grace)

        monkeypatch.setattr(old, "close", noted)
        old_stub = InstitutionServiceStub(old)
        renew_identities(mesh.home / "tls", ["queue_svc"])
        watching.began.clear()
        new_call = asyncio.ensure_future(stub.GetFacilityFacts(FACTS))
        await watching.began.wait()
        # The old channel closes now, and waits for its call.
        await closing.wait()
        watching.go.set()
        assert (await call).institution.name == str(before)
        assert (await new_call).institution.name == str(serial(mesh, "queue_svc"))
        assert serial(mesh, "queue_svc") != before
        await eventually(old._channel.closed)  # type: ignore[attr-defined]
        with pytest.raises(grpc.aio.UsageError):
            await old_stub.GetFacilityFacts(FACTS)
        assert below(channels) is below(channels) is not old


async def test_channels_that_are_being_replaced_are_closed_too(mesh: Mesh) -> None:
    async with calling(mesh) as (_, channels):
        stub = InstitutionServiceStub(channels.to(NAME))
        await stub.GetFacilityFacts(FACTS)
        old_stub = InstitutionServiceStub(below(channels))
        renew_identities(mesh.home / "tls", ["queue_svc"])
        await stub.GetFacilityFacts(FACTS)
        await channels.close()
        with pytest.raises(grpc.aio.UsageError):
            await old_stub.GetFacilityFacts(FACTS)
        with pytest.raises(grpc.aio.UsageError):
            await stub.GetFacilityFacts(FACTS)


async def test_renewing_channel_is_a_channel(mesh: Mesh) -> None:
    async with calling(mesh) as (_, channels):
        channel = channels.to(NAME)
        assert channels.to(NAME) is channel
        async with asyncio.timeout(PATIENCE_SECONDS):
            state = channel.get_state(try_to_connect=True)
            assert state is grpc.ChannelConnectivity.IDLE
            await channel.wait_for_state_change(state)
            await channel.channel_ready()
        streams: tuple[Callable[..., Any], ...] = (
            channel.unary_stream,
            channel.stream_unary,
            channel.stream_stream,
        )
        for stream in streams:
            call = stream("/none.Service/None")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await _outcome(call(b"" if stream == channel.unary_stream else iter(())))
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        async with channel:
            pass
        with pytest.raises(grpc.aio.UsageError):
            await InstitutionServiceStub(channel).GetFacilityFacts(FACTS)


async def _outcome(call: Any) -> None:
    if isinstance(call, grpc.aio.StreamUnaryCall):
        await call
    else:
        async for _ in call:
            pass


async def test_client_keeps_what_it_has_when_files_are_damaged(mesh: Mesh) -> None:
    async with calling(mesh) as (_, channels):
        stub = InstitutionServiceStub(channels.to(NAME))
        before = (await stub.GetFacilityFacts(FACTS)).institution.name
        (mesh.home / "tls" / "queue_svc.key").write_bytes(b"half")
        with capture_logs() as lines:
            assert (await stub.GetFacilityFacts(FACTS)).institution.name == before
            assert (await stub.GetFacilityFacts(FACTS)).institution.name == before
        assert [line["identity"] for line in lines if line["event"] == NOT_TAKEN] == ["queue_svc"]


async def test_files_are_looked_at_once_a_second(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(mesh, Probe()):
        before = await shown(mesh)
        monkeypatch.setattr("mesh.identity.certificates.POLL_SECONDS", 60.0)
        renew_identities(mesh.home / "tls", [NAME])
        assert await shown(mesh) == before
        monkeypatch.setattr("mesh.identity.certificates.POLL_SECONDS", 0.0)
        assert await shown(mesh) == serial(mesh) != before


async def test_certificate_of_another_authority_is_refused(mesh: Mesh, tmp_path: Path) -> None:
    ensure_identities(tmp_path / "foreign" / "tls", ["edge"])
    foreign = Mesh(tmp_path / "foreign", mesh.addresses)
    async with serving(mesh, Probe()):
        trust = mesh.home / "tls" / "ca.crt"
        shutil.copy(trust, foreign.home / "tls" / "ca.crt")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await shown(foreign)
        async with foreign.channel(NAME) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await InstitutionServiceStub(channel).GetInstitution(GET)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await shown(mesh) == serial(mesh)


async def test_caller_without_a_certificate_is_refused(mesh: Mesh) -> None:
    async with serving(mesh, Probe()):
        for renewed in (False, True):
            if renewed:
                renew_identities(mesh.home / "tls", [NAME])
                assert await shown(mesh) == serial(mesh)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await shown(mesh, identity=None)


async def test_authority_is_changed_while_all_run(mesh: Mesh, tmp_path: Path) -> None:
    """The steps of docs/guides/certificates.md, with a call that must pass after each."""
    folder = mesh.home / "tls"
    ensure_identities(tmp_path / "next", [])
    first = (folder / "ca.crt").read_bytes()
    second = (tmp_path / "next" / "ca.crt").read_bytes()
    shutil.copytree(mesh.home, tmp_path / "left", ignore=shutil.ignore_patterns("left", "next"))
    left = Mesh(tmp_path / "left", mesh.addresses)

    async with calling(mesh) as (_, channels):
        stub = InstitutionServiceStub(channels.to(NAME))

        async def passes() -> None:
            found = (await stub.GetFacilityFacts(FACTS)).institution.name
            assert found == str(serial(mesh, "queue_svc"))
            assert await shown(mesh) == serial(mesh)

        await passes()
        (folder / "ca.crt").write_bytes(first + second)
        await passes()
        shutil.copy(tmp_path / "next" / "ca.key", folder / "ca.key")
        renew_identities(folder, [NAME])
        await passes()
        renew_identities(folder, ["queue_svc", "edge"])
        await passes()
        # A caller whose certificate is still of the first authority; it trusts both.
        (left.home / "tls" / "ca.crt").write_bytes(first + second)
        await shown(left)
        (folder / "ca.crt").write_bytes(second)
        await passes()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await shown(left)


def warnings(lines: Sequence[EventDict]) -> list[EventDict]:
    """The warnings of certificates that end."""
    return [line for line in lines if line["event"] == "certificate ends soon"]


async def test_end_is_warned_of_again_and_again(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.rpc.server.WARN_SECONDS", 0.05)
    rounds, real = 0, server._warn_of_ends

    async def counted(identity: IdentityFiles, clock: Clock) -> None:
        nonlocal rounds
        await real(identity, clock)
        rounds += 1

    monkeypatch.setattr(server, "_warn_of_ends", counted)
    with capture_logs() as lines:
        async with serving(mesh, Probe()):
            await eventually(lambda: rounds > 2)
            assert not warnings(lines)
            monkeypatch.setattr("mesh.identity.certificates.ENDING", timedelta(days=500))
            await eventually(lambda: len(warnings(lines)) > 1)
    found = warnings(lines)
    assert {line["certificate"] for line in found} == {f"CN={NAME} {serial(mesh):x}"}
    assert {line["log_level"] for line in found} == {"warning"}
