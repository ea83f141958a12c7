"""Advice for a better photo, on photos of drawn cards whose corners are known."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from ocr_engine.parsing import Advice, DocumentType, Quality
from ocr_engine.vision.detector import FoundCard
from ocr_engine.vision.quality import measure
from ocr_engine.vision.rectification import Corners, Pixels, rectify
from training.synth import SHOOTINGS, Degradation, Level, Shot, SimLayout, Split, light, sample
from training.synth.camera import with_certain

KINDS = (None, SimLayout.LABELLED, None, SimLayout.NUMBERED, SimLayout.BILINGUAL)
Photo = tuple[Pixels, Corners]


def found(corners: Corners, seen: tuple[bool, bool, bool, bool] = (True,) * 4) -> FoundCard:
    return FoundCard(DocumentType.KTP, 0.9, corners.astype(np.float32), seen)


def measured(photo: Pixels, corners: Corners) -> Quality:
    return measure(photo, found(corners), rectify(photo, corners))


def share(advice: Advice, photos: Iterable[Photo]) -> float:
    """Of the photos, how many get an advice."""
    return float(np.mean([advice in measured(*photo).advice for photo in photos]))


def shots(level: Level, count: int, *kinds: Degradation) -> list[Shot]:
    """Photos of cards of all kinds, half of them turned, with what happened for certain."""
    shooting = with_certain(SHOOTINGS[level], *kinds) if kinds else SHOOTINGS[level]
    return [
        sample(
            300 + seed,
            shooting,
            split=(Split.TEST, Split.VALIDATION)[seed % 2],
            sim=KINDS[seed % 5],
            turn_degrees=(seed // 2 % 2) * 37 * seed,
        ).shot
        for seed in range(count)
    ]


@pytest.fixture(scope="module")
def plain() -> dict[Level, list[Photo]]:
    """Photos with what happens to photos of each level."""
    counts = {Level.CLEAN: 4, Level.MEDIUM: 8, Level.HARD: 6}
    return {
        level: [(shot.pixels, shot.corners) for shot in shots(level, count)]
        for level, count in counts.items()
    }


@pytest.fixture(scope="module")
def good(plain: dict[Level, list[Photo]]) -> list[Photo]:
    """Photos that need no advice."""
    return plain[Level.CLEAN] + plain[Level.MEDIUM]


def spoiled(photos: list[Photo], spoil: Callable[[light.Picture, Corners], object]) -> list[Photo]:
    """The same photos with one more thing wrong."""
    return [
        (np.asarray(spoil(pixels.astype(np.float32), corners)).clip(0, 255).astype(np.uint8),
         corners)
        for pixels, corners in photos
    ]  # fmt: skip


def test_good_photos_need_no_advice(good: list[Photo]) -> None:
    given = [measured(*photo).advice for photo in good]

    assert sum(bool(advice) for advice in given) <= 1, given


@pytest.mark.parametrize(
    "advice",
    [Advice.BLURRED, Advice.TOO_DARK, Advice.TOO_SMALL, Advice.PHOTOCOPY, Advice.SCREEN],
)
def test_hard_photos_can_still_be_read(plain: dict[Level, list[Photo]], advice: Advice) -> None:
    assert share(advice, plain[Level.HARD]) <= 0.05


def test_blurred(good: list[Photo]) -> None:
    def defocused(picture: light.Picture, corners: Corners) -> object:
        return cv2.GaussianBlur(picture, (0, 0), found(corners).width_px * 0.0065)

    assert share(Advice.BLURRED, spoiled(good, defocused)) >= 0.9


def test_too_dark(good: list[Photo]) -> None:
    def dark(picture: light.Picture, _: Corners) -> object:
        return light.noisy(picture * 0.22, 4, np.random.default_rng(1))

    photos = spoiled(good, dark)

    assert share(Advice.TOO_DARK, photos) >= 0.9
    assert share(Advice.BLURRED, photos) <= 0.05


def test_glare(plain: dict[Level, list[Photo]]) -> None:
    rng = np.random.default_rng(5)

    def lit(picture: light.Picture, corners: Corners) -> object:
        return light.glared(picture * 0.95, corners, rng, 220)

    assert share(Advice.GLARE, spoiled(plain[Level.MEDIUM], lit)) >= 0.9


def test_daylight_is_seldom_taken_for_glare(good: list[Photo]) -> None:
    """Even where it burns out one side of a pale card."""

    def bright(picture: light.Picture, _: Corners) -> object:
        return light.uneven(picture * 1.1, 0.15, np.random.default_rng(2))

    assert share(Advice.GLARE, spoiled(good, bright)) <= 0.15


@pytest.mark.parametrize(
    ("kind", "advice"),
    [(Degradation.PHOTOCOPY, Advice.PHOTOCOPY), (Degradation.SCREEN, Advice.SCREEN)],
)
def test_what_is_no_card(kind: Degradation, advice: Advice) -> None:
    photos = [(shot.pixels, shot.corners) for shot in shots(Level.MEDIUM, 5, kind)]

    assert share(advice, photos) >= 0.9
    assert share(Advice.GLARE, photos) <= 0.1


def test_too_small() -> None:
    shooting = replace(SHOOTINGS[Level.MEDIUM], card_px=(200, 340))
    photos = [sample(seed, shooting, sim=KINDS[seed % 5]).shot for seed in range(5)]

    assert share(Advice.TOO_SMALL, [(shot.pixels, shot.corners) for shot in photos]) == 1


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_cropped(good: list[Photo], side: str) -> None:
    def cut(pixels: Pixels, corners: Corners) -> Photo:
        low, high = corners.min(axis=0), corners.max(axis=0)
        x, y = (low + 0.1 * (high - low)).astype(int)
        right, bottom = (high - 0.1 * (high - low)).astype(int)
        return {
            "left": (pixels[:, x:], corners - (x, 0)),
            "right": (pixels[:, :right], corners),
            "top": (pixels[y:], corners - (0, y)),
            "bottom": (pixels[:bottom], corners),
        }[side]

    assert share(Advice.CROPPED, [cut(*photo) for photo in good]) >= 0.9


BOX = np.asarray(((0, 0), (800, 0), (800, 504), (0, 504)), np.float32)


def test_a_card_may_fill_the_photo_to_its_border() -> None:
    photo = np.full((504, 800, 3), 200, np.uint8)

    assert Advice.CROPPED not in measured(photo, BOX).advice
    assert Advice.CROPPED not in measured(photo, np.add(BOX, (6, 0))).advice
    assert Advice.CROPPED in measured(photo, np.add(BOX, (14, 0))).advice


@pytest.mark.parametrize(("moved", "cropped"), [(50, False), (0, True)])
def test_an_unseen_corner_is_cropped_at_the_photos_edge_only(moved: float, cropped: bool) -> None:
    """Elsewhere a finger lies on it."""
    photo = np.full((700, 1000, 3), 200, np.uint8)
    card = found(BOX + moved, (False, True, True, True))

    advice = measure(photo, card, rectify(photo, card.corners)).advice

    assert (Advice.CROPPED in advice) == cropped


@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (3, 300), (300, 3), (63, 63), (600, 900)])
def test_pictures_of_nothing(size: tuple[int, int], grey: int) -> None:
    photo = np.full((*size, 3), grey, np.uint8)
    quality = measured(photo, np.asarray(((0, 0), (9, 0), (9, 6), (0, 6)), np.float32))

    assert {Advice.TOO_SMALL, Advice.BLURRED, Advice.PHOTOCOPY} <= set(quality.advice)
    assert np.isfinite([value for name, value in vars(quality).items() if name != "advice"]).all()


@pytest.mark.parametrize("corners", [np.zeros((4, 2)), BOX + 5000, BOX - 5000, BOX * 50, BOX[::-1]])
def test_corners_that_cannot_be(corners: Corners) -> None:
    photo = np.random.default_rng(1).integers(0, 255, (500, 700, 3), np.uint8)
    card = found(corners)

    quality = measure(photo, card, np.zeros((631, 1000, 3), np.uint8))

    assert np.isfinite(quality.moire)


@pytest.mark.parametrize("scale", [0.7, 1.6])
def test_measures_do_not_depend_on_the_resolution(good: list[Photo], scale: float) -> None:
    for pixels, corners in good[3:7]:
        size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        other = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else 2)
        first, second = measured(pixels, corners), measured(other.astype(np.uint8), corners * scale)

        assert first.advice == second.advice
        assert second.sharpness == pytest.approx(first.sharpness, rel=0.15)
        assert second.brightness == pytest.approx(first.brightness, abs=4)
        assert second.saturation == pytest.approx(first.saturation, abs=0.02)
