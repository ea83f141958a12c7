"""The rectified card."""

import numpy as np
import pytest

from ocr_engine.vision.rectification import HEIGHT, OUTLINE, WIDTH, rectify, to_photo


def test_there_and_back() -> None:
    corners = np.asarray(((120, 80), (900, 140), (860, 700), (90, 610)), np.float32)

    assert to_photo(OUTLINE, corners) == pytest.approx(corners, abs=1e-2)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_a_card_of_any_size_becomes_the_same(scale: float) -> None:
    photo = np.zeros((round(800 * scale), round(1200 * scale), 3), np.uint8)
    low, high = round(100 * scale), round(1100 * scale)
    photo[round(100 * scale) : round(731 * scale), low : (low + high) // 2] = (200, 0, 0)
    photo[round(100 * scale) : round(731 * scale), (low + high) // 2 : high] = (0, 0, 200)
    corners = np.asarray(((100, 100), (1100, 100), (1100, 731), (100, 731)), np.float32) * scale

    rectified = rectify(photo, corners)

    assert rectified.shape == (HEIGHT, WIDTH, 3)
    assert rectified[300, 100].tolist() == [200, 0, 0]
    assert rectified[300, 900].tolist() == [0, 0, 200]
