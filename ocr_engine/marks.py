"""Puts back the blanks, dots and dashes that the recognizer passes over.

The network was trained on loosely set text: it joins words that stand close and skips
small marks. Both are plain to see in the ink, so they are taken from there and nowhere
else: a mark that is not printed is never added.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

# All sizes below are shares of the height of the capital letters.
BLANK_MIN: Final = 0.30
"""Letters stand at most 0.25 apart, words at least this far."""
BLANK_TO_MEDIAN_MIN: Final = 1.8
DOT_MAX: Final = 0.36
MARK_MIN: Final = 0.09
DESCENT_OF_COMMA: Final = 0.10
NEAR: Final = 0.45
"""A decoded character this near to a mark is that mark."""
DARKNESS_MIN: Final = 0.55
"""A mark is about as dark as the letters; specks and waves are paler."""


@dataclass(frozen=True)
class Glyph:
    """A decoded character and the horizontal place where the network saw it."""

    char: str
    x: float


@dataclass(frozen=True)
class _Blob:
    """A connected piece of ink."""

    left: int
    top: int
    width: int
    height: int
    darkness: float

    @property
    def x(self) -> float:
        return self.left + self.width / 2

    @property
    def bottom(self) -> int:
        return self.top + self.height


@dataclass(frozen=True)
class _Line:
    """The ink of one line of text."""

    blobs: tuple[_Blob, ...]
    cap: float
    baseline: float


def complete(glyphs: list[Glyph], pixels: NDArray[np.uint8]) -> list[Glyph]:
    """Adds the marks and blanks that are printed between the decoded characters."""
    line = _find_ink(pixels)
    if line is None:
        return glyphs
    for blob in line.blobs:
        if mark := _mark(blob, line):
            glyphs = _with_mark(glyphs, Glyph(mark, blob.x), line.cap)
    for x in _blanks(line):
        glyphs = _with_blank(glyphs, x)
    return glyphs


def _find_ink(pixels: NDArray[np.uint8]) -> _Line | None:
    """Separates dark text from a lighter ground; None when there is too little of it."""
    _, ink = cv2.threshold(pixels, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink)
    ground = float(np.median(pixels[ink == 0])) if (ink == 0).any() else 255.0
    blobs = []
    for index, (left, top, width, height, area) in enumerate(stats[1:], start=1):
        if area < 6:
            continue
        shade = float(pixels[labels == index].mean())
        blobs.append(_Blob(int(left), int(top), int(width), int(height), ground - shade))
    tallest = max((blob.height for blob in blobs), default=0)
    letters = [blob for blob in blobs if blob.height > tallest / 2]
    if len(letters) < 2:
        return None
    cap = float(np.median([blob.height for blob in letters]))
    baseline = float(np.median([blob.bottom for blob in letters]))
    darkness = float(np.median([blob.darkness for blob in letters]))
    kept = [
        blob
        for blob in blobs
        if blob.darkness >= DARKNESS_MIN * darkness
        and max(blob.width, blob.height) >= MARK_MIN * cap
    ]
    return _Line(tuple(sorted(kept, key=lambda blob: blob.left)), cap, baseline)


def _mark(blob: _Blob, line: _Line) -> str | None:
    """Tells which mark a piece of ink is, if any."""
    cap = line.cap
    if blob.height > DOT_MAX * cap:
        return None
    below = (blob.bottom - line.baseline) / cap
    if 0.2 < blob.width / cap < 0.5 and blob.height < 0.25 * cap and -0.55 < below < -0.2:
        return "-"
    if blob.width > DOT_MAX * cap or blob.height < MARK_MIN * cap or not -0.1 < below < 0.35:
        return None
    if any(other is not blob and _stacked(blob, other) for other in line.blobs):
        return None
    return "," if below > DESCENT_OF_COMMA else "."


def _stacked(blob: _Blob, other: _Blob) -> bool:
    """True for the two dots of a colon, and for a dot below or in a letter."""
    return other.left <= blob.x <= other.left + other.width


def _with_mark(glyphs: list[Glyph], mark: Glyph, cap: float) -> list[Glyph]:
    """Adds a mark, or corrects the one that was decoded in its place."""
    nearby = [
        index
        for index, glyph in enumerate(glyphs)
        if not glyph.char.isalnum() and glyph.char != " " and abs(glyph.x - mark.x) < NEAR * cap
    ]
    if nearby:
        nearest = min(nearby, key=lambda index: abs(glyphs[index].x - mark.x))
        if glyphs[nearest].char not in ":;":
            return glyphs
        return [*glyphs[:nearest], mark, *glyphs[nearest + 1 :]]
    index = sum(glyph.x < mark.x for glyph in glyphs)
    if index == 0:
        return glyphs
    if glyphs[index - 1].char == " ":
        index -= 1
    return [*glyphs[:index], mark, *glyphs[index:]]


def _blanks(line: _Line) -> list[float]:
    """Finds the middles of the gaps between words."""
    gaps: list[tuple[float, float]] = []
    reach = float(line.blobs[0].left)
    for blob in line.blobs:
        if blob.left > reach:
            gaps.append((blob.left - reach, (blob.left + reach) / 2))
        reach = max(reach, blob.left + blob.width)
    if not gaps:
        return []
    least = max(BLANK_MIN * line.cap, BLANK_TO_MEDIAN_MIN * float(np.median([g for g, _ in gaps])))
    return [x for gap, x in gaps if gap >= least]


def _with_blank(glyphs: list[Glyph], x: float) -> list[Glyph]:
    """Adds a blank, but never into a number."""
    index = sum(glyph.x < x for glyph in glyphs)
    if index in (0, len(glyphs)):
        return glyphs
    before, after = glyphs[index - 1].char, glyphs[index].char
    if " " in (before, after) or (before.isdecimal() and after.isdecimal()):
        return glyphs
    return [*glyphs[:index], Glyph(" ", x), *glyphs[index:]]
