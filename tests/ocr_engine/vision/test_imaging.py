"""Decoding what strangers send."""

import contextlib
import io
import struct
import subprocess
import sys
import tempfile
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ocr_engine.vision import imaging
from ocr_engine.vision.imaging import (
    CorruptImage,
    EmptyImage,
    ImageError,
    ImageTooLarge,
    NotAnImage,
    UnsupportedImage,
    decode,
)

RED, WHITE = (200, 30, 30), (255, 255, 255)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def two_halves(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    """Red on the left, white on the right."""
    image = Image.new("RGB", size, WHITE)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image.quantize(8) if mode == "P" else image.convert(mode)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def assert_two_halves(pixels: imaging.Pixels) -> None:
    assert pixels.dtype == np.uint8
    assert pixels.shape == (40, 60, 3)
    assert np.abs(pixels[20, 10].astype(int) - RED).max() < 12
    assert np.abs(pixels[20, 50].astype(int) - WHITE).max() < 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_supported_kinds(kind: str) -> None:
    assert_two_halves(decode(encoded(two_halves(), kind, quality=95)))


@pytest.mark.parametrize(
    ("mode", "kind"), [("CMYK", "JPEG"), ("P", "PNG"), ("RGBA", "PNG"), ("RGBA", "WEBP")]
)
def test_other_colour_models(mode: str, kind: str) -> None:
    assert_two_halves(decode(encoded(two_halves(mode), kind, quality=95)))


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "JPEG"), ("L", "PNG"), ("LA", "PNG"), ("1", "PNG")]
)
def test_grey_pictures(mode: str, kind: str) -> None:
    pixels = decode(
        encoded(two_halves().convert("L").point(lambda v: 255 * (v > 128)).convert(mode), kind)
    )

    assert pixels.shape == (40, 60, 3)
    assert pixels[20, 10].max() < 10
    assert pixels[20, 50].min() > 245


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_a_channel(channels: int) -> None:
    deep = np.full((40, 60, channels), 65535, np.uint16)
    deep[:, :30, :3] = 0
    _, data = cv2.imencode(".png", deep)

    pixels = decode(data.tobytes())

    assert pixels.shape == (40, 60, 3)
    assert (pixels[20, 10].tolist(), pixels[20, 50].tolist()) == ([0, 0, 0], [255, 255, 255])


@pytest.mark.parametrize("mode", ["RGB", "P", "1", "L", "LA", "RGBA", "I;16"])
def test_large_pictures_of_every_colour_model(mode: str) -> None:
    halves = two_halves("RGB", (2600, 1300)).convert("L").point(lambda v: 255 * (v > 128))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(halves).astype(np.uint16) * 257)
    else:
        image = halves.quantize(4) if mode == "P" else halves.convert(mode)

    pixels = decode(encoded(image, "PNG"))

    assert pixels.shape == (1000, imaging.WORKING_SIDE_PX, 3)
    assert pixels[:, :990].max() < 10
    assert pixels[:, 1010:].min() > 245


def test_two_pictures_in_one_jpeg() -> None:
    """As phones save a photo together with its brightness map."""
    data = encoded(two_halves(), "MPO", save_all=True, append_images=[two_halves()], quality=95)

    assert_two_halves(decode(data))


def test_transparent_parts_are_white() -> None:
    clear = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    palette = two_halves("P")

    assert decode(encoded(clear, "PNG")).min() == 255
    assert decode(encoded(palette, "PNG", transparency=palette.getpixel((0, 0)))).min() == 255


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:20, :30] = RED
    upright[20:, 30:] = WHITE
    # What the camera stored, so that the orientation turns it back.
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: np.rot90(upright), 7: upright.swapaxes(0, 1)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))

    pixels = decode(encoded(image, kind, exif=exif, quality=95))

    assert pixels.shape == upright.shape
    for y, x in ((5, 5), (5, 55), (35, 5), (35, 55)):
        assert np.abs(pixels[y, x].astype(int) - upright[y, x]).max() < 25, (y, x)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation

    assert_two_halves(decode(encoded(two_halves(), "JPEG", exif=exif, quality=95)))


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0" + b"\xff" * 40,
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\0\0\0\x01" * 9,
        b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\2\0\5\0\0\0\xff\xff\xff\xff",
    ],
)
def test_broken_exif_is_as_good_as_none(exif: bytes) -> None:
    assert_two_halves(decode(encoded(two_halves(), "JPEG", exif=exif, quality=95)))


def test_large_photos_are_scaled_down() -> None:
    pixels = decode(encoded(two_halves(size=(4000, 3000)), "JPEG"))

    assert pixels.shape == (1500, imaging.WORKING_SIDE_PX, 3)


def test_a_single_pixel() -> None:
    assert decode(encoded(Image.new("RGB", (1, 1), WHITE), "PNG")).shape == (1, 1, 3)


