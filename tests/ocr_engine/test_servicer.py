"""The service through its contract: mTLS, validation, typed errors."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from mediq.ocr_engine.v1 import ocr_engine_service_pb2 as pb
from mediq.ocr_engine.v1.ocr_engine_service_pb2_grpc import (
    OcrEngineServiceStub,
    add_OcrEngineServiceServicer_to_server,
)
from PIL import Image

from mesh.server import Server
from ocr_engine.__main__ import build
from ocr_engine.domain import CardReading
from ocr_engine.servicer import OcrEngineServicer
from ocr_engine.settings import Settings
from ocr_engine.synth import draw_card, encode_jpeg, photograph, random_record
from ocr_engine.worker import EngineWorker
from tests.support.mesh import Mesh, problem

SERVICE = "mediq.ocr_engine.v1.OcrEngineService"
LOADING_TIMEOUT_SECONDS = 60


async def build_unloaded(server: Server) -> None:
    """The service without its networks."""
    worker = EngineWorker(CardEngineNeverLoaded, max_waiting=0)
    server.add(add_OcrEngineServiceServicer_to_server, OcrEngineServicer(worker))
    server.on_close(worker.close)


class CardEngineNeverLoaded:
    def read_card(self, data: bytes) -> CardReading:
        raise AssertionError("nothing loads this engine")


@pytest.fixture
async def unloaded(mesh: Mesh, home_folder: Path) -> AsyncIterator[Mesh]:
    async with mesh.serve(Settings(home=home_folder, port=0), build_unloaded):
        yield mesh


async def ready(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    async with asyncio.timeout(LOADING_TIMEOUT_SECONDS):
        while True:
            state = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))
            if state.status == health_pb2.HealthCheckResponse.SERVING:
                return
            await asyncio.sleep(0.2)


def photo(seed: int) -> bytes:
    return encode_jpeg(photograph(draw_card(random_record(seed), seed), seed))


@pytest.mark.model
async def test_from_loading_to_reading(
    mesh: Mesh, home_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One server for the whole story: loading it takes seconds."""
    settings = Settings(home=home_folder, port=0, max_waiting=2)
    async with mesh.serve(settings, partial(build, settings)):
        async with mesh.channel("ocr_engine", "ocr_svc") as channel:
            await tell_the_story(channel)
    output = capfd.readouterr()
    for secret in (random_record(41).nik, random_record(41).nama):
        assert secret not in output.out + output.err


async def tell_the_story(channel: grpc.aio.Channel) -> None:
    record = random_record(41)
    stub = OcrEngineServiceStub(channel)
    early = await problem(stub.ReadCard(pb.ReadCardRequest(image=photo(41))))
    assert early == ("UNAVAILABLE", "ENGINE_LOADING")

    await ready(channel)

    reading = await stub.ReadCard(pb.ReadCardRequest(image=photo(41)))
    assert reading.document_type == pb.DOCUMENT_TYPE_KTP
    assert reading.ktp.nik.value == record.nik
    assert reading.ktp.nik.raw_value
    assert 0.5 < reading.ktp.nik.confidence <= 1
    assert reading.ktp.nama.value == record.nama
    assert reading.elapsed_ms > 100

    blank = encode_jpeg(Image.new("RGB", (900, 600), "white"))
    refused = {
        blank: ("INVALID_ARGUMENT", "NO_CARD"),
        b"hello": ("INVALID_ARGUMENT", "NOT_AN_IMAGE"),
        photo(41)[:9000]: ("INVALID_ARGUMENT", "CORRUPT_IMAGE"),
    }
    for image, expected in refused.items():
        assert await problem(stub.ReadCard(pb.ReadCardRequest(image=image))) == expected

    code, _ = await problem(stub.ReadCard(pb.ReadCardRequest()))
    assert code == "INVALID_ARGUMENT"

    crowd = [stub.ReadCard(pb.ReadCardRequest(image=blank)) for _ in range(8)]
    answers = [await problem(call) for call in crowd]
    assert answers.count(("RESOURCE_EXHAUSTED", "ENGINE_BUSY")) == 5
    assert answers.count(("INVALID_ARGUMENT", "NO_CARD")) == 3


async def test_validation_needs_no_networks(unloaded: Mesh) -> None:
    stub = OcrEngineServiceStub(unloaded.channel("ocr_engine", "ocr_svc"))
    field = pb.Field
    corrected = pb.KtpFields(
        nik=field(value="3175036009500008"),
        tanggal_lahir=field(value="20-09-1950"),
        jenis_kelamin=field(value="PEREMPUAN"),
    )

    fine = await stub.ValidateReading(pb.ValidateReadingRequest(ktp=corrected))
    assert fine.valid
    assert {warning.reason for warning in fine.warnings} == {"FIELD_MISSING"}

    corrected.tanggal_lahir.value = "21-09-1950"
    odd = await stub.ValidateReading(pb.ValidateReadingRequest(ktp=corrected))
    assert not odd.valid
    assert ("NIK_BIRTH_DATE_MISMATCH", "nik") in {(w.reason, w.field) for w in odd.warnings}


@pytest.mark.parametrize("identity", ["queue_svc", "gateway", "edge"])
async def test_others_may_not_call(unloaded: Mesh, identity: str) -> None:
    async with unloaded.channel("ocr_engine", identity) as other:
        call = OcrEngineServiceStub(other).ReadCard(pb.ReadCardRequest(image=b"x"))
        code, _ = await problem(call)
    assert code == "PERMISSION_DENIED"
