"""Finds the text that the detector passes over: lone letters, and now and then a whole value.

What stands on the same line as found text, is as dark and as tall as its letters, and is in no
box yet is taken for text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Box = list[int]
"""Left, right, top, bottom, as EasyOCR gives them."""

REACH: Final = 6.0
"""How far to the right is searched, in heights of the box: from a label to its value."""
MARGIN: Final = 0.15
"""Share of the height that is added on both sides."""
WORD_GAP_MAX: Final = 1.5
"""Letters that stand further apart, in heights of the box, make two pieces."""
# Shares of the height of the capital letters.
LETTER_HEIGHT: Final = (0.7, 1.25)
LETTER_WIDTH_MAX: Final = 1.6
LONE_LETTER_WIDTH_MIN: Final = 0.3
"""A lone thin stroke is a border as likely as an I."""
BASELINE_TOLERANCE: Final = 0.2


@dataclass(frozen=True)
class _Letters:
    """What the letters of a box look like."""

    cap: float
    baseline: float
    threshold: float
    """Grey level that separates ink from ground."""


def find_missed(grey: NDArray[np.uint8], boxes: list[Box]) -> Iterator[Box]:
    """Gives boxes around text to the right of the given ones."""
    for box in boxes:
        _, right, top, bottom = box
        height = bottom - top
        limit = min(
            [
                right + round(REACH * height),
                *(other[0] for other in boxes if _same_line(box, other) and other[1] > right),
            ]
        )
        letters = _look_at(_cut(grey, box))
        strip = _cut(grey, [right, limit, top, bottom])
        if letters is None or strip.size == 0:
            continue
        for left, end in _words(strip, letters, height):
            margin = round(MARGIN * height)
            yield [right + max(0, left - margin), min(limit, right + end + margin), top, bottom]


def _same_line(box: Box, other: Box) -> bool:
    shared = min(box[3], other[3]) - max(box[2], other[2])
    return shared > min(box[3] - box[2], other[3] - other[2]) / 2


def _cut(grey: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    left, right, top, bottom = (max(0, edge) for edge in box)
    return grey[top:bottom, left:right]


def _look_at(pixels: NDArray[np.uint8]) -> _Letters | None:
    if min(pixels.shape, default=0) < 4:
        return None
    threshold, ink = cv2.threshold(pixels, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink)
    # Rules and frames that cross the box reach its edges; letters do not.
    whole = [(t, h) for _, t, _, h, _ in stats[1:] if t > 0 and t + h < pixels.shape[0]]
    cap = max((height for _, height in whole), default=0)
    bottoms = [top + height for top, height in whole if height > cap * 2 / 3]
    return _Letters(float(cap), float(np.median(bottoms)), float(threshold)) if bottoms else None


def _words(strip: NDArray[np.uint8], letters: _Letters, height: int) -> Iterator[tuple[int, int]]:
    """Groups what looks like letters into words, from left to right."""
    ink = (strip <= letters.threshold).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink)
    found = sorted(
        (int(left), int(left + width))
        for left, top, width, tall, _ in stats[1:]
        if LETTER_HEIGHT[0] * letters.cap <= tall <= LETTER_HEIGHT[1] * letters.cap
        and width <= LETTER_WIDTH_MAX * letters.cap
        and abs(top + tall - letters.baseline) <= BASELINE_TOLERANCE * letters.cap
        and left > 0
        and left + width < strip.shape[1]
    )
    words: list[list[tuple[int, int]]] = []
    for letter in found:
        if words and letter[0] - words[-1][-1][1] <= WORD_GAP_MAX * height:
            words[-1].append(letter)
        else:
            words.append([letter])
    for word in words:
        wide_enough = word[0][1] - word[0][0] >= LONE_LETTER_WIDTH_MIN * letters.cap
        if len(word) > 1 or wide_enough:
            yield word[0][0], word[-1][1]
