"""The real networks on drawn cards."""

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from ocr_engine.domain import Advice, CardReading, DocumentType
from ocr_engine.imaging import NotAnImage
from ocr_engine.synth import CardRecord, draw_card, encode_jpeg, photograph, random_record

if TYPE_CHECKING:
    from ocr_engine.engine import CardEngine

pytestmark = pytest.mark.model

SEEDS = range(20, 28)
FIELDS = tuple(field.name for field in fields(CardRecord))


def wrong(record: CardRecord, reading: CardReading) -> Mapping[str, tuple[str, str | None]]:
    """The fields that are not exactly as printed."""
    found = {name: field.value for name, field in reading.fields.found()}
    return {
        name: (printed, found.get(name))
        for name in FIELDS
        if (printed := getattr(record, name)) != found.get(name)
    }


def test_upright_cards_are_read(engine: "CardEngine") -> None:
    mistakes: list[object] = []
    for seed in SEEDS:
        record = random_record(seed)
        reading = engine.read_card(encode_jpeg(photograph(draw_card(record, seed), seed)))
        found = wrong(record, reading)
        assert "nik" not in found, (seed, found)
        assert reading.document_type is DocumentType.KTP
        assert reading.quality.advice == ()
        mistakes.extend((seed, name, *pair) for name, pair in found.items())

    exact = 1 - len(mistakes) / (len(SEEDS) * len(FIELDS))
    assert exact >= 0.95, mistakes


@pytest.mark.parametrize(
    ("width_px", "margin_share", "quality"), [(700, 0.02, 60), (2400, 0.25, 90)]
)
def test_small_and_large_photos(
    engine: "CardEngine", width_px: int, margin_share: float, quality: int
) -> None:
    record = random_record(31)
    photo = photograph(draw_card(record, 31), 31, margin_share=margin_share)
    photo = photo.resize((width_px, photo.height * width_px // photo.width))

    found = wrong(record, engine.read_card(encode_jpeg(photo, quality)))

    assert "nik" not in found
    assert len(found) <= 1, found


def test_a_number_ending_in_zeros_and_a_birth_in_2000(engine: "CardEngine") -> None:
    record = CardRecord(
        **{
            **{name: getattr(random_record(1), name) for name in FIELDS},
            "nik": "3175034101000001",
            "tanggal_lahir": "01-01-2000",
        }
    )

    reading = engine.read_pixels(np.asarray(draw_card(record, 1)))

    assert reading.fields.nik is not None
    assert reading.fields.nik.value == "3175034101000001"
    assert reading.fields.nik.confidence > 0.8
    assert reading.fields.tanggal_lahir is not None
    assert reading.fields.tanggal_lahir.value == "01-01-2000"
    assert reading.warnings == ()


def receipt() -> Image.Image:
    image = Image.new("RGB", (900, 600), "white")
    text = "TOKO MAJU\nNota 1234567890123456\nKopi 2 x 12.000\nNama: Budi\nTotal 24.000"
    ImageDraw.Draw(image).multiline_text(
        (60, 60), text, font=ImageFont.load_default(40), fill="black", spacing=24
    )
    return image


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 255, (600, 900, 3), np.uint8))


@pytest.mark.parametrize(
    "picture",
    [receipt(), noise(), Image.new("RGB", (900, 600), "white")],
    ids=["receipt", "noise", "blank"],
)
def test_a_picture_without_a_card(engine: "CardEngine", picture: Image.Image) -> None:
    reading = engine.read_card(encode_jpeg(picture))

    assert reading.document_type is DocumentType.UNKNOWN
    assert not list(reading.fields.found())


def test_a_single_pixel_holds_no_card(engine: "CardEngine") -> None:
    reading = engine.read_card(encode_jpeg(Image.new("RGB", (1, 1))))

    assert reading.document_type is DocumentType.UNKNOWN
    assert Advice.TOO_SMALL in reading.quality.advice


@pytest.mark.parametrize("size", [(8, 1600), (1600, 8), (200, 200)])
def test_odd_shapes_do_no_harm(engine: "CardEngine", size: tuple[int, int]) -> None:
    reading = engine.read_card(encode_jpeg(noise().resize(size)))

    assert reading.document_type is DocumentType.UNKNOWN


def test_what_is_no_photo_is_refused(engine: "CardEngine") -> None:
    with pytest.raises(NotAnImage):
        engine.read_card(b"hello")
