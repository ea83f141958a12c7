"""Makes what the line finder and the recognizer learn from: rectified cards and lines of text.

A card is drawn, photographed and rectified with corners that are as wrong as the detector's.
"""

import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ocr_engine.vision.crops import Line, cut
from ocr_engine.vision.lines import GRID_HEIGHT, GRID_WIDTH, as_input
from ocr_engine.vision.rectification import HEIGHT, OUTLINE, WIDTH, rectify
from ocr_engine.vision.text_reader import to_grey
from training.synth import (
    Degradation,
    PlacedText,
    Role,
    Shooting,
    SimLayout,
    Split,
    draw_card,
    photograph,
    random_record,
    random_sim_record,
)

CORNER_ERROR: Final = 0.008
"""Standard deviation of a corner's error, as a share of the card's width."""
SIM_SHARE: Final = 0.35
CARDS: Final = 2_000
CARDS_A_FILE: Final = 20
ROLES: Final = (Role.LABEL, Role.VALUE)
SHOOTING: Final = Shooting(
    card_px=(440, 1050), share=(0.84, 0.97), tilt_degrees=25, perspective=0.06, blur_px=(0, 0.95),
    noise=(1, 9), light=(0.4, 1.15), jpeg=(40, 95),
    chances={
        Degradation.SHADOW: 0.3, Degradation.GLARE: 0.35, Degradation.FINGER: 0.1,
        Degradation.MOTION: 0.15, Degradation.PHOTOCOPY: 0.06, Degradation.SCREEN: 0.06,
    },
)  # fmt: skip


@dataclass(frozen=True)
class Page:
    """Holds a rectified card as the line finder sees it, and its lines."""

    grey: NDArray[np.uint8]
    """INPUT_HEIGHT x INPUT_WIDTH."""
    mask: NDArray[np.uint8]
    """len(ROLES) x GRID_HEIGHT x GRID_WIDTH, 1 where text of that role stands."""
    crops: tuple[NDArray[np.uint8], ...]
    texts: tuple[str, ...]


def make_pages(split: Split, shots_a_card: int, seed: int) -> list[Page]:
    """Draws one card and photographs it several times."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng((seed, 4))
    record = (
        random_sim_record(seed, SimLayout(int(rng.integers(1, 4))))
        if rng.random() < SIM_SHARE
        else random_record(seed)
    )
    drawing = draw_card(record, seed, split)
    return [
        _page(drawing.pixels, drawing.texts, drawing.style.table, rng) for _ in range(shots_a_card)
    ]


def _page(
    card: NDArray[np.uint8], texts: list[PlacedText], table: str, rng: np.random.Generator
) -> Page:
    shooting = SHOOTING
    if rng.random() < 0.35:
        shooting = replace(shooting, card_px=(440, 580))
    shot = photograph(card, shooting, table, rng)
    wrong = rng.normal(0, CORNER_ERROR * np.linalg.norm(shot.corners[1] - shot.corners[0]), (4, 2))
    guessed = (shot.corners + wrong).astype(np.float32)
    rectified = rectify(shot.pixels, guessed)
    grey = to_grey(rectified)
    matrix = cv2.getPerspectiveTransform(guessed, OUTLINE) @ cv2.getPerspectiveTransform(
        OUTLINE, shot.corners
    )
    mask = np.zeros((len(ROLES), GRID_HEIGHT, GRID_WIDTH), np.uint8)
    crops, words = [], []
    for text in texts:
        quad = _mapped(text, matrix)
        shrunk = quad * (GRID_WIDTH / WIDTH, GRID_HEIGHT / HEIGHT)
        cv2.fillPoly(
            mask[ROLES.index(text.role)], [np.round(shrunk * 16).astype(np.int32)], 1, shift=4
        )
        crops.append(cut(grey, _loosened(quad, rng)))
        words.append(text.text)
    return Page(as_input(grey), mask, tuple(crops), tuple(words))


def _mapped(text: PlacedText, matrix: NDArray[Any]) -> NDArray[np.float32]:
    corners = (
        (text.left, text.top),
        (text.right, text.top),
        (text.right, text.bottom),
        (text.left, text.bottom),
    )
    points = np.asarray(corners, np.float32)[:, None]
    return np.asarray(cv2.perspectiveTransform(points, matrix)[:, 0], np.float32)


def _loosened(quad: NDArray[np.float32], rng: np.random.Generator) -> Line:
    """Returns the line of a text, as inexactly as the line finder will find it."""
    left, right = (quad[0] + quad[3]) / 2, (quad[1] + quad[2]) / 2
    cap = float((np.linalg.norm(quad[0] - quad[3]) + np.linalg.norm(quad[1] - quad[2])) / 2)
    slope = float((right[1] - left[1]) / max(right[0] - left[0], 1.0))
    short = right[0] - left[0] < 3 * cap
    return Line(
        left=float(left[0] + rng.normal(0, 0.12) * cap - rng.uniform(0, 0.15) * cap),
        right=float(right[0] + rng.normal(0, 0.12) * cap + rng.uniform(0, 0.25) * cap),
        middle=float((left[1] + right[1]) / 2 + rng.normal(0, 0.05) * cap),
        cap=cap * float(rng.uniform(0.9, 1.15)),
        slope=0.0 if short else slope + float(rng.normal(0, 0.002)),
    )


def write_all(folder: Path, cards: int = CARDS) -> None:
    """Writes pages to files of CARDS_A_FILE cards: validation.*.pages and train.*.pages."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(Split.VALIDATION, start) for start in range(400_000, 400_060, CARDS_A_FILE)]
    jobs += [(Split.TRAIN, start) for start in range(300_000, 300_000 + cards, CARDS_A_FILE)]
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(partial(_write_file, folder), *zip(*jobs, strict=True)))


def _write_file(folder: Path, split: Split, start: int) -> None:
    pages = [
        page for seed in range(start, start + CARDS_A_FILE) for page in make_pages(split, 3, seed)
    ]
    path = folder / f"{split.value.lower()}.{start}.pages"
    path.with_suffix(".part").write_bytes(pickle.dumps(pages, protocol=5))
    path.with_suffix(".part").rename(path)


def read_pages(folder: Path, split: Split) -> list[Page]:
    """Reads what `write_all` wrote: only files that this program made are ever given to it."""
    pages: list[Page] = []
    for path in sorted(folder.glob(f"{split.value.lower()}.*.pages")):
        pages.extend(pickle.loads(path.read_bytes()))  # noqa: S301  # nosec B301 # written by us
    return pages
