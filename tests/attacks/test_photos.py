"""Photos that carry more than a card, and photos that are made to break what reads them."""

from __future__ import annotations

import io
from pathlib import Path
from uuid import uuid4

import pytest
from google.api.httpbody_pb2 import HttpBody
from mediq.ocr.v1.registration_service_pb2 import UploadDocumentRequest
from mediq.ocr_engine.v1.ocr_engine_service_pb2 import ReadCardRequest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from mesh.contract.methods import methods
from tests.attacks.callers import reason
from tests.attacks.doors import Doors
from tests.attacks.world import World

pytestmark = pytest.mark.model
METHODS = {method.name: method for method in methods().values()}
JPEG = {"content-type": "image/jpeg"}
SIDE = 30_000
"""Of a picture that takes a hundred kilobytes, and decoded a gigabyte."""


def written(world: World) -> list[Path]:
    """All files that the mesh has written, but for its sockets."""
    roots = (world.home, world.running.log.parent)
    return [path for root in roots for path in root.rglob("*") if path.is_file()]


def test_what_a_camera_adds_is_kept_nowhere(world: World, photo: bytes) -> None:
    camera, comment = f"Kamera-{uuid4().hex}", f"Catatan-{uuid4().hex}"
    world.secrets.update({camera, comment})
    exif = Image.Exif()
    exif[Base.Make], exif[Base.ImageDescription] = camera, comment
    exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitude] = (6.0, 12.0, 31.25)
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photo)).save(buffer, "JPEG", exif=exif, quality=95)
    sent = buffer.getvalue()
    assert camera.encode() in sent
    reply = world.client.post("/ocr/upload", content=sent, headers=JPEG)
    assert reply.is_success, reply.text
    draft = reply.json()
    world.secrets.add(draft["session"]["accessToken"])
    world.secrets.update(draft["draft"]["ktp"][name]["value"] for name in ("nik", "nama"))
    middle = sent[len(sent) // 2 :][:48]
    assert not [word for word in (camera, comment, "31.25") if word in reply.text]
    files = written(world)
    assert {"ocr_svc.db", "mediq.log"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        found = [one for one in (camera.encode(), comment.encode(), middle) if one in content]
        assert not found, path


def bomb() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (SIDE, SIDE)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_small_file_that_is_a_huge_picture(world: World, doors: Doors) -> None:
    sent = bomb()
    engine = world.running.children()["ocr_engine"]
    through_envoy = world.client.post("/ocr/upload", content=sent, headers=JPEG)
    assert reason(through_envoy) == (400, "IMAGE_TOO_LARGE")
    upload = UploadDocumentRequest(
        request_id=str(uuid4()), document=HttpBody(content_type="image/jpeg", data=sent)
    )
    asked = [
        doors.port(METHODS["UploadDocument"], upload, {}, "edge"),
        doors.port(METHODS["ReadCard"], ReadCardRequest(image=sent), {}, "ocr_svc"),
    ]
    for _, answer in asked:
        assert "IMAGE_TOO_LARGE" in answer
    assert world.running.children()["ocr_engine"].pid == engine.pid
