"""Photos of drawn cards."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from ocr_engine.vision.rectification import rectify
from training.synth import SHOOTINGS, Degradation, Level, Shot, SimLayout, sample
from training.synth.camera import with_certain
from training.synth.light import compressed, moved


def test_the_same_arguments_take_the_same_photo() -> None:
    first, second = (sample(3, Level.HARD, turn_degrees=90).shot for _ in range(2))

    assert (first.pixels == second.pixels).all()
    assert (first.corners == second.corners).all()


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("turn", [0, 90, 180, 271])
def test_corners_are_where_the_card_is(level: Level, turn: float) -> None:
    taken = sample(11, replace(SHOOTINGS[level], chances={}), turn_degrees=turn)
    height, width = taken.shot.pixels.shape[:2]

    assert ((taken.shot.corners >= 0) & (taken.shot.corners <= (width, height))).all()
    rectified = rectify(taken.shot.pixels, taken.shot.corners).astype(float)
    card = taken.drawing.pixels.astype(float)
    likeness = np.corrcoef(rectified[20:-20, 20:-20].ravel(), card[20:-20, 20:-20].ravel())[0, 1]
    assert likeness > 0.75


def test_the_width_is_what_was_asked_for() -> None:
    shot = sample(2, Level.HARD, sim=SimLayout.NUMBERED).shot

    assert 430 < np.linalg.norm(shot.corners[1] - shot.corners[0]) < 640


@cache
def undisturbed(seed: int) -> Shot:
    """A photo to which nothing happened."""
    return sample(seed, with_certain(SHOOTINGS[Level.MEDIUM])).shot


@pytest.mark.parametrize("kind", list(Degradation))
def test_each_degradation_changes_the_photo(kind: Degradation) -> None:
    plain = undisturbed(5)
    spoiled = sample(5, with_certain(SHOOTINGS[Level.MEDIUM], kind)).shot

    assert spoiled.happened == (kind,)
    assert plain.happened == ()
    difference = np.abs(plain.pixels.astype(int) - spoiled.pixels.astype(int)).mean()
    assert difference > 0.5


def test_a_photo_is_sent_as_jpeg() -> None:
    assert sample(1).shot.jpeg().startswith(b"\xff\xd8\xff")


def test_motion_smears_along_its_way() -> None:
    picture = np.zeros((21, 21, 3), np.float32)
    picture[10, 10] = 255

    smeared = moved(picture, 7, 0.0)[..., 0]

    assert (smeared[10] > 1).sum() >= 5
    assert (smeared[:, 10] > 1).sum() <= 3


def test_jpeg_keeps_the_size() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8)

    assert compressed(noise, 50).shape == noise.shape
    assert (compressed(noise, 20) != noise).any()
