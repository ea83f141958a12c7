"""The service through its contract: mTLS, validation, typed errors, batches, metrics."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from mediq.ocr_engine.v1 import ocr_engine_service_pb2 as pb
from mediq.ocr_engine.v1.ocr_engine_service_pb2_grpc import OcrEngineServiceStub

from mesh.contract.status import from_rpc_error
from mesh.rpc.server import Server
from ocr_engine.__main__ import build
from ocr_engine.parsing import KtpFields, SimFields
from ocr_engine.serving.servicer import SUMMARY_SECONDS
from ocr_engine.serving.worker import EngineWorker
from ocr_engine.settings import EngineSettings
from tests.ocr_engine.fakes import CORNERS, FakeEngine
from tests.support.mesh import Mesh, problem
from tests.support.pages import page
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from mediq.ocr_engine.v1.ocr_engine_service_pb2_grpc import OcrEngineServiceAsyncStub

SERVICE = "mediq.ocr_engine.v1.OcrEngineService"
LAST = b"last"
MEBIBYTE = 2**20


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """Loaded in place of the networks."""
    found = FakeEngine()
    monkeypatch.setattr("ocr_engine.__main__._load", lambda _: found)
    return found


@pytest.fixture
async def server(mesh: Mesh, home_folder: Path, fake: FakeEngine) -> AsyncIterator[Server]:
    settings = EngineSettings(
        home=home_folder, port=0, max_batches=1, metrics_port=free_port(), drain_seconds=2
    )
    async with mesh.serve(settings, build) as found:
        async with mesh.channel("ocr_engine", "ops") as channel:
            await ready(channel)
        yield found
        fake.go.set()


@pytest.fixture
async def reader(server: Server, mesh: Mesh) -> AsyncIterator[OcrEngineServiceAsyncStub]:
    """A stub with the channel options of the kit, which allow a whole batch."""
    channels = mesh.channels("ops")
    yield OcrEngineServiceStub(channels.to("ocr_engine"))
    await channels.close()


async def ready(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)

    async def serves() -> bool:
        state = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))
        return bool(state.status == health_pb2.HealthCheckResponse.SERVING)

    await eventually(serves)


@pytest.fixture(autouse=True)
def _quick_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.rpc.server.CHECK_SECONDS", 0.05)


def read(image: bytes) -> pb.ReadCardRequest:
    return pb.ReadCardRequest(image=image)


async def batch(
    reader: OcrEngineServiceAsyncStub, *images: bytes, timeout: float = PATIENCE_SECONDS
) -> list[pb.ReadCardsResponse]:
    stream = reader.ReadCards(pb.ReadCardsRequest(images=images), timeout=timeout)
    return [response async for response in stream]


def results(responses: list[pb.ReadCardsResponse]) -> list[tuple[int, str]]:
    return [(one.index, one.error.reason or one.WhichOneof("result") or "") for one in responses]


async def test_a_ktp(reader: OcrEngineServiceAsyncStub) -> None:
    reading = await reader.ReadCard(read(b"ktp"))
    assert reading.document_type == pb.DOCUMENT_TYPE_KTP
    assert not reading.HasField("sim")
    nik = reading.ktp.nik
    assert (nik.value, nik.raw_value, nik.confidence) == (
        "3175036009500008",
        "317503600950000B",
        0.75,
    )
    assert nik.reason == pb.FIELD_REASON_REPAIRED
    assert [(point.x, point.y) for point in nik.polygon] == list(CORNERS)
    assert reading.ktp.tanggal_terbit.value == "01-02-2018"
    assert [(point.x, point.y) for point in reading.outline] == list(CORNERS)
    quality = reading.quality
    assert (quality.sharpness, quality.brightness, quality.glare_share) == (150.0, 90.5, 0.25)
    assert (quality.saturation, quality.moire, quality.card_width_px) == (40.0, 0.5, 812.0)


async def test_warnings_and_advice_in_both_languages(reader: OcrEngineServiceAsyncStub) -> None:
    reading = await reader.ReadCard(read(b"ktp"))
    repaired, glare = reading.warnings
    assert (repaired.reason, repaired.field) == ("NIK_REPAIRED", "nik")
    assert (repaired.message, repaired.message_en) == ("Periksa.", "Check it.")
    (advice,) = reading.quality.advice
    assert (glare.reason, glare.field) == ("GLARE", "")
    assert (glare.message, glare.message_en) == (advice.message, advice.message_en)
    assert "cahaya" in advice.message
    assert "Light" in advice.message_en


async def test_a_sim(reader: OcrEngineServiceAsyncStub) -> None:
    reading = await reader.ReadCard(read(b"sim"))
    assert reading.document_type == pb.DOCUMENT_TYPE_SIM
    assert not reading.HasField("ktp")
    assert reading.sim.nomor_sim.value == "1234-5678-901234"
    assert reading.sim.golongan.reason == pb.FIELD_REASON_MATCHED
    assert reading.sim.wilayah.value == "JAWA BARAT"
    assert not reading.sim.HasField("nama")


def test_the_contract_has_every_field_of_the_cards() -> None:
    for domain, message in ((KtpFields, pb.KtpFields), (SimFields, pb.SimFields)):
        assert set(domain.__dataclass_fields__) == set(message.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize(
    ("image", "code", "reason"),
    [
        (b"nothing", "INVALID_ARGUMENT", "NO_CARD"),
        (b"two", "INVALID_ARGUMENT", "SEVERAL_CARDS"),
        (b"broken", "INVALID_ARGUMENT", "CORRUPT_IMAGE"),
        (b"bug", "INTERNAL", "INTERNAL"),
        (b"", "INVALID_ARGUMENT", "INVALID_REQUEST"),
    ],
)
@pytest.mark.usefixtures("lines")
async def test_refusals(
    reader: OcrEngineServiceAsyncStub, image: bytes, code: str, reason: str
) -> None:
    with pytest.raises(Exception, match=reason) as caught:
        await reader.ReadCard(read(image))
    assert (caught.value.kind.value, caught.value.reason) == (code, reason)  # type: ignore[attr-defined]


async def test_no_card_comes_with_advice(reader: OcrEngineServiceAsyncStub, mesh: Mesh) -> None:
    async with mesh.channel("ocr_engine", "ocr_svc") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await OcrEngineServiceStub(channel).ReadCard(read(b"nothing"))
    assert from_rpc_error(caught.value).metadata == {"advice": "BLURRED,NO_CARD"}


@pytest.fixture
def slow_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two readings are thought to take 20 seconds more than any caller has."""
    guess = PATIENCE_SECONDS / 2 + 10
    monkeypatch.setattr("ocr_engine.serving.worker.FIRST_GUESS_SECONDS", guess)


