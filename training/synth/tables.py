"""What lies under and beside a card on a photo: tables, cloth, papers, other things."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""Height x width x RGB."""

_Plane = NDArray[np.float32]


def make_table(kind: str, width: int, height: int, rng: np.random.Generator) -> Pixels:
    """Paints a ground of the given size in pixels.

    Args:
        kind: A key of TABLES.
        width: In pixels.
        height: In pixels.
        rng: Chooses colours and details.
    """
    colour = rng.uniform(40, 225, 3).astype(np.float32)
    if rng.random() < 0.5:
        colour = colour.mean() + (colour - colour.mean()) * 0.3
    shade = TABLES[kind](width, height, rng)
    toned = colour[None, None] * (1 + shade[..., None] * rng.uniform(0.08, 0.35))
    return toned.clip(0, 255).astype(np.uint8)


def add_things(scene: Pixels, count: int, rng: np.random.Generator) -> None:
    """Puts boxes, cards without meaning and lines of writing on the ground, in place."""
    height, width = scene.shape[:2]
    for _ in range(count):
        centre = (float(rng.uniform(0, width)), float(rng.uniform(0, height)))
        long_side = float(rng.uniform(0.15, 0.6)) * width
        box = cv2.boxPoints(
            (centre, (long_side, long_side * rng.uniform(0.05, 0.8)), float(rng.uniform(0, 180)))
        )
        colour = tuple(float(value) for value in rng.uniform(10, 250, 3))
        cv2.fillConvexPoly(scene, box.astype(np.int32), colour, cv2.LINE_AA)
        if rng.random() < 0.5:
            _scribble(scene, np.asarray(box, np.float32), rng)


def _scribble(scene: Pixels, box: NDArray[np.float32], rng: np.random.Generator) -> None:
    ink = tuple(float(value) for value in rng.uniform(0, 255, 3))
    origin, along, down = box[0], box[1] - box[0], box[3] - box[0]
    for row in np.linspace(0.15, 0.85, int(rng.integers(3, 9))):
        start = origin + along * 0.08 + down * row
        for _ in range(int(rng.integers(1, 6))):
            end = start + along * rng.uniform(0.03, 0.2)
            cv2.line(
                scene,
                tuple(map(int, start)),
                tuple(map(int, end)),
                ink,
                max(1, scene.shape[1] // 250),
            )
            start = end + along * 0.03


def _grid(width: int, height: int) -> tuple[_Plane, _Plane]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x / width, y / width


def _smooth(width: int, height: int, cells: int, rng: np.random.Generator) -> _Plane:
    coarse = rng.normal(size=(max(2, cells * height // width), cells)).astype(np.float32)
    return cast(_Plane, cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def _wood(width: int, height: int, rng: np.random.Generator) -> _Plane:
    x, y = _grid(width, height)
    bend = 0.03 * np.sin(x * rng.uniform(3, 9)) + 0.02 * _smooth(width, height, 6, rng)
    rings: _Plane = np.sin((y + bend) * rng.uniform(60, 160)) * 0.5
    return rings + 0.4 * _smooth(width, height, 80, rng)


def _cloth(width: int, height: int, rng: np.random.Generator) -> _Plane:
    x, y = _grid(width, height)
    pitch = rng.uniform(250, 500)
    threads: _Plane = np.sin(x * pitch) * np.sin(y * pitch) * 0.6
    return threads + _smooth(width, height, 5, rng) * 0.6


def _gradient(width: int, height: int, rng: np.random.Generator) -> _Plane:
    x, y = _grid(width, height)
    return (x - 0.5) * rng.uniform(-3, 3) + (y - 0.5) * rng.uniform(-3, 3)


def _tiles(width: int, height: int, rng: np.random.Generator) -> _Plane:
    x, y = _grid(width, height)
    side = rng.uniform(0.15, 0.4)
    joint = ((x % side) < 0.008) | ((y % side) < 0.008)
    return np.where(joint, -1.6, 0.3 * _smooth(width, height, 30, rng)).astype(np.float32)


def _papers(width: int, height: int, rng: np.random.Generator) -> _Plane:
    x, y = _grid(width, height)
    lines = (np.sin(y * rng.uniform(150, 300)) > 0.5) & (_smooth(width, height, 90, rng) > -0.1)
    return np.where(lines & (x > 0.1), -2.2, 0.2).astype(np.float32)


def _clutter(width: int, height: int, rng: np.random.Generator) -> _Plane:
    patches: _Plane = np.sign(_smooth(width, height, 12, rng))
    return patches + 0.3 * _smooth(width, height, 60, rng)


def _speckles(width: int, height: int, rng: np.random.Generator) -> _Plane:
    return _smooth(width, height, 150, rng) * 0.8


def _marble(width: int, height: int, rng: np.random.Generator) -> _Plane:
    veins = _smooth(width, height, 7, rng) + 0.4 * _smooth(width, height, 25, rng)
    dark: _Plane = np.exp(-np.abs(veins) * rng.uniform(4, 10))
    return 0.4 - dark * 1.6


def _planks(width: int, height: int, rng: np.random.Generator) -> _Plane:
    x, y = _grid(width, height)
    side = rng.uniform(0.12, 0.3)
    tone = np.sin(np.floor(x / side) * 12.9898) * 0.8
    grain = np.sin((x + 0.01 * np.sin(y * 20)) * 400) * 0.25
    return np.where((x % side) < 0.006, -2.0, tone + grain).astype(np.float32)


def _keys(width: int, height: int, rng: np.random.Generator) -> _Plane:
    x, y = _grid(width, height)
    side = rng.uniform(0.06, 0.11)
    inside = ((x % side) > side * 0.12) & ((y % side) > side * 0.12)
    return np.where(inside, 0.6, -1.8).astype(np.float32)


TABLES: Final[Mapping[str, Callable[[int, int, np.random.Generator], _Plane]]] = MappingProxyType(
    {
        "wood": _wood, "cloth": _cloth, "gradient": _gradient, "tiles": _tiles, "papers": _papers,
        "clutter": _clutter, "speckles": _speckles, "marble": _marble, "planks": _planks,
        "keys": _keys,
    }
)  # fmt: skip
