"""The real networks on photos of drawn cards, in looks that training never saw."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import cache
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import cv2
import numpy as np
import psutil
import pytest
from PIL import Image, ImageDraw, ImageFont

from ocr_engine.parsing import Advice, CardReading, DocumentType, FieldReason, SeveralCards
from ocr_engine.vision.imaging import NotAnImage
from tests.support.runs.depth import DEPTH
from training.synth import (
    SHOOTINGS,
    CardRecord,
    Level,
    Sample,
    SimLayout,
    SimRecord,
    draw_card,
    photograph,
    random_record,
    sample,
)
from training.synth.tables import add_things, make_table

if TYPE_CHECKING:
    from ocr_engine.serving.engine import CardEngine

pytestmark = pytest.mark.model

SPELLINGS = {"KATHOLIK": "KATOLIK", "BUDDHA": "BUDHA", "KHONGHUCU": "KONGHUCU"}


def jpeg(pixels: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels[..., ::-1])[1])


def printed(record: CardRecord | SimRecord) -> Mapping[str, str]:
    """What the fields of a card are, where the card prints them."""
    return {
        spec.name: SPELLINGS.get(value, value)
        for spec in fields(record)
        if isinstance(value := getattr(record, spec.name), str) and value
    }


def wrong(taken: Sample, reading: CardReading) -> Mapping[str, tuple[str, str | None]]:
    """The fields that are not exactly as printed."""
    found = {name: field.value for name, field in reading.fields.found()}
    return {
        name: (value, found.get(name))
        for name, value in printed(taken.record).items()
        if value != found.get(name)
    }


def turned(pixels: np.ndarray, quarters: int) -> bytes:
    """A photo of a camera that was held in another way."""
    return jpeg(np.ascontiguousarray(np.rot90(pixels, quarters)))


@cache
def card(seed: int, level: Level, slant: float) -> Sample:
    """An identity card, drawn once: a drawn photo costs more than its reading."""
    return sample(seed, level, turn_degrees=slant)


@pytest.mark.parametrize(
    ("level", "slant", "quarter", "count", "exact", "numbers"),
    [
        (Level.CLEAN, 0, 0, 3, 0.97, 1.0),
        (Level.MEDIUM, 0, 0, 6, 0.95, 0.9),
        (Level.MEDIUM, 0, 1, 2, 0.95, 0.9),
        (Level.MEDIUM, 0, 2, 2, 0.95, 0.9),
        (Level.HARD, 37, 0, 3, 0.85, 0.8),
    ],
)
@pytest.mark.deep
def test_identity_cards(
    engine: "CardEngine",
    level: Level,
    slant: float,
    quarter: int,
    count: int,
    exact: float,
    numbers: float,
) -> None:
    taken = [card(500_000 + number, level, slant) for number in range(count * DEPTH)]
    total = sum(len(printed(one.record)) for one in taken)
    mistakes: list[object] = []
    right_numbers = 0
    for one in taken:
        reading = engine.read_card(turned(one.shot.pixels, quarter))
        assert reading.document_type is DocumentType.KTP, one.record
        found = wrong(one, reading)
        mistakes.extend((printed(one.record)["nik"], name, *pair) for name, pair in found.items())
        right_numbers += "nik" not in found

    assert 1 - len(mistakes) / total >= exact, mistakes
    assert right_numbers / len(taken) >= numbers, mistakes


@pytest.mark.deep
@pytest.mark.parametrize("layout", list(SimLayout))
def test_driving_licences(engine: "CardEngine", layout: SimLayout) -> None:
    mistakes: list[object] = []
    total = 0
    for seed in range(500_100, 500_100 + 2 * DEPTH):
        taken = sample(seed, Level.MEDIUM, sim=layout, turn_degrees=seed % 4 * 90)
        reading = engine.read_card(taken.shot.jpeg())
        assert reading.document_type is DocumentType.SIM, seed
        mistakes.extend((seed, name, *pair) for name, pair in wrong(taken, reading).items())
        total += len(printed(taken.record))

    assert 1 - len(mistakes) / total >= 0.93, mistakes


def test_where_the_card_and_its_fields_are(engine: "CardEngine") -> None:
    taken = sample(500_200, Level.CLEAN, turn_degrees=20)
    height, width = taken.shot.pixels.shape[:2]

    reading = engine.read_card(taken.shot.jpeg())

    outline = np.asarray(reading.outline) * (width, height)
    assert np.linalg.norm(outline - taken.shot.corners, axis=1).max() < 0.03 * width
    nik = np.asarray(reading.fields.nik.polygon) * (width, height)  # type: ignore[union-attr]
    assert cv2.contourArea(nik.astype(np.float32)) > 1000
    card = outline.astype(np.float32)
    for x, y in nik:
        assert cv2.pointPolygonTest(card, (float(x), float(y)), False) > 0
    assert {"decode", "detect", "gate", "find", "read", "parse"} <= reading.stage_seconds.keys()


def test_a_number_ending_in_zeros_and_a_birth_in_2000(engine: "CardEngine") -> None:
    record = replace(random_record(1), nik="3175034101000001", tanggal_lahir="01-01-2000",
                     jenis_kelamin="PEREMPUAN")  # fmt: skip
    drawing = draw_card(record, 1)
    shot = photograph(drawing.pixels, SHOOTINGS[Level.CLEAN], "marble", np.random.default_rng(1))

    reading = engine.read_card(shot.jpeg())

    found = dict(reading.fields.found())
    assert found["nik"].value == "3175034101000001"
    assert found["nik"].confidence > 0.8
    assert found["nik"].reason is FieldReason.AS_READ
    assert found["tanggal_lahir"].value == "01-01-2000"
    assert reading.warnings == ()


def test_a_clear_contradiction_stays_as_printed(engine: "CardEngine") -> None:
    record = replace(random_record(1), nik="3175034101000001", tanggal_lahir="09-05-1961")
    drawing = draw_card(record, 1)
    shot = photograph(drawing.pixels, SHOOTINGS[Level.CLEAN], "marble", np.random.default_rng(1))

    reading = engine.read_card(shot.jpeg())

    found = dict(reading.fields.found())
    assert (found["nik"].value, found["tanggal_lahir"].value) == (record.nik, record.tanggal_lahir)
    assert "NIK_BIRTH_DATE_MISMATCH" in {warning.code for warning in reading.warnings}


def test_two_cards_are_an_error_that_says_so(engine: "CardEngine") -> None:
    shots = [sample(seed, Level.MEDIUM).shot.pixels for seed in (500_300, 500_301)]
    height = max(shot.shape[0] for shot in shots)
    padded = [np.pad(shot, ((0, height - shot.shape[0]), (0, 0), (0, 0))) for shot in shots]

    with pytest.raises(SeveralCards) as caught:
        engine.read_card(jpeg(np.concatenate(padded, axis=1)))
    assert caught.value.reason == "SEVERAL_CARDS"


def receipt() -> Image.Image:
    image = Image.new("RGB", (900, 600), "white")
    text = "TOKO MAJU\nNota 1234567890123456\nKopi 2 x 12.000\nNama: Budi\nTotal 24.000"
    ImageDraw.Draw(image).multiline_text(
        (60, 60), text, font=ImageFont.load_default(40), fill="black", spacing=24
    )
    return image


def passport() -> Image.Image:
    """The data page of a passport, as ICAO 9303 lays it out; of nobody."""
    image = Image.new("RGB", (1250, 880), (236, 228, 214))
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(30)
    pen.rectangle((60, 150, 400, 600), fill=(150, 150, 160))
    pen.multiline_text(
        (450, 60),
        "REPUBLIK INDONESIA\nPASPOR  PASSPORT\nSPESIMEN\nNama / Name\nCONTOH SAJA\n"
        "Kewarganegaraan / Nationality\nINDONESIA\nTgl. lahir / Date of birth\n01 JAN 1990",
        font=font, fill=(30, 30, 40), spacing=22,
    )  # fmt: skip
    pen.multiline_text(
        (60, 730), "P<IDNCONTOH<<SAJA<<<<<<<<<<<<<<<<<<<<<<<<<<<\nX000000<<0IDN9001014F3001019<<<<",
        font=font, fill=(20, 20, 20), spacing=20,
    )  # fmt: skip
    return image


def cat() -> Image.Image:
    """Fur, ears and eyes."""
    rng = np.random.default_rng(4)
    scene = make_table("cloth", 900, 700, rng)
    image = Image.fromarray(scene)
    pen = ImageDraw.Draw(image)
    pen.polygon([(330, 300), (360, 120), (470, 240)], fill=(120, 90, 60))
    pen.polygon([(570, 300), (540, 120), (430, 240)], fill=(120, 90, 60))
    pen.ellipse((300, 200, 600, 480), fill=(140, 105, 70))
    for x in (390, 510):
        pen.ellipse((x - 25, 300, x + 25, 350), fill=(190, 200, 60))
        pen.ellipse((x - 7, 300, x + 7, 350), fill="black")
    fur = rng.normal(0, 14, (700, 900, 3))
    return Image.fromarray((np.asarray(image) + fur).clip(0, 255).astype(np.uint8))


def things() -> Image.Image:
    rng = np.random.default_rng(6)
    scene = make_table("papers", 1200, 900, rng)
    add_things(scene, 9, rng)
    return Image.fromarray(scene)


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 255, (600, 900, 3), np.uint8))


def blank() -> Image.Image:
    return Image.new("RGB", (900, 600), "white")


@pytest.mark.parametrize(
    "picture",
    [receipt, passport, cat, things, noise, blank],
    ids=lambda picture: picture.__name__,
)
def test_a_picture_without_a_card(engine: "CardEngine", picture: Callable[[], Image.Image]) -> None:
    reading = engine.read_card(jpeg(np.asarray(picture())))

    assert reading.document_type is DocumentType.UNKNOWN
    assert not list(reading.fields.found())
    assert Advice.NO_CARD in reading.quality.advice


@pytest.mark.parametrize("size", [(1, 1), (8, 1600), (1600, 8), (150, 150)])
def test_odd_shapes_do_no_harm(engine: "CardEngine", size: tuple[int, int]) -> None:
    reading = engine.read_card(jpeg(np.asarray(noise().resize(size))))

    assert reading.document_type is DocumentType.UNKNOWN
    assert Advice.NO_CARD in reading.quality.advice


def test_what_is_no_photo_is_refused(engine: "CardEngine") -> None:
    with pytest.raises(NotAnImage):
        engine.read_card(b"hello")


@pytest.mark.deep
def test_memory_does_not_grow(engine: "CardEngine") -> None:
    photos = [sample(seed, Level.MEDIUM).shot.jpeg() for seed in range(500_400, 500_402)]
    photos += [jpeg(np.asarray(noise().resize((width, 700)))) for width in (300, 1500)]
    process = psutil.Process()
    for photo in photos * 2:
        engine.read_card(photo)
    sizes = [process.memory_info().rss]
    for _ in range(3 * DEPTH):
        for photo in photos:
            engine.read_card(photo)
        sizes.append(process.memory_info().rss)

    # What leaks does so in each round; a busy machine takes pages away and gives them back.
    assert median(after - before for before, after in pairwise(sizes)) < 5 * 2**20, sizes