@pytest.mark.usefixtures("slow_readings")
async def test_a_caller_in_a_hurry_is_refused_at_once(
    reader: OcrEngineServiceAsyncStub, mesh: Mesh, fake: FakeEngine
) -> None:
    async with mesh.channel("ocr_engine", "ocr_svc") as channel:
        stub = OcrEngineServiceStub(channel)
        first = asyncio.ensure_future(stub.ReadCard(read(b"long")))
        assert await asyncio.to_thread(fake.started.wait, PATIENCE_SECONDS)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ReadCard(read(b"ktp"), timeout=PATIENCE_SECONDS)
        busy = from_rpc_error(caught.value)
        assert (busy.kind.value, busy.reason) == ("RESOURCE_EXHAUSTED", "ENGINE_BUSY")
        assert busy.retry_after_seconds
        assert 20 <= busy.retry_after_seconds <= 60
        fake.go.set()
        await first
    assert fake.seen == [b"long"]


@pytest.mark.usefixtures("lines")
async def test_a_batch_is_answered_in_order(
    reader: OcrEngineServiceAsyncStub, fake: FakeEngine
) -> None:
    responses = await batch(reader, b"ktp", b"broken", b"nothing", b"", b"bug", b"sim")
    assert results(responses) == [
        (0, "reading"),
        (1, "CORRUPT_IMAGE"),
        (2, "NO_CARD"),
        (3, "reading"),
        (4, "INTERNAL"),
        (5, "reading"),
        (0, "summary"),
    ]
    assert responses[0].reading.ktp.nik.value == "3175036009500008"
    assert responses[5].reading.document_type == pb.DOCUMENT_TYPE_SIM
    assert responses[1].error.code == "INVALID_ARGUMENT"
    assert responses[1].error.message == "The photo is damaged."
    assert [one.reason for one in responses[2].error.advice] == ["BLURRED", "NO_CARD"]
    assert responses[4].error.message == "internal error"
    summary = responses[-1].summary
    assert (summary.read_count, summary.failed_count, summary.reason) == (3, 3, "COMPLETE")


async def test_answers_come_as_they_are_ready(
    reader: OcrEngineServiceAsyncStub, fake: FakeEngine
) -> None:
    stream = reader.ReadCards(pb.ReadCardsRequest(images=[b"ktp", b"long"]))
    seen = []
    async for response in stream:
        seen.append(response.WhichOneof("result"))
        if len(seen) == 1:
            assert b"long" not in fake.seen
            fake.go.set()
    assert seen == ["reading", "reading", "summary"]