def test_a_very_long_strip() -> None:
    assert decode(encoded(Image.new("RGB", (16000, 2), WHITE), "PNG")).shape[0] >= 1


def test_nothing() -> None:
    with pytest.raises(EmptyImage):
        decode(b"")


@pytest.mark.parametrize(
    "data",
    [b"\0", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"PK\3\4zip", b"\0" * 5000],
)
def test_no_picture_at_all(data: bytes) -> None:
    with pytest.raises(NotAnImage):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x18ftypheic" + b"\0" * 64,
        b"\0\0\0\x18ftypmif1" + b"\0" * 64,
        b"\0\0\0\x1cftypavif" + b"\0" * 64,
        b"GIF89a" + b"\0" * 64,
        b"BM" + b"\0" * 64,
        b"II*\0" + b"\0" * 64,
        b"%PDF-1.7",
    ],
)
def test_pictures_of_other_kinds_come_with_advice(data: bytes) -> None:
    with pytest.raises(UnsupportedImage, match="JPEG"):
        decode(data)


def test_a_name_does_not_make_a_kind() -> None:
    with pytest.raises(CorruptImage):
        decode(b"\xff\xd8\xff" + encoded(two_halves(), "PNG"))


def test_too_many_bytes() -> None:
    with pytest.raises(ImageTooLarge, match="MiB"):
        decode(b"\xff\xd8\xff" + b"\0" * (50 * 2**20))


@pytest.mark.parametrize("size", [(8000, 5001), (12_000, 12_000), (50_000, 50_000), (30_000, 10)])
def test_bombs_are_refused_before_decoding(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLarge, match="megapixels"):
        decode(png_header(*size))


def resized_header(data: bytes, width: int, height: int) -> bytes:
    """The same JPEG, but it claims another size."""
    place = next(at for at in (data.find(b"\xff\xc0"), data.find(b"\xff\xc2")) if at >= 0)
    return data[: place + 5] + struct.pack(">HH", height, width) + data[place + 9 :]


def test_a_jpeg_of_108_megapixels_is_read_in_little_memory() -> None:
    script = """
import resource, sys
from ocr_engine.vision.imaging import decode
data = sys.stdin.buffer.read()
decode(open(sys.argv[1], "rb").read())  # loads all that decoding needs
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 96 * 2**20,) * 2)
print(decode(data).shape)
"""
    big = encoded(Image.new("L", (12_000, 9_000), 90), "JPEG", quality=50)
    with tempfile.NamedTemporaryFile(suffix=".jpg") as small:
        small.write(encoded(two_halves(), "JPEG"))
        small.flush()
        done = subprocess.run(
            [sys.executable, "-c", script, small.name], input=big, capture_output=True, check=False
        )

    assert done.stdout.decode().strip() == "(1500, 2000, 3)", done.stderr.decode()


@pytest.mark.parametrize("size", [(15_000, 10_001), (20_001, 100), (65_000, 65_000)])
def test_a_jpeg_that_claims_to_be_huge(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLarge, match="150 megapixels"):
        decode(resized_header(encoded(two_halves(), "JPEG"), *size))


def test_a_huge_progressive_jpeg_would_be_kept_whole_in_memory() -> None:
    data = encoded(two_halves(), "JPEG", progressive=True)

    with pytest.raises(ImageTooLarge):
        decode(resized_header(data, 8000, 5001))


def test_a_huge_jpeg_of_a_scan_a_colour_would_too() -> None:
    data = encoded(two_halves(), "JPEG")
    scan = data.index(b"\xff\xda")
    one_colour = data[:scan] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" + data[scan + 14 :]

    with pytest.raises(ImageTooLarge):
        decode(resized_header(one_colour, 8000, 5001))


def test_a_photo_of_endless_layers() -> None:
    layer = b"\xff\xda\0\x08\1\1\0\0\x3f\0\0"
    with pytest.raises(CorruptImage):
        decode(encoded(two_halves(), "JPEG", progressive=True) + layer * 1000)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_photos_that_break_off(kind: str, share: float) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (200, 300, 3), np.uint8)
    data = encoded(Image.fromarray(noise), kind)

    with pytest.raises(CorruptImage):
        decode(data[: int(len(data) * share)])


def test_errors_tell_the_caller_what_is_wrong_with_the_argument() -> None:
    with pytest.raises(ImageError) as caught:
        decode(b"hello")

    assert caught.value.kind.value == "INVALID_ARGUMENT"
    assert caught.value.reason == "NOT_AN_IMAGE"


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damage_gives_pixels_or_a_typed_error(kind: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(encoded(two_halves(), kind))
    for place, value in changes:
        data[place % len(data)] = value
    with contextlib.suppress(ImageError):
        assert decode(bytes(data)).ndim == 3
