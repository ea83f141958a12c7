"""Photographs a drawn card: where it lies, from where the camera looks, and what spoils it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synth import light
from training.synth.light import Corners, Degradation, Picture, softened
from training.synth.styles import CARD_HEIGHT, CARD_WIDTH
from training.synth.tables import Pixels, add_things, make_table

CARD_CORNERS: Final = np.asarray(
    ((0, 0), (CARD_WIDTH, 0), (CARD_WIDTH, CARD_HEIGHT), (0, CARD_HEIGHT)), np.float32
)


class Level(StrEnum):
    """Says how hard to read a photo is."""

    CLEAN = "CLEAN"
    MEDIUM = "MEDIUM"
    HARD = "HARD"


@dataclass(frozen=True)
class Shooting:
    """Says how a photo is taken. Pairs are lowest and highest."""

    card_px: tuple[float, float]
    """Width of the card on the photo, in pixels."""
    share: tuple[float, float] = (0.5, 0.85)
    """Width of the card, as a share of the photo's."""
    tilt_degrees: float = 5.0
    perspective: float = 0.02
    """How far a corner is moved, as a share of the card's width."""
    blur_px: tuple[float, float] = (0.0, 0.5)
    noise: tuple[float, float] = (1.0, 4.0)
    light: tuple[float, float] = (0.85, 1.1)
    jpeg: tuple[int, int] = (82, 95)
    chances: Mapping[Degradation, float] = field(default_factory=dict)
    """How often each thing happens; what is absent never does."""


SHOOTINGS: Final[Mapping[Level, Shooting]] = MappingProxyType(
    {
        Level.CLEAN: Shooting(card_px=(800, 1100)),
        Level.MEDIUM: Shooting(
            card_px=(640, 780), tilt_degrees=12, perspective=0.04, blur_px=(0.3, 0.7),
            noise=(2, 7), light=(0.65, 1.1), jpeg=(60, 85),
            chances={Degradation.SHADOW: 0.25, Degradation.FINGER: 0.15, Degradation.MOTION: 0.1},
        ),
        Level.HARD: Shooting(
            card_px=(500, 560), share=(0.4, 0.8), tilt_degrees=25, perspective=0.07,
            blur_px=(0.4, 0.85), noise=(3, 9), light=(0.5, 1.15), jpeg=(45, 75),
            chances={Degradation.SHADOW: 0.35, Degradation.GLARE: 0.6, Degradation.FINGER: 0.25,
                     Degradation.MOTION: 0.25},
        ),
    }
)  # fmt: skip
"""The three levels of the benchmark, after the measurements that the goals were set from."""


