"""Decoding what strangers send."""

import contextlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ocr_engine import imaging
from ocr_engine.imaging import (
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


def test_sixteen_bits_a_pixel() -> None:
    deep = np.zeros((40, 60), np.uint16)
    deep[:, 30:] = 65535

    pixels = decode(encoded(Image.fromarray(deep), "PNG"))

    assert pixels.shape == (40, 60, 3)
    assert (pixels[20, 10].tolist(), pixels[20, 50].tolist()) == ([0, 0, 0], [255, 255, 255])


def test_transparent_parts_are_white() -> None:
    clear = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    palette = two_halves("P")

    assert decode(encoded(clear, "PNG")).min() == 255
    assert decode(encoded(palette, "PNG", transparency=palette.getpixel((0, 0)))).min() == 255


@pytest.mark.parametrize(
    ("orientation", "shape"), [(1, (40, 60)), (3, (40, 60)), (6, (60, 40)), (8, (60, 40))]
)
def test_exif_orientation_is_applied(orientation: int, shape: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation

    pixels = decode(encoded(two_halves(), "JPEG", exif=exif, quality=95))

    assert pixels.shape[:2] == shape
    red = {1: (20, 5), 3: (20, 55), 6: (5, 20), 8: (55, 20)}[orientation]
    assert np.abs(pixels[red].astype(int) - RED).max() < 12


def test_broken_exif_is_as_good_as_none() -> None:
    data = encoded(two_halves(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff", quality=95)

    assert_two_halves(decode(data))


def test_large_photos_are_scaled_down() -> None:
    pixels = decode(encoded(two_halves(size=(4000, 3000)), "JPEG"))

    assert pixels.shape == (1200, imaging.WORKING_SIDE_PX, 3)


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
