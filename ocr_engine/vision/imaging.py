"""Turns untrusted bytes into pixels, within fixed limits of size and kind."""

import contextlib
import io
import struct
import warnings
import zlib
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mesh.errors import MeshError, StatusCode

Pixels = NDArray[np.uint8]
"""Height x width x RGB."""

MAX_BYTES: Final = 10 * 1024 * 1024
MAX_PIXELS: Final = 40_000_000
MAX_JPEG_PIXELS: Final = 150_000_000
"""For JPEGs that are decoded row by row and made smaller at once; phones go up to this."""
MAX_SIDE_PX: Final = 20_000
MAX_JPEG_SCANS: Final = 30
"""Progressive photos have about ten; thousands would keep the decoder busy for minutes."""
WORKING_SIDE_PX: Final = 2_000
"""Longer sides are scaled down to this: enough to read a card that fills a third of the photo."""

REDUCING_GAP: Final = 2.0
"""Larger pictures are first divided by a whole number, which is fast, to this times the size."""

_ISO_IMAGE_BRANDS: Final = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_OTHER_IMAGES: Final = (
    (b"GIF8", "GIF"), (b"BM", "BMP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"%PDF", "PDF"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"), (b"\xff\x0a", "JPEG XL"), (b"\0\0\0\x0cjP  ", "JPEG 2000"),
)  # fmt: skip
_JPEG_SEQUENTIAL: Final = (0xC0, 0xC1)
_JPEG_SCAN: Final = 0xDA
_DECODING_ERRORS: Final = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, OverflowError, KeyError,
    struct.error, zlib.error,
)  # fmt: skip


class ImageError(MeshError):
    """Reports bytes that cannot be read as a photo; the message says what to do instead."""

    REASON: ClassVar[str]

    def __init__(self, message: str) -> None:
        """Keeps the advice for the sender."""
        super().__init__(message, StatusCode.INVALID_ARGUMENT, self.REASON)


class EmptyImage(ImageError):
    """Reports that no byte was sent."""

    REASON = "EMPTY_IMAGE"


class NotAnImage(ImageError):
    """Reports bytes that are no picture at all."""

    REASON = "NOT_AN_IMAGE"


class UnsupportedImage(ImageError):
    """Reports a picture of a kind that is not read here."""

    REASON = "UNSUPPORTED_IMAGE"


class ImageTooLarge(ImageError):
    """Reports too many bytes or too many pixels."""

    REASON = "IMAGE_TOO_LARGE"


class CorruptImage(ImageError):
    """Reports a picture that breaks off or contradicts itself."""

    REASON = "CORRUPT_IMAGE"


def decode(data: bytes) -> Pixels:
    """Decodes a JPEG, PNG or WebP to RGB, upright, no side longer than WORKING_SIDE_PX.

    The dimensions are checked before any pixel is decoded. Metadata is dropped.

    Raises:
        ImageError: one of its kinds says what is wrong with the bytes.
    """
    if not data:
        raise EmptyImage("The photo is empty; send the file again.")
    if len(data) > MAX_BYTES:
        raise ImageTooLarge(
            f"The photo has more than {MAX_BYTES // 2**20} MiB; send a smaller one."
        )
    kind = _sniff(data)
    allowed = MAX_JPEG_PIXELS if _is_by_rows(data) else MAX_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=(kind,))
            if image.width * image.height > allowed or max(image.size) > MAX_SIDE_PX:
                raise _too_many_pixels(allowed)
            return _to_pixels(image)
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(allowed) from error
    except _DECODING_ERRORS as error:
        raise CorruptImage("The photo is damaged or incomplete; take it again.") from error


def _sniff(data: bytes) -> str:
    """Tells the format from the first bytes; a file's name or declared type is never used."""
    if data.startswith(b"\xff\xd8\xff"):
        if data.count(b"\xff\xda") > MAX_JPEG_SCANS:
            raise CorruptImage("The photo has too many layers; send an ordinary JPEG.")
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        name = "HEIC" if data[8:12] in _ISO_IMAGE_BRANDS else "AVIF or video"
        raise UnsupportedImage(
            f"{name} is not supported; choose JPEG in the camera's settings or send a screenshot."
        )
    for magic, name in _OTHER_IMAGES:
        if data.startswith(magic):
            raise UnsupportedImage(f"{name} is not supported; send a JPEG, PNG or WebP photo.")
    raise NotAnImage("The file is not a photo; send a JPEG, PNG or WebP photo.")


def _is_by_rows(data: bytes) -> bool:
    """Tells whether it is a JPEG whose one scan holds all colours, as cameras write them.

    For any other, libjpeg keeps the coefficients of the whole picture, whatever its scale.
    """
    place, colours = 2, 0
    while data[:2] == b"\xff\xd8" and data[place : place + 1] == b"\xff":
        marker, size = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
        if marker in _JPEG_SEQUENTIAL:
            colours = data[place + 9] if place + 9 < len(data) else 0
        elif marker == _JPEG_SCAN:
            return colours > 0 and data[place + 4 : place + 5] == bytes((colours,))
        place += 2 + size
    return False


def _too_many_pixels(allowed: int) -> ImageTooLarge:
    return ImageTooLarge(
        f"The photo has more than {allowed // 10**6} megapixels; send a smaller one."
    )


def _to_pixels(image: Image.Image) -> Pixels:
    """Scales down first: what follows then costs little, whatever was sent."""
    image.draft("RGB", _working_size(image))
    image.load()
    if image.mode in ("1", "P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    image.thumbnail(_working_size(image), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    return np.asarray(_to_rgb(_upright(image)))


def _working_size(image: Image.Image) -> tuple[int, int]:
    scale = min(1.0, WORKING_SIDE_PX / max(image.size))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _upright(image: Image.Image) -> Image.Image:
    """Turns the photo as its EXIF says; broken EXIF is as good as none."""
    with contextlib.suppress(*_DECODING_ERRORS):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.uint32)
        return Image.fromarray((deep >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        solid = image.convert("RGBA")
        paper = Image.new("RGBA", solid.size, "white")
        return Image.alpha_composite(paper, solid).convert("RGB")
    return image.convert("RGB")
