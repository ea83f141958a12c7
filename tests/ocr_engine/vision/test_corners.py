"""Better corners from rough ones."""

import numpy as np
import pytest

from ocr_engine.vision.corners import CARD_SPAN_PX, PASSES, VIEW_CARD, as_input, look_at, refine
from tests.ocr_engine.doubles import ToldNetworks

CORNERS = np.asarray(((300, 200), (800, 240), (780, 560), (280, 520)), np.float32)
PHOTO = np.zeros((900, 1200, 3), np.uint8)


def test_what_is_right_stays() -> None:
    assert refine(PHOTO, CORNERS, ToldNetworks()) == pytest.approx(CORNERS, abs=0.5)


def test_corners_move_as_the_network_says() -> None:
    square = np.asarray(((300, 200), (600, 200), (600, 400), (300, 400)), np.float32)

    moved = refine(PHOTO, square, ToldNetworks(off=(CARD_SPAN_PX / 100, 0.0)))

    assert moved - square == pytest.approx(np.asarray([[3.0 * PASSES, 0.0]] * 4), abs=0.3)


@pytest.mark.parametrize("scale", [0.2, 1.0, 4.0])
def test_the_guessed_card_fills_the_view(scale: float) -> None:
    photo = np.zeros((round(900 * scale), round(1200 * scale), 3), np.uint8)
    corners = np.asarray(((300, 200), (800, 200), (800, 515), (300, 515)), np.float32) * scale
    low, high = corners[0].astype(int), corners[2].astype(int)
    photo[low[1] : high[1], low[0] : high[0]] = 255

    view, matrix = look_at(photo, corners)

    left, top = VIEW_CARD[0].astype(int)
    right, bottom = VIEW_CARD[2].astype(int)
    assert view[top + 4 : bottom - 4, left + 4 : right - 4].min() > 200
    assert view[: top - 4].max() < 60
    there = matrix @ np.asarray((*corners[0], 1.0))
    assert there[:2] / there[2] == pytest.approx(VIEW_CARD[0], abs=0.01)
    assert as_input(view).shape == (1, 3, 128, 192)
