"""Marks and blanks that the recognizer passes over."""

from typing import cast

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from ocr_engine.marks import Glyph, complete

SIZE = 45


def line(text: str, colour: int = 30) -> tuple[np.ndarray, list[Glyph]]:
    """Draws a line of text, with the true place of each character that is no blank."""
    font = cast(ImageFont.FreeTypeFont, ImageFont.load_default(SIZE))
    image = Image.new("L", (int(font.getlength(text)) + 40, 64), 210)
    ImageDraw.Draw(image).text((20, 8), text, font=font, fill=colour)
    glyphs = [
        Glyph(char, 20 + (font.getlength(text[:index]) + font.getlength(text[: index + 1])) / 2)
        for index, char in enumerate(text)
    ]
    return np.asarray(image), glyphs


def completed(printed: str, decoded: str) -> str:
    """What becomes of a decoding that lacks some of the printed characters."""
    pixels, glyphs = line(printed)
    left: list[Glyph] = []
    rest = iter(glyphs)
    for char in decoded:
        left.append(next(Glyph(char, g.x) for g in rest if g.char == char or char in ":;"))
    return "".join(glyph.char for glyph in complete(left, pixels))


@pytest.mark.parametrize(
    ("printed", "decoded"),
    [
        ("JL. PAHLAWAN NO. 13", "JL PAHLAWANNO 13"),
        ("JL. PAHLAWAN NO. 13", "JLPAHLAWANNO.13"),
        ("BELUM KAWIN", "BELUMKAWIN"),
        ("AYU SETIAWAN, ST", "AYUSETIAWAN ST"),
        ("LAKI-LAKI", "LAKILAKI"),
        ("Darah : -", "Darah :"),
        ("SRI SITI MARIA SAPUTRA", "SRISITIMARIASAPUTRA"),
    ],
)
def test_what_is_printed_is_put_back(printed: str, decoded: str) -> None:
    assert completed(printed, decoded) == printed


@pytest.mark.parametrize(
    "text",
    [
        "AYU SETIAWAN",
        "JL. PAHLAWAN NO. 13",
        "Gol. Darah : O",
        "016/017",
        "3175036009500008",
        "111 111",
        "JAKARTA, 20-09-1950",
        "Jenis kelamin",
        "WILAYAH",
        "O",
    ],
)
def test_a_complete_decoding_stays(text: str) -> None:
    pixels, glyphs = line(text)

    assert complete(glyphs, pixels) == glyphs


def test_a_colon_that_is_printed_as_a_dot() -> None:
    assert completed("NO. 135", "NO: 135") == "NO. 135"


def test_pale_specks_are_no_marks() -> None:
    pixels, glyphs = line("AYU SETIAWAN")
    speckled = pixels.copy()
    speckled[44:50, 78:84] = 150

    assert complete(glyphs, speckled) == glyphs


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_picture_without_ink(value: int) -> None:
    blank = np.full((64, 200), value, np.uint8)

    assert complete([Glyph("A", 50)], blank) == [Glyph("A", 50)]
    assert complete([], blank) == []
