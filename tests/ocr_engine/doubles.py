"""Networks that answer what a test tells them to."""

from dataclasses import dataclass, field

import numpy as np

from ocr_engine.vision.corners import VIEW_CARD
from ocr_engine.vision.lines import GRID_HEIGHT, GRID_WIDTH
from ocr_engine.vision.networks import CHARACTERS, Floats

NOTHING: Floats = np.zeros((18, 0), np.float32)


def candidate(
    corners: list[tuple[float, float]],
    *,
    sim: bool = False,
    score: float = 0.9,
    seen: tuple[float, float, float, float] = (0.9, 0.9, 0.9, 0.9),
) -> Floats:
    """One find of the detector, in pixels of its square."""
    points = np.asarray(corners, np.float32)
    low, high = points.min(axis=0), points.max(axis=0)
    scores = (0.0, score) if sim else (score, 0.0)
    numbers = [*((low + high) / 2), *(high - low), *scores]
    for (x, y), visible in zip(corners, seen, strict=True):
        numbers += [x, y, visible]
    return np.asarray(numbers, np.float32)[:, None]


def logits(text: str, *, sure: float = 12.0, rival: str = "") -> Floats:
    """Steps that spell a text; `rival` characters come second at every letter."""
    rows = []
    for char in text:
        for wanted in (0, CHARACTERS.index(char) + 1):
            row = np.zeros(len(CHARACTERS) + 1, np.float32)
            row[wanted] = sure
            if wanted and rival:
                row[[CHARACTERS.index(other) + 1 for other in rival]] = sure - 1
            rows.append(row)
    return np.stack(rows)


@dataclass
class ToldNetworks:
    """Answers from a list; notes what it was asked."""

    found: list[Floats] = field(default_factory=list)
    chances: Floats = field(
        default_factory=lambda: np.zeros((2, GRID_HEIGHT, GRID_WIDTH), np.float32)
    )
    text: str = "A"
    off: tuple[float, float] = (0.0, 0.0)
    """How far every corner is off, in pixels of the view."""
    batches: list[tuple[int, ...]] = field(default_factory=list)

    def detect(self, photo: Floats) -> Floats:
        assert photo.shape == (1, 3, 320, 320)
        return np.concatenate(self.found, axis=1) if self.found else NOTHING

    def find_corners(self, view: Floats) -> Floats:
        assert view.shape == (1, 3, 128, 192)
        return (VIEW_CARD + self.off)[None]

    def find_lines(self, card: Floats) -> Floats:
        assert card.shape == (1, 1, 400, 640)
        return self.chances

    def recognize(self, crops: Floats) -> Floats:
        self.batches.append(crops.shape)
        return np.stack([logits(self.text)] * crops.shape[0])