@dataclass(frozen=True)
class Shot:
    """Holds a photo of a card."""

    pixels: Pixels
    corners: Corners
    happened: tuple[Degradation, ...] = ()

    def jpeg(self, quality: int = 95) -> bytes:
        """Returns the photo as a phone would send it."""
        _, data = cv2.imencode(".jpg", self.pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        return bytes(data)


def photograph(
    card: Pixels,
    shooting: Shooting,
    table: str,
    rng: np.random.Generator,
    *,
    turn_degrees: float = 0.0,
) -> Shot:
    """Takes a photo of a card on a table.

    Args:
        card: CARD_HEIGHT x CARD_WIDTH x RGB.
        shooting: How.
        table: Kind of ground (`training.synth.tables`).
        rng: Decides everything that is not fixed.
        turn_degrees: Turn of the card in the photo, beside the shooting's own tilt.
    """
    corners, width, height = _place(shooting, turn_degrees, rng)
    scene = make_table(table, width, height, rng)
    add_things(scene, int(rng.integers(0, 4)), rng)
    happened = tuple(kind for kind, chance in shooting.chances.items() if rng.random() < chance)
    picture = _laid(card.astype(np.float32), corners, scene, happened, rng)
    picture = _exposed(picture, corners, shooting, happened, rng)
    quality = int(rng.integers(shooting.jpeg[0], shooting.jpeg[1] + 1))
    pixels = light.compressed(picture.clip(0, 255).astype(np.uint8), quality)
    return Shot(pixels, corners, happened)


def with_certain(shooting: Shooting, *kinds: Degradation) -> Shooting:
    """Returns the same shooting, with some things happening for certain and no others."""
    return replace(shooting, chances=dict.fromkeys(kinds, 1.0))


def _place(
    shooting: Shooting, turn_degrees: float, rng: np.random.Generator
) -> tuple[Corners, int, int]:
    """Decides where the card lies and how large the photo is."""
    card_px = float(rng.uniform(*shooting.card_px))
    angle = np.deg2rad(turn_degrees + rng.uniform(-1, 1) * shooting.tilt_degrees)
    flat = (CARD_CORNERS / CARD_WIDTH - np.asarray((0.5, 0.5 * CARD_HEIGHT / CARD_WIDTH))) * card_px
    flat = flat + rng.uniform(-1, 1, (4, 2)) * shooting.perspective * card_px
    turn = np.asarray(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
    turned = flat @ turn.T
    spread = turned.max(axis=0) - turned.min(axis=0)
    room = card_px / float(rng.uniform(*shooting.share))
    sides = (room, room * 0.75) if rng.random() < 0.6 else (room * 0.75, room)
    size = np.maximum(np.asarray(sides), spread * 1.04)
    slack = size - spread
    shift = -turned.min(axis=0) + slack * rng.uniform(0.15, 0.85, 2)
    width, height = (int(np.ceil(side)) for side in size)
    return (turned + shift).astype(np.float32), width, height


def _laid(
    card: Picture,
    corners: Corners,
    scene: Pixels,
    happened: tuple[Degradation, ...],
    rng: np.random.Generator,
) -> Picture:
    """Puts the card into the scene, with its thin shadow."""
    if Degradation.PHOTOCOPY in happened:
        card = light.photocopied(card, rng)
    span = float(np.linalg.norm(corners[1] - corners[0]))
    shrink = CARD_WIDTH / max(span, 1)
    if shrink > 1.3:
        card = softened(card, 0.35 * shrink)
    size = (scene.shape[1], scene.shape[0])
    matrix = cv2.getPerspectiveTransform(CARD_CORNERS, corners)
    warped = cv2.warpPerspective(card, matrix, size, flags=cv2.INTER_LINEAR)
    mask = cv2.warpPerspective(_rounded(), matrix, size, flags=cv2.INTER_LINEAR)[..., None]
    dark = cv2.GaussianBlur(mask, (0, 0), max(1.0, span * 0.008))
    dark = np.roll(dark, int(span * 0.006), axis=(0, 1)).reshape(mask.shape)
    ground = scene.astype(np.float32) * (1 - 0.4 * dark)
    return ground * (1 - mask) + warped * mask


def _rounded() -> NDArray[np.float32]:
    """Returns the outline of a card, its corners rounded by 3 mm (ISO/IEC 7810)."""
    mask = np.zeros((CARD_HEIGHT, CARD_WIDTH), np.float32)
    radius = round(3.18 / 85.6 * CARD_WIDTH)
    cv2.rectangle(mask, (radius, 0), (CARD_WIDTH - radius, CARD_HEIGHT), 1.0, -1)
    cv2.rectangle(mask, (0, radius), (CARD_WIDTH, CARD_HEIGHT - radius), 1.0, -1)
    for x in (radius, CARD_WIDTH - radius):
        for y in (radius, CARD_HEIGHT - radius):
            cv2.circle(mask, (x, y), radius, 1.0, -1)
    return mask


def _exposed(
    picture: Picture,
    corners: Corners,
    shooting: Shooting,
    happened: tuple[Degradation, ...],
    rng: np.random.Generator,
) -> Picture:
    """Applies light, lens and sensor, in the order in which they act."""
    span = float(np.linalg.norm(corners[1] - corners[0]))
    if Degradation.SCREEN in happened:
        picture = light.on_screen(picture, span, rng)
    if Degradation.FINGER in happened:
        picture = light.fingered(picture, corners, rng)
    picture = light.uneven(picture, float(rng.uniform(0, 0.15)), rng)
    if Degradation.SHADOW in happened:
        picture = light.shadowed(picture, corners, rng)
    gain = 0.22 if Degradation.DARK in happened else float(rng.uniform(*shooting.light))
    picture = picture * gain
    if Degradation.GLARE in happened:
        picture = light.glared(picture, corners, rng, float(rng.uniform(60, 230)))
    blur = float(rng.uniform(*shooting.blur_px))
    if Degradation.BLUR in happened:
        blur = span * 0.0065
    if blur > 0.2:
        picture = softened(picture, blur)
    if Degradation.MOTION in happened:
        picture = light.moved(
            picture, span * float(rng.uniform(0.002, 0.005)), float(rng.uniform(0, np.pi))
        )
    return light.noisy(picture, float(rng.uniform(*shooting.noise)), rng)
