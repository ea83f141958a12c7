"""From cells of text to lines, and from lines to crops."""

import cv2
import numpy as np
import pytest

from ocr_engine.vision.crops import CROP_HEIGHT_PX, CROP_WIDTH_MAX_PX, CROP_WIDTH_MIN_PX, Line, cut
from ocr_engine.vision.lines import CELL_HEIGHT, CELL_WIDTH, GRID_HEIGHT, GRID_WIDTH, find_lines
from ocr_engine.vision.networks import Floats
from ocr_engine.vision.rectification import HEIGHT, WIDTH
from tests.ocr_engine.doubles import ToldNetworks

GREY = np.full((HEIGHT, WIDTH), 200, np.uint8)


def grid(*boxes: tuple[int, int, int, int], chance: float = 1.0) -> Floats:
    chances = np.zeros((2, GRID_HEIGHT, GRID_WIDTH), np.float32)
    for left, top, right, bottom in boxes:
        chances[1, top:bottom, left:right] = chance
    return chances


def test_a_find_is_a_line_in_pixels_of_the_card() -> None:
    (line,) = find_lines(GREY, ToldNetworks(chances=grid((40, 50, 100, 55))))

    assert (line.left, line.right) == (40 * CELL_WIDTH, 100 * CELL_WIDTH)
    assert line.middle == pytest.approx(52.5 * CELL_HEIGHT)
    assert line.cap == pytest.approx(5 * CELL_HEIGHT)
    assert line.slope == pytest.approx(0, abs=1e-3)


def test_words_are_joined_and_columns_are_not() -> None:
    chances = grid((40, 50, 60, 55), (63, 50, 80, 55), (120, 50, 140, 55))

    lines = find_lines(GREY, ToldNetworks(chances=chances))

    assert sorted((line.left, line.right) for line in lines) == [
        (40 * CELL_WIDTH, 80 * CELL_WIDTH), (120 * CELL_WIDTH, 140 * CELL_WIDTH),
    ]  # fmt: skip


def test_roles_stay_apart() -> None:
    chances = grid((63, 50, 80, 55))
    chances[0, 50:55, 40:60] = 1.0

    lines = find_lines(GREY, ToldNetworks(chances=chances))

    assert [(line.is_label, line.left) for line in lines] == [
        (True, 40 * CELL_WIDTH), (False, 63 * CELL_WIDTH),
    ]  # fmt: skip


def test_a_slope_is_measured() -> None:
    chances = np.zeros((2, GRID_HEIGHT, GRID_WIDTH), np.float32)
    cv2.line(chances[1], (40, 60), (200, 68), 1.0, 5)

    (line,) = find_lines(GREY, ToldNetworks(chances=chances))

    assert line.slope == pytest.approx(8 / 160 * CELL_HEIGHT / CELL_WIDTH, rel=0.1)


def test_fused_lines_are_taken_apart() -> None:
    chances = grid((40, 50, 100, 55), (40, 59, 100, 64), (150, 20, 200, 25), (150, 80, 200, 85))
    chances[1, 55:59, 60:80] = 0.6

    lines = find_lines(GREY, ToldNetworks(chances=chances))

    assert sorted(round(line.middle / CELL_HEIGHT, 1) for line in lines) == [22.5, 52.5, 61.5, 82.5]


def test_a_dash_is_as_high_as_its_line() -> None:
    chances = grid((40, 50, 100, 56), (110, 53, 114, 55), (40, 80, 100, 86), (40, 110, 100, 116))

    dash = max(find_lines(GREY, ToldNetworks(chances=chances)), key=lambda line: line.left)

    assert dash.cap == pytest.approx(6 * CELL_HEIGHT)
    assert dash.middle == pytest.approx(53 * CELL_HEIGHT)


def test_what_lies_in_a_label_is_no_value() -> None:
    chances = grid((70, 51, 76, 55), (120, 50, 180, 55))
    chances[0, 50:56, 40:90] = 1.0

    lines = find_lines(GREY, ToldNetworks(chances=chances))

    assert [line.is_label for line in lines] == [True, False]


def test_small_print_stays_small() -> None:
    chances = grid((40, 50, 100, 56), (150, 52, 200, 55), (40, 80, 100, 86), (40, 110, 100, 116))

    small = max(find_lines(GREY, ToldNetworks(chances=chances)), key=lambda line: line.left)

    assert small.cap == pytest.approx(3 * CELL_HEIGHT)
    assert small.middle == pytest.approx(53.5 * CELL_HEIGHT)


def test_specks_are_no_lines() -> None:
    assert find_lines(GREY, ToldNetworks(chances=grid((10, 10, 12, 12)))) == []
    assert find_lines(GREY, ToldNetworks(chances=grid((10, 10, 60, 15), chance=0.4))) == []
    assert find_lines(GREY, ToldNetworks()) == []


def striped(slope: float) -> np.ndarray:
    grey = GREY.copy()
    for x in range(100, 400, 12):
        y = 300 + slope * (x - 250)
        cv2.rectangle(grey, (x, round(y - 9)), (x + 5, round(y + 9)), 20, -1)
    return grey


@pytest.mark.parametrize("slope", [0.0, 0.08, -0.08])
def test_a_crop_is_level_and_of_one_height(slope: float) -> None:
    crop = cut(striped(slope), Line(100, 400, 300, 18, slope))

    assert crop.shape[0] == CROP_HEIGHT_PX
    dark = crop < 110
    rows = np.flatnonzero(dark.any(axis=1))
    assert 14 <= rows[-1] - rows[0] <= 20
    middles = [
        float(np.flatnonzero(dark[:, x]).mean()) for x in range(crop.shape[1]) if dark[:, x].any()
    ]
    assert max(middles) - min(middles) < 3


@pytest.mark.parametrize(
    ("line", "width"),
    [(Line(100, 103, 300, 18), None), (Line(0, 1000, 300, 8), CROP_WIDTH_MAX_PX)],
)
def test_crops_have_a_least_and_a_greatest_width(line: Line, width: int | None) -> None:
    crop = cut(GREY, line)

    assert CROP_WIDTH_MIN_PX <= crop.shape[1] <= CROP_WIDTH_MAX_PX
    assert width is None or crop.shape[1] == width


def test_a_line_at_the_edge_of_the_card() -> None:
    assert cut(GREY, Line(-20, 40, 2, 18)).shape[0] == CROP_HEIGHT_PX
