"""Advice for a better photo."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from ocr_engine.domain import Advice, TextBox
from ocr_engine.quality import measure
from ocr_engine.synth import CARD_HEIGHT, CARD_WIDTH, draw_card, photograph, random_record


def boxes(scale: float = 1.0) -> list[TextBox]:
    """About where the values of a drawn card stand."""
    return [
        TextBox("x", 1.0, x * scale, y * scale, (x + 200) * scale, (y + 26) * scale)
        for x, y in ((338, 233), (338, 264), (338, 327), (90, 233), (90, 450))
    ]


def photo(**effects: float) -> Image.Image:
    return photograph(draw_card(random_record(3), 3), 3, **effects)


def test_a_good_photo_needs_no_advice() -> None:
    assert measure(np.asarray(photo()), boxes()).advice == ()


def test_blurred() -> None:
    quality = measure(np.asarray(photo(blur_radius_px=4.0, noise_sigma=0.0)), boxes())

    assert quality.advice == (Advice.BLURRED,)


def test_too_dark() -> None:
    dark = ImageEnhance.Brightness(photo()).enhance(0.15)

    assert Advice.TOO_DARK in measure(np.asarray(dark), boxes()).advice


def test_glare() -> None:
    image = photo()
    image.paste((255, 255, 255), (300, 300, 300 + CARD_WIDTH // 3, 300 + CARD_HEIGHT // 3))

    assert Advice.GLARE in measure(np.asarray(image), boxes()).advice


def test_too_small() -> None:
    small = photo()
    small = small.resize((small.width // 4, small.height // 4))

    assert Advice.TOO_SMALL in measure(np.asarray(small), boxes(0.25)).advice


@pytest.mark.parametrize("size", [(1, 1), (3, 300), (300, 3)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    assert measure(np.zeros((*size, 3), np.uint8), []).advice