async def test_a_patient_does_not_wait_for_a_batch(
    reader: OcrEngineServiceAsyncStub, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = asyncio.ensure_future(batch(reader, b"long", b"ktp", b"ktp", LAST))
    assert await asyncio.to_thread(fake.started.wait, PATIENCE_SECONDS)
    came, admit = asyncio.Event(), EngineWorker._admit

    def noted(worker: EngineWorker, seconds_left: float | None) -> None:
        admit(worker, seconds_left)
        came.set()

    monkeypatch.setattr(EngineWorker, "_admit", noted)
    patient = asyncio.ensure_future(reader.ReadCard(read(b"patient")))
    await came.wait()
    fake.go.set()
    await patient
    await running
    assert fake.seen == [b"long", b"patient", b"ktp", b"ktp", LAST]


async def test_a_second_batch_is_refused_and_a_cancelled_one_makes_room(
    reader: OcrEngineServiceAsyncStub, fake: FakeEngine
) -> None:
    first = reader.ReadCards(pb.ReadCardsRequest(images=[b"long"] * 3))
    waiting = asyncio.ensure_future(first.read())
    assert await asyncio.to_thread(fake.started.wait, PATIENCE_SECONDS)
    assert await problem(batch(reader, b"ktp")) == ("RESOURCE_EXHAUSTED", "ENGINE_BUSY")
    first.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    fake.go.set()

    async def accepted() -> list[pb.ReadCardsResponse] | None:
        try:
            return await batch(reader, b"ktp")
        except grpc.aio.AioRpcError as error:
            if from_rpc_error(error).reason != "ENGINE_BUSY":
                raise
            return None

    assert results(await eventually(accepted)) == [(0, "reading"), (0, "summary")]
    assert fake.seen == [b"long", b"ktp"]


async def test_a_batch_that_runs_out_of_time_says_so(
    reader: OcrEngineServiceAsyncStub, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first photo next to nothing is left."""
    monkeypatch.setattr(
        "ocr_engine.serving.servicer._seconds_left",
        lambda: SUMMARY_SECONDS + (0.05 if fake.seen else PATIENCE_SECONDS),
    )
    responses = await batch(reader, b"ktp", b"long", b"ktp")
    late = (2, "DEADLINE_EXCEEDED")
    assert results(responses) == [(0, "reading"), (1, "DEADLINE_EXCEEDED"), late, (0, "summary")]
    assert responses[-1].summary.reason == "DEADLINE_EXCEEDED"
    assert (responses[-1].summary.read_count, responses[-1].summary.failed_count) == (1, 2)


async def test_a_batch_is_told_that_the_server_stops(
    reader: OcrEngineServiceAsyncStub, server: Server, fake: FakeEngine
) -> None:
    running = asyncio.ensure_future(batch(reader, b"long", b"ktp"))
    assert await asyncio.to_thread(fake.started.wait, PATIENCE_SECONDS)
    server.draining.set()
    responses = await running
    assert results(responses) == [(0, "STOPPING"), (1, "STOPPING"), (0, "summary")]
    assert responses[0].error.code == "UNAVAILABLE"
    assert responses[-1].summary.reason == "STOPPING"


async def test_sizes_of_a_batch(reader: OcrEngineServiceAsyncStub) -> None:
    """As the contract says: 20 photos, 10 MiB each, 64 MiB together."""
    assert len(await batch(reader, *[b"ktp"] * 20)) == 21
    assert (await problem(batch(reader, *[b"ktp"] * 21)))[0] == "INVALID_ARGUMENT"
    assert (await problem(batch(reader)))[0] == "INVALID_ARGUMENT"
    large = b"ktp".ljust(10 * MEBIBYTE, b"\0")
    assert len(await batch(reader, *[large] * 6)) == 7
    assert (await problem(batch(reader, large + b"\0")))[0] == "INVALID_ARGUMENT"
    assert (await problem(batch(reader, *[large] * 7)))[0] == "RESOURCE_EXHAUSTED"


async def test_the_metrics_page_shows_the_stages(
    reader: OcrEngineServiceAsyncStub, server: Server, fake: FakeEngine
) -> None:
    await reader.ReadCard(read(b"ktp"))
    await batch(reader, b"sim", b"nothing", b"broken")
    shown = await page(server.settings.metrics_port)
    for line in (
        'mediq_ocr_engine_stage_duration_seconds_count{stage="detect"} 1.0',
        'mediq_ocr_engine_stage_duration_seconds_sum{stage="read"} 0.3',
        'mediq_ocr_engine_stage_duration_seconds_bucket{le="0.025",stage="detect"} 1.0',
        "mediq_ocr_engine_reading_duration_seconds_count 3.0",
        'mediq_ocr_engine_waiting_duration_seconds_count{kind="single"} 1.0',
        'mediq_ocr_engine_waiting_duration_seconds_count{kind="batch"} 3.0',
        'mediq_ocr_engine_readings_total{document_type="KTP",outcome="READ"} 1.0',
        'mediq_ocr_engine_readings_total{document_type="SIM",outcome="READ"} 1.0',
        'mediq_ocr_engine_readings_total{document_type="UNKNOWN",outcome="NO_CARD"} 1.0',
        'mediq_ocr_engine_readings_total{document_type="UNKNOWN",outcome="CORRUPT_IMAGE"} 1.0',
        "mediq_ocr_engine_backlog 0.0",
    ):
        assert line in shown
    assert "3175036009500008" not in shown


async def test_nothing_is_read_before_the_engine_is_loaded(
    mesh: Mesh, home_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setattr("ocr_engine.__main__._load", lambda _: never.wait(PATIENCE_SECONDS))
    settings = EngineSettings(home=home_folder, port=0)
    async with mesh.serve(settings, build):
        async with mesh.channel("ocr_engine", "ops") as channel:
            stub = OcrEngineServiceStub(channel)
            loading = ("UNAVAILABLE", "ENGINE_LOADING")
            assert await problem(stub.ReadCard(read(b"ktp"))) == loading
            assert await problem(batch(stub, b"ktp")) == loading
        never.set()


async def test_validation(reader: OcrEngineServiceAsyncStub) -> None:
    field = pb.Field
    corrected = pb.KtpFields(
        nik=field(value="3175036009500008"),
        tanggal_lahir=field(value="20-09-1950"),
        jenis_kelamin=field(value="PEREMPUAN"),
    )

    async def check() -> tuple[bool, set[tuple[str, str]]]:
        found = await reader.ValidateReading(pb.ValidateReadingRequest(ktp=corrected))
        assert all(one.message_en for one in found.warnings)
        told = {(one.reason, one.field) for one in found.warnings}
        return found.valid, {one for one in told if one[0] != "FIELD_MISSING"}

    assert await check() == (True, set())
    corrected.nik.reason = pb.FIELD_REASON_REPAIRED
    assert await check() == (True, {("NIK_REPAIRED", "nik")})
    corrected.tanggal_lahir.value = "21-09-1950"
    valid, told = await check()
    assert not valid
    assert ("NIK_BIRTH_DATE_MISMATCH", "nik") in told


@pytest.mark.parametrize("identity", ["queue_svc", "gateway", "edge"])
async def test_others_may_not_call(server: Server, mesh: Mesh, identity: str) -> None:
    async with mesh.channel("ocr_engine", identity) as channel:
        other = OcrEngineServiceStub(channel)
        calls: list[Any] = [other.ReadCard(read(b"x")), batch(other, b"x")]
        for call in calls:
            assert (await problem(call))[0] == "PERMISSION_DENIED"


@pytest.mark.model
async def test_from_loading_to_reading(
    mesh: Mesh, home_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The real networks, in one story: loading them takes seconds."""
    from training.synth import CardRecord, sample

    card = sample(41)
    assert isinstance(card.record, CardRecord)
    settings = EngineSettings(home=home_folder, port=0)
    async with mesh.serve(settings, build):
        async with mesh.channel("ocr_engine", "ocr_svc") as channel:
            stub = OcrEngineServiceStub(channel)
            early = await problem(stub.ReadCard(read(card.shot.jpeg())))
            assert early == ("UNAVAILABLE", "ENGINE_LOADING")
            await ready(channel)
            reading = await stub.ReadCard(read(card.shot.jpeg()))
            assert reading.document_type == pb.DOCUMENT_TYPE_KTP
            assert reading.ktp.nik.value == card.record.nik
            assert 0.5 < reading.ktp.nik.confidence <= 1
            assert len(reading.ktp.nik.polygon) == len(reading.outline) == 4
            assert all(0 <= point.x <= 1 for point in reading.ktp.nik.polygon)
            assert reading.ktp.nama.value == card.record.nama
            broken = stub.ReadCard(read(card.shot.jpeg()[:9000]))
            assert await problem(broken) == ("INVALID_ARGUMENT", "CORRUPT_IMAGE")
    output = capfd.readouterr()
    for secret in (card.record.nik, card.record.nama):
        assert secret not in output.out + output.err
