"""Styles of cards: fonts, layouts and backgrounds, kept apart for training, validation and test."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources, util
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from PIL import ImageFont

CARD_WIDTH: Final = 1000
CARD_HEIGHT: Final = 631
"""Pixels of a drawn card: ID-1, 85.60 x 53.98 mm (ISO/IEC 7810)."""

T = TypeVar("T")

_DEBIAN: Final = Path("/usr/share/fonts")


class Split(StrEnum):
    """Names a set of styles. No two share a text font, a layout, a background or a table."""

    TRAIN = "TRAIN"
    VALIDATION = "VALIDATION"
    TEST = "TEST"


class FontMissing(RuntimeError):
    """Raised when a font of the training set is not installed."""


@dataclass(frozen=True)
class Typeface:
    """Names one family: the font of a line of text and the one of its bold neighbours."""

    regular: str
    bold: str


_TYPEFACES: Final = {
    Split.TRAIN: (
        Typeface("opentype/urw-base35/NimbusSans-Regular.otf",
                 "opentype/urw-base35/NimbusSans-Bold.otf"),
        Typeface("truetype/freefont/FreeSans.ttf", "truetype/freefont/FreeSansBold.ttf"),
        Typeface("font_roboto:Roboto-Regular.ttf", "font_roboto:Roboto-Bold.ttf"),
        Typeface("font_roboto:Roboto-Medium.ttf", "font_roboto:Roboto-Bold.ttf"),
        Typeface("font_source_sans_pro:SourceSansPro-Regular.ttf",
                 "font_source_sans_pro:SourceSansPro-Bold.ttf"),
    ),
    Split.VALIDATION: (
        Typeface("font_hanken_grotesk:HankenGrotesk-Regular.otf",
                 "font_hanken_grotesk:HankenGrotesk-Bold.otf"),
    ),
    Split.TEST: (Typeface("own:Arimo-Regular.ttf", "own:Arimo-Bold.ttf"),),
}  # fmt: skip
_OCR_A: Final = "own:OCRA.ttf"
_OCR_A_BOLD: Final = "truetype/ocr-a/OCRABold.ttf"
_OCR_B: Final = "opentype/ocr-b/OCRB.otf"
_TEMPLATES: Final = {
    Split.TRAIN: range(0, 24),
    Split.VALIDATION: range(100, 104),
    Split.TEST: range(200, 208),
}
_BACKGROUNDS: Final = {
    Split.TRAIN: ("waves", "rays", "weave", "blotches"),
    Split.VALIDATION: ("rings",),
    Split.TEST: ("guilloche", "dots"),
}
_TABLES: Final = {
    Split.TRAIN: ("wood", "cloth", "gradient", "tiles", "papers", "clutter"),
    Split.VALIDATION: ("speckles",),
    Split.TEST: ("marble", "planks", "keys"),
}


@dataclass(frozen=True)
class Template:
    """Says where things stand on a card: fractions of its width (x) and height (y)."""

    label_x: float
    indent: float
    colon_x: float
    value_x: float
    first_row_y: float
    pitch: float
    nik_y: float
    nik_value_x: float
    header_y: float
    header_gap: float
    text_height: float
    """Size of the text, as a share of the row pitch."""
    nik_height: float
    header_height: float
    photo: tuple[float, float, float, float]
    blood_x: float
    bold_values: bool
    bold_labels: bool
    wording: int
    """Which of the label spellings are printed."""
    sim_text_x: float
    """Where the text of a licence with the photo on its left begins."""


@dataclass(frozen=True)
class CardStyle:
    """Holds the choices for one card."""

    split: Split
    template: Template
    typeface: Typeface
    nik_font: str
    nik_stroke: float
    stroke: float
    background: str
    table: str


def choose_style(split: Split, rng: np.random.Generator) -> CardStyle:
    """Draws one style of a split.

    Raises:
        FontMissing: a font that only training uses is not installed.
    """
    typeface = _pick(_TYPEFACES[split], rng)
    training = (_OCR_A, _OCR_A, _OCR_A_BOLD, _OCR_B, typeface.bold)
    nik_fonts = training if split is Split.TRAIN else (_OCR_A, _OCR_A, typeface.bold)
    return CardStyle(
        split=split,
        template=template(int(rng.choice(np.asarray(_TEMPLATES[split])))),
        typeface=typeface,
        nik_font=_pick(nik_fonts, rng),
        nik_stroke=float(rng.choice((0, 0.4, 0.8))),
        stroke=float(rng.choice((0, 0, 0.3, 0.6))),
        background=_pick(_BACKGROUNDS[split], rng),
        table=_pick(_TABLES[split], rng),
    )


@cache
def template(number: int) -> Template:
    """Returns one printing batch's layout: the usual one, moved within what batches differ by."""
    rng = np.random.default_rng(number)

    def near(value: float, spread: float) -> float:
        return float(value + rng.uniform(-spread, spread))

    label_x = near(0.031, 0.008)
    value_x = near(0.280, 0.022)
    photo_left, photo_top = near(0.732, 0.01), near(0.206, 0.02)
    return Template(
        label_x=label_x,
        indent=near(0.026, 0.008),
        colon_x=value_x - near(0.018, 0.004),
        value_x=value_x,
        first_row_y=near(0.276, 0.010),
        pitch=near(0.0487, 0.0008),
        nik_y=near(0.180, 0.008),
        nik_value_x=near(0.205, 0.025),
        header_y=near(0.062, 0.010),
        header_gap=near(0.058, 0.004),
        text_height=near(0.78, 0.06),
        nik_height=near(1.24, 0.12),
        header_height=near(0.98, 0.10),
        photo=(
            photo_left,
            photo_top,
            photo_left + near(0.212, 0.012),
            photo_top + near(0.45, 0.02),
        ),
        blood_x=near(0.525, 0.02),
        bold_values=bool(rng.random() < 0.35),
        bold_labels=bool(rng.random() < 0.25),
        wording=int(rng.integers(4)),
        sim_text_x=near(0.33, 0.02),
    )


@cache
def font(name: str, size: float) -> ImageFont.FreeTypeFont:
    """Loads a font at a size in pixels: own:FILE, PACKAGE:FILE, or a file of Debian's fonts.

    Raises:
        FontMissing: it is not installed; the text says what to install.
    """
    package, _, file = name.rpartition(":")
    if package == "own":
        path = Path(str(resources.files("training.synth").joinpath("fonts", file)))
    elif package:
        spec = util.find_spec(package)
        if spec is None or spec.origin is None:
            raise FontMissing(f"pip install {package.replace('_', '-')}")
        path = Path(spec.origin).parent / "files" / file
    else:
        path = _DEBIAN / file
    if not path.exists():
        raise FontMissing(
            f"{path} is missing: apt-get install fonts-urw-base35 fonts-freefont-ttf fonts-ocr-a "
            "fonts-ocr-b"
        )
    return ImageFont.truetype(str(path), size)


def _pick(choices: Sequence[T], rng: np.random.Generator) -> T:
    return choices[int(rng.integers(len(choices)))]
