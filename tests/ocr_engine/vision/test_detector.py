"""From the detector's numbers to cards."""

import cv2
import numpy as np
import pytest

from ocr_engine.parsing import DocumentType
from ocr_engine.vision.detector import find_cards, find_outline, turned
from tests.ocr_engine.doubles import ToldNetworks, candidate

PHOTO = np.zeros((480, 640, 3), np.uint8)
"""Framed at half its size, 40 pixels below the square's top."""
QUAD = [(50.0, 90.0), (250.0, 90.0), (250.0, 216.0), (50.0, 216.0)]


def test_corners_come_back_in_pixels_of_the_photo() -> None:
    (card,) = find_cards(PHOTO, ToldNetworks([candidate(QUAD)]))

    assert card.kind is DocumentType.KTP
    assert card.confidence == pytest.approx(0.9)
    assert card.corners.tolist() == [[100, 100], [500, 100], [500, 352], [100, 352]]
    assert card.width_px == pytest.approx(400)
    assert card.seen == (True, True, True, True)


def test_the_class_is_the_likelier_one() -> None:
    (card,) = find_cards(PHOTO, ToldNetworks([candidate(QUAD, sim=True)]))

    assert card.kind is DocumentType.SIM


def test_weak_finds_are_none() -> None:
    assert find_cards(PHOTO, ToldNetworks([candidate(QUAD, score=0.2)])) == []
    assert find_cards(PHOTO, ToldNetworks()) == []


def test_finds_of_one_place_are_one_card() -> None:
    moved = [(x + 4, y + 3) for x, y in QUAD]
    far = [(x, y + 140) for x, y in QUAD]
    told = ToldNetworks([candidate(moved, score=0.7), candidate(QUAD), candidate(far, score=0.8)])

    cards = find_cards(PHOTO, told)

    assert [round(card.confidence, 1) for card in cards] == [0.9, 0.8]


def test_a_single_lost_corner_is_put_where_it_must_be() -> None:
    wrong = [*QUAD[:2], (200.0, 150.0), QUAD[3]]

    (card,) = find_cards(PHOTO, ToldNetworks([candidate(wrong, seen=(0.9, 0.9, 0.1, 0.9))]))

    assert card.corners[2].tolist() == [500, 352]
    assert card.seen == (True, True, False, True)


def test_turning_moves_the_first_corner() -> None:
    corners = np.asarray(QUAD, np.float32)

    assert turned(corners, 2)[0].tolist() == [250, 216]
    assert turned(corners, 4).tolist() == corners.tolist()


@pytest.mark.parametrize("angle", [0, 17, 90, 200])
def test_an_outline_is_found_by_its_edges(angle: float) -> None:
    photo = np.full((700, 900, 3), 60, np.uint8)
    box = cv2.boxPoints(((450, 350), (500, 315), angle))
    cv2.fillConvexPoly(photo, box.astype(np.int32), (200, 220, 240))

    corners = find_outline(photo)

    assert corners is not None
    assert float(np.linalg.norm(corners[1] - corners[0])) == pytest.approx(500, rel=0.05)
    for corner in corners:
        assert np.linalg.norm(box - corner, axis=1).min() < 12
    along, down = corners[1] - corners[0], corners[2] - corners[1]
    assert along[0] * down[1] - along[1] * down[0] > 0


def test_nothing_in_the_shape_of_a_card() -> None:
    photo = np.full((700, 900, 3), 60, np.uint8)
    cv2.circle(photo, (450, 350), 200, (220, 220, 220), -1)
    cv2.rectangle(photo, (10, 10), (110, 110), (220, 220, 220), -1)

    assert find_outline(photo) is None
    assert find_outline(np.zeros((50, 50, 3), np.uint8)) is None
