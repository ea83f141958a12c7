"""The pale patterns that cards are printed on."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.synth.styles import CARD_HEIGHT, CARD_WIDTH

Pattern = NDArray[np.float32]
"""CARD_HEIGHT x CARD_WIDTH, about -1 to 1."""

_Y, _X = np.mgrid[0:CARD_HEIGHT, 0:CARD_WIDTH].astype(np.float32)


def make_background(
    kind: str, tint: tuple[int, int, int], strength: float, rng: np.random.Generator
) -> Image.Image:
    """Prints a pattern in a tint.

    Args:
        kind: A key of PATTERNS.
        tint: Mean colour, RGB.
        strength: Grey levels between the pattern's light and its dark.
        rng: Chooses the details.
    """
    pattern = PATTERNS[kind](rng)
    lean = rng.uniform(-18, 18) * (_X / CARD_WIDTH - 0.5) + rng.uniform(-12, 12) * (
        _Y / CARD_HEIGHT - 0.5
    )
    shades = np.asarray((1.0, 0.7, 0.45), np.float32)[None, None] * pattern[..., None] * strength
    pixels = np.asarray(tint, np.float32) + shades + lean[..., None]
    globe = ((_X - CARD_WIDTH * 0.45) / 230) ** 2 + ((_Y - CARD_HEIGHT * 0.55) / 210) ** 2 < 1
    pixels[globe] += rng.uniform(-6, 8)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _waves(rng: np.random.Generator) -> Pattern:
    bend = rng.uniform(5, 12) * np.sin(_X / rng.uniform(60, 120) + _Y / rng.uniform(50, 90))
    waves: Pattern = np.sin((_Y + bend) * 2 * np.pi / rng.uniform(9, 18))
    return waves


def _rays(rng: np.random.Generator) -> Pattern:
    angle = np.arctan2(_Y - rng.uniform(0, CARD_HEIGHT), _X - rng.uniform(0, CARD_WIDTH))
    rays: Pattern = np.sin(angle * rng.uniform(90, 180))
    return rays


def _weave(rng: np.random.Generator) -> Pattern:
    pitch = rng.uniform(7, 14)
    falling: Pattern = np.sin((_X + _Y) * 2 * np.pi / pitch)
    rising: Pattern = np.sin((_X - _Y) * 2 * np.pi / pitch)
    return 0.6 * (falling + rising)


def _blotches(rng: np.random.Generator) -> Pattern:
    coarse = rng.normal(size=(24, 38)).astype(np.float32)
    smooth = cv2.resize(coarse, (CARD_WIDTH, CARD_HEIGHT), interpolation=cv2.INTER_CUBIC)
    return cast(Pattern, smooth)


def _rings(rng: np.random.Generator) -> Pattern:
    distance = np.hypot(_X - rng.uniform(200, 800), _Y - rng.uniform(100, 500))
    rings: Pattern = np.sin(distance * 2 * np.pi / rng.uniform(9, 20))
    return rings


def _guilloche(rng: np.random.Generator) -> Pattern:
    first = _Y + 26 * np.sin(_X / rng.uniform(40, 70)) * np.cos(_Y / 90)
    second = _Y + 22 * np.cos(_X / rng.uniform(50, 90))
    lines: Pattern = np.maximum(np.cos(first * 0.42) ** 9, np.cos(second * 0.37) ** 9)
    return lines * 2 - 1


def _dots(rng: np.random.Generator) -> Pattern:
    pitch = rng.uniform(8, 15)
    columns: Pattern = np.sin(_X * 2 * np.pi / pitch)
    rows: Pattern = np.sin((_Y + _X * 0.3) * 2 * np.pi / pitch)
    return columns * rows * 1.3


PATTERNS: Final[Mapping[str, Callable[[np.random.Generator], Pattern]]] = MappingProxyType(
    {
        "waves": _waves, "rays": _rays, "weave": _weave, "blotches": _blotches, "rings": _rings,
        "guilloche": _guilloche, "dots": _dots,
    }
)  # fmt: skip
