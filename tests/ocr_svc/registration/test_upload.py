from __future__ import annotations

import pytest

from mesh.errors import MeshError
from ocr_svc.servicers.upload import MAX_IMAGE_BYTES, MAX_PARTS, photo_of

PHOTO = bytes(range(256)) * 40
FORM = "multipart/form-data; boundary=XyZ"


def part(name: str, data: bytes, extra: str = '; filename="ktp.jpg"') -> bytes:
    head = f'--XyZ\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n'
    return head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + data + b"\r\n"


END = b"--XyZ--\r\n"


@pytest.mark.parametrize("name", ["file", "image"])
def test_photo_in_a_form(name: str) -> None:
    other = part("note", b"text", "")
    assert photo_of(FORM, other + part(name, PHOTO) + other + END) == PHOTO


@pytest.mark.parametrize(
    "content_type", ["image/jpeg", "image/png", "image/webp", "IMAGE/JPEG", "image/jpeg; q=1"]
)
def test_photo_as_the_body(content_type: str) -> None:
    assert photo_of(content_type, PHOTO) == PHOTO


def test_photo_may_hold_what_looks_like_a_boundary() -> None:
    tricky = b"\r\n--XyQ\r\n--Xy\r\n--XyZZ" + PHOTO
    assert photo_of(FORM, part("file", tricky) + END) == tricky


@pytest.mark.parametrize(
    ("content_type", "data", "reason"),
    [
        ("image/jpeg", b"", "EMPTY_UPLOAD"),
        ("", b"", "EMPTY_UPLOAD"),
        (FORM, part("file", b"") + END, "EMPTY_UPLOAD"),
        ("", PHOTO, "UNSUPPORTED_CONTENT_TYPE"),
        ("application/json", b"{}", "UNSUPPORTED_CONTENT_TYPE"),
        ("image/heic", PHOTO, "UNSUPPORTED_CONTENT_TYPE"),
        ("multipart/mixed; boundary=XyZ", part("file", PHOTO) + END, "UNSUPPORTED_CONTENT_TYPE"),
        ("图像/jpeg", PHOTO, "UNSUPPORTED_CONTENT_TYPE"),
        ("multipart/form-data", part("file", PHOTO) + END, "BROKEN_MULTIPART"),
        ("multipart/form-data; boundary=", part("file", PHOTO) + END, "BROKEN_MULTIPART"),
        (f"multipart/form-data; boundary={'x' * 500}", PHOTO, "BROKEN_MULTIPART"),
        (FORM, PHOTO, "BROKEN_MULTIPART"),
        (FORM, part("file", PHOTO), "BROKEN_MULTIPART"),
        (FORM, part("file", PHOTO)[:-20], "BROKEN_MULTIPART"),
        (FORM, b"--XyZ\r\nno header at all", "BROKEN_MULTIPART"),
        (FORM, part("a", b"1") * (MAX_PARTS + 1) + END, "BROKEN_MULTIPART"),
        (FORM, part("note", PHOTO) + END, "FILE_PART_MISSING"),
        (FORM, END, "FILE_PART_MISSING"),
        (FORM, part("file", PHOTO) + part("image", PHOTO) + END, "SEVERAL_FILE_PARTS"),
        ("image/png", b"x" * (MAX_IMAGE_BYTES + 1), "IMAGE_TOO_LARGE"),
        (FORM, part("file", b"x" * (MAX_IMAGE_BYTES + 1)) + END, "IMAGE_TOO_LARGE"),
    ],
)
def test_refused(content_type: str, data: bytes, reason: str) -> None:
    with pytest.raises(MeshError) as error:
        photo_of(content_type, data)
    assert (error.value.kind.value, error.value.reason) == ("INVALID_ARGUMENT", reason)
