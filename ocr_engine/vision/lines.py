"""Finds lines of text on a rectified card with a small network."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from ocr_engine.vision.crops import Grey, Line
from ocr_engine.vision.networks import Floats, Networks
from ocr_engine.vision.rectification import HEIGHT, WIDTH

INPUT_WIDTH: Final = 640
INPUT_HEIGHT: Final = 400
GRID_WIDTH: Final = INPUT_WIDTH // 2
GRID_HEIGHT: Final = INPUT_HEIGHT // 2
"""Cells of the network's answer."""
CELL_WIDTH: Final = WIDTH / GRID_WIDTH
CELL_HEIGHT: Final = HEIGHT / GRID_HEIGHT
"""Pixels of the card in a cell."""
TEXT_FROM: Final = 0.5
"""Chance from which a cell is text."""
FUSED_FROM: Final = 1.5
"""Height of a find over the usual one from which it may be two fused lines."""
SURE_TEXT_FROM: Final = 0.85
LOW_BELOW: Final = 0.7
"""Share of the usual height below which a find is a dash or a dot."""
OVERLAP_MAX: Final = 0.5
"""Share of a value's width that may lie in a label."""
CELLS_MIN: Final = 3
CAP_MIN_PX: Final = 6.5
GAP_MAX: Final = 1.3
"""Two finds on one line, of one role, that stand nearer than this (in capitals) are one."""
SLOPE_FROM: Final = 5.0
"""Width over height from which a line's slope can be measured."""


def as_input(grey: Grey) -> Grey:
    """Scales a rectified card to INPUT_HEIGHT x INPUT_WIDTH."""
    small = cv2.resize(grey, (INPUT_WIDTH, INPUT_HEIGHT), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False)


def find_lines(grey: Grey, networks: Networks) -> list[Line]:
    """Finds the lines of a rectified card, in no particular order."""
    card = as_input(grey)[None, None].astype(np.float32) / np.float32(255)
    for_labels, for_values = networks.find_lines(card)
    labels = [replace(line, is_label=True) for line in _joined(_pieces(for_labels))]
    values = _joined(piece for piece in _pieces(for_values) if not _lies_in(piece, labels))
    return [line for line in _evened([*labels, *values]) if line.cap >= CAP_MIN_PX]


def _lies_in(piece: Line, labels: list[Line]) -> bool:
    """Tells whether a piece of a value is really a part of a label."""
    return any(
        min(piece.right, label.right) - max(piece.left, label.left)
        > OVERLAP_MAX * (piece.right - piece.left)
        and abs(piece.middle - label.middle) < 0.5 * label.cap
        for label in labels
    )


def _pieces(chances: Floats) -> list[Line]:
    """Turns connected cells into lines, and takes apart the ones that are fused."""
    finds = list(_connected(chances, TEXT_FROM))
    usual = float(np.median([line.cap for line, _ in finds])) if finds else 0.0
    pieces: list[Line] = []
    for line, cells in finds:
        parts = [part for part, _ in _connected(cells, SURE_TEXT_FROM)]
        fused = line.cap > FUSED_FROM * usual and len(parts) > 1
        pieces.extend(parts if fused else [line])
    return pieces


def _connected(chances: Floats, least: float) -> Iterator[tuple[Line, Floats]]:
    """Gives each connected find with its own cells, all others being zero."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (chances >= least).astype(np.uint8), connectivity=4
    )
    for index in range(1, count):
        left, top, width, height, cells = (int(value) for value in stats[index])
        if cells < CELLS_MIN:
            continue
        window = (slice(top, top + height), slice(left, left + width))
        own = np.where(labels[window] == index, chances[window], 0)
        alone = np.zeros_like(chances)
        alone[window] = own
        yield _line(own, left, top), alone


def _line(weights: Floats, left: int, top: int) -> Line:
    """Measures one find: its columns' mean thickness and middle."""
    thickness = weights.sum(axis=0)
    rows = np.arange(weights.shape[0], dtype=np.float32)[:, None] + 0.5
    middles = (weights * rows).sum(axis=0) / np.maximum(thickness, 1e-6)
    columns = np.arange(weights.shape[1], dtype=np.float32)
    body = thickness > 0.5 * np.median(thickness)
    cap = float(np.median(thickness[body])) * CELL_HEIGHT
    width = weights.shape[1] * CELL_WIDTH
    slope = 0.0
    if width > SLOPE_FROM * cap and body.sum() > 3:
        slope = float(np.polyfit(columns[body], middles[body], 1)[0]) * CELL_HEIGHT / CELL_WIDTH
    return Line(
        left=left * CELL_WIDTH,
        right=(left + weights.shape[1]) * CELL_WIDTH,
        middle=(top + float(np.average(middles, weights=thickness))) * CELL_HEIGHT,
        cap=cap,
        slope=slope,
    )


def _evened(lines: list[Line]) -> list[Line]:
    """Gives lone dashes and dots the height of the line that they stand on."""
    usual = float(np.median([line.cap for line in lines])) if lines else 0.0
    full = [line for line in lines if line.cap >= LOW_BELOW * usual]
    evened = []
    for line in lines:
        beside = [other for other in full if abs(other.middle - line.middle) < 0.6 * other.cap]
        lone = line.cap < LOW_BELOW * usual and line.right - line.left < usual
        if lone and beside:
            nearest = min(beside, key=lambda other: abs(other.right - line.left))
            evened.append(replace(line, cap=nearest.cap, middle=nearest.middle))
        else:
            evened.append(line)
    return evened


def _joined(pieces: Iterable[Line]) -> list[Line]:
    """Joins what the network tore apart."""
    joined: list[Line] = []
    for piece in sorted(pieces, key=lambda line: line.left):
        before = next((line for line in reversed(joined) if _continues(line, piece)), None)
        if before is None:
            joined.append(piece)
        else:
            joined[joined.index(before)] = _one(before, piece)
    return joined


def _continues(before: Line, piece: Line) -> bool:
    cap = max(before.cap, piece.cap)
    end = before.middle + before.slope * (before.right - before.left) / 2
    start = piece.middle - piece.slope * (piece.right - piece.left) / 2
    near = -0.5 * cap < piece.left - before.right < GAP_MAX * cap
    return near and abs(end - start) < 0.4 * cap


def _one(before: Line, piece: Line) -> Line:
    widths = (before.right - before.left, piece.right - piece.left)
    slope = before.slope if widths[0] >= widths[1] else piece.slope
    total = max(sum(widths), 1e-6)
    return replace(
        before,
        right=max(before.right, piece.right),
        middle=(before.middle * widths[0] + piece.middle * widths[1]) / total,
        cap=(before.cap * widths[0] + piece.cap * widths[1]) / total,
        slope=slope,
    )
