"""Writes the photos that the detector learns from, in the folders that ultralytics reads.

A label is a line: class, middle and size of the box, then the four corners in the card's own order
with their visibility (https://docs.ultralytics.com/datasets/pose/).
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from training.synth import (
    Degradation,
    Shooting,
    Shot,
    SimLayout,
    Split,
    draw_card,
    photograph,
    random_record,
    random_sim_record,
)
from training.synth.light import Corners
from training.synth.styles import choose_style
from training.synth.tables import Pixels, add_things, make_table

SIDE_PX: Final = 320
SHOTS_A_CARD: Final = 5
EMPTY_SHARE: Final = 0.12
"""Photos without a card: tables, papers, cards of other kinds."""
CUT_SHARE: Final = 0.15
PAIR_SHARE: Final = 0.06
SIM_SHARE: Final = 0.35
CLASSES: Final = ("KTP", "SIM")

SHOOTING: Final = Shooting(
    card_px=(90, 300), share=(0.32, 0.97), tilt_degrees=8, perspective=0.08, blur_px=(0, 0.9),
    noise=(1, 8), light=(0.3, 1.2), jpeg=(50, 95),
    chances={
        Degradation.SHADOW: 0.25, Degradation.GLARE: 0.3, Degradation.FINGER: 0.25,
        Degradation.MOTION: 0.1, Degradation.PHOTOCOPY: 0.08, Degradation.SCREEN: 0.04,
        Degradation.DARK: 0.03,
    },
)  # fmt: skip


@dataclass(frozen=True)
class Marked:
    """Holds a photo with the cards on it."""

    pixels: Pixels
    cards: tuple[tuple[int, Corners], ...]


def write_set(folder: Path, split: Split, seeds: range, processes: int = 2) -> None:
    """Writes SHOTS_A_CARD photos a seed below `folder`/images and `folder`/labels."""
    name = split.value.lower()
    for kind in ("images", "labels"):
        (folder / kind / name).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(partial(_write_card, folder, split), seeds, chunksize=8))


def _write_card(folder: Path, split: Split, seed: int) -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng((seed, 3))
    kind, card, table = _card(split, seed, rng)
    for index in range(SHOTS_A_CARD):
        marked = _marked(split, seed, kind, card, table, rng)
        stem = f"{seed:06d}_{index}"
        image, lines = _framed(marked)
        name = split.value.lower()
        cv2.imwrite(str(folder / "images" / name / f"{stem}.jpg"), image[..., ::-1],
                    [cv2.IMWRITE_JPEG_QUALITY, 95])  # fmt: skip
        (folder / "labels" / name / f"{stem}.txt").write_text("\n".join(lines))


def _card(split: Split, seed: int, rng: np.random.Generator) -> tuple[int, Pixels, str]:
    if rng.random() < SIM_SHARE:
        drawing = draw_card(
            random_sim_record(seed, SimLayout(int(rng.integers(1, 4)))), seed, split
        )
        return 1, drawing.pixels, drawing.style.table
    drawing = draw_card(random_record(seed), seed, split)
    return 0, drawing.pixels, drawing.style.table


def _marked(
    split: Split, seed: int, kind: int, card: Pixels, table: str, rng: np.random.Generator
) -> Marked:
    table = choose_style(split, rng).table if rng.random() < 0.8 else table
    turn = float(rng.choice((0, 0, 90, 180, 270, rng.uniform(0, 360))))
    if rng.random() < EMPTY_SHARE:
        return Marked(_empty(card, table, rng), ())
    shot = photograph(card, SHOOTING, table, rng, turn_degrees=turn)
    if rng.random() < PAIR_SHARE:
        return _paired(split, seed, kind, shot, rng)
    if rng.random() < CUT_SHARE:
        return _cut(kind, shot, rng)
    return Marked(shot.pixels, ((kind, shot.corners),))


def _empty(card: Pixels, table: str, rng: np.random.Generator) -> Pixels:
    """Makes a scene without a card, or with one whose print says nothing."""
    width, height = (int(side) for side in rng.integers(200, 320, 2))
    if rng.random() < 0.5:
        scene = make_table(table, width, height, rng)
        add_things(scene, int(rng.integers(0, 8)), rng)
        return scene
    other = np.empty_like(card)
    other[:] = rng.uniform(20, 250, 3)
    add_things(other, int(rng.integers(0, 6)), rng)
    return photograph(other, SHOOTING, table, rng, turn_degrees=float(rng.uniform(0, 360))).pixels


def _paired(split: Split, seed: int, kind: int, shot: Shot, rng: np.random.Generator) -> Marked:
    """Photographs two cards side by side."""
    other_kind, card, table = _card(split, seed + 1_000_000, rng)
    other = photograph(card, SHOOTING, table, rng, turn_degrees=float(rng.uniform(0, 360)))
    height = max(shot.pixels.shape[0], other.pixels.shape[0])
    width = shot.pixels.shape[1] + other.pixels.shape[1]
    canvas = make_table(table, width, height, rng)
    canvas[: shot.pixels.shape[0], : shot.pixels.shape[1]] = shot.pixels
    canvas[: other.pixels.shape[0], shot.pixels.shape[1] :] = other.pixels
    moved = other.corners + np.asarray((shot.pixels.shape[1], 0), np.float32)
    return Marked(canvas, ((kind, shot.corners), (other_kind, moved)))


def _cut(kind: int, shot: Shot, rng: np.random.Generator) -> Marked:
    """Makes a photo that ends before the card does, on one or two sides."""
    height, width = shot.pixels.shape[:2]
    low, high = shot.corners.min(axis=0), shot.corners.max(axis=0)
    reach = (high - low) * rng.uniform(-0.05, 0.3, 2)
    left, top = (low + reach).astype(int).clip(0) if rng.random() < 0.5 else (0, 0)
    right, bottom = (width, height) if (left, top) != (0, 0) else (high - reach).astype(int)
    cut = shot.pixels[top : min(bottom, height), left : min(right, width)]
    if min(cut.shape[:2]) < 40:
        return Marked(shot.pixels, ((kind, shot.corners),))
    return Marked(
        np.ascontiguousarray(cut), ((kind, shot.corners - np.asarray((left, top), np.float32)),)
    )


def _framed(marked: Marked) -> tuple[Pixels, list[str]]:
    """Scales a photo to SIDE_PX and writes its labels."""
    height, width = marked.pixels.shape[:2]
    scale = SIDE_PX / max(height, width)
    size = (round(width * scale), round(height * scale))
    image = cv2.resize(
        marked.pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    return np.asarray(image, np.uint8), [
        _label(kind, np.asarray(corners / (width, height), np.float32))
        for kind, corners in marked.cards
    ]


def _label(kind: int, corners: Corners) -> str:
    low, high = corners.min(axis=0).clip(0, 1), corners.max(axis=0).clip(0, 1)
    numbers = [*((low + high) / 2), *(high - low)]
    for x, y in corners:
        seen = 0 <= x <= 1 and 0 <= y <= 1
        numbers += [min(max(x, 0), 1), min(max(y, 0), 1), 2 if seen else 0]
    return " ".join([str(kind), *(f"{number:.5f}" for number in numbers)])


def write_all(folder: Path, cards: int = 2_400) -> Path:
    """Writes training and validation sets and the file that names them; returns its path."""
    write_set(folder, Split.TRAIN, range(100_000, 100_000 + cards))
    write_set(folder, Split.VALIDATION, range(200_000, 200_100))
    description = folder / "data.yaml"
    names = "\n".join(f"  {index}: {name}" for index, name in enumerate(CLASSES))
    description.write_text(
        f"path: {folder}\ntrain: images/train\nval: images/validation\n"
        f"kpt_shape: [4, 3]\nnames:\n{names}\n"
    )
    return description


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
