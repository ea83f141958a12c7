"""Text with a place on the card, and the ways in which it is misread."""

import math
import re
from dataclasses import dataclass, replace
from statistics import median

DIGITS = frozenset("0123456789")
"""What a NIK is made of."""
DASHED_DIGITS = DIGITS | {"-"}
"""What dates and the numbers of driving licences are made of."""
PAIR_CHARACTERS = DIGITS | frozenset("/-")
"""What RT/RW is made of."""
BLOOD_CHARACTERS = frozenset("ABO+-")
"""What a blood type is made of."""

Polygon = tuple[tuple[float, float], ...]
"""Corners, clockwise from the top left, in pixels."""

_DIGIT_LOOKALIKES = str.maketrans(
    {"O": "0", "Q": "0", "D": "0", "I": "1", "L": "1", "|": "1", "!": "1", "]": "1", "[": "1",
     "Z": "2", "A": "4", "S": "5", "G": "6", "B": "8", "?": "7", "T": "7"}
)  # fmt: skip

_BLANKS = re.compile(r"\s+")
_EDGES = " \t:;,.'\"`~_=*"
_LEAD = " :;"


@dataclass(frozen=True)
class TextBox:
    """Holds one piece of text, and the rectangle around it in pixels."""

    text: str
    confidence: float
    """Chance, from 0 to 1, that the whole text is right."""
    left: float
    top: float
    right: float
    bottom: float
    chars: tuple[float, ...] = ()
    """Chance of each character of the text; empty when unknown."""
    is_label: bool = False
    """Known to be print that every card of its kind has, so never part of a value."""

    @property
    def height(self) -> float:
        """Returns the height in pixels."""
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        """Returns the vertical middle."""
        return (self.top + self.bottom) / 2

    @property
    def centre(self) -> float:
        """Returns the horizontal middle."""
        return (self.left + self.right) / 2

    def under(self, alphabet: frozenset[str]) -> "TextBox":
        """Reads the box again with only these characters allowed.

        Plain text has nothing to read from and stays as it is; a reader's own boxes do better.
        """
        return self

    def cut(self, start: int, end: int | None = None) -> "TextBox":
        """Gives a part of the text as plain text, which cannot be read again.

        The place is in proportion. Doubt goes with the characters that cause it, where
        these are known.
        """
        text = self.text[start:end]
        known = len(self.chars) == len(self.text)
        chars = self.chars[start:end] if known else ()
        width = (self.right - self.left) / max(1, len(self.text))
        left = self.left + start * width
        return TextBox(
            text,
            self.confidence ** _share_of_doubt(chars, self.chars) if known else self.confidence,
            left,
            self.top,
            left + len(text) * width,
            self.bottom,
            chars,
        )

    def without_lead(self) -> "TextBox":
        """Leaves out the colon and blanks before the text; it is the same piece of ink still."""
        lost = len(self.text) - len(self.text.lstrip(_LEAD))
        if not lost:
            return self
        part = self.cut(lost)
        return replace(self, text=part.text, left=part.left, chars=part.chars)


def _share_of_doubt(part: tuple[float, ...], whole: tuple[float, ...]) -> float:
    total = sum(_doubt(chance) for chance in whole)
    return sum(_doubt(chance) for chance in part) / total if total else 1.0


def _doubt(chance: float) -> float:
    return -math.log(min(1.0, max(chance, 1e-6)))


@dataclass(frozen=True)
class Row:
    """Holds boxes that stand on one line, from left to right, or on several lines in turn."""

    boxes: tuple[TextBox, ...]

    @property
    def text(self) -> str:
        """Returns the boxes' texts with blanks between them."""
        return " ".join(box.text for box in self.boxes)

    @property
    def confidence(self) -> float:
        """Returns the chance that all boxes are right.

        Specks without a letter or digit do not count.
        """
        telling = [box for box in self.boxes if squeeze(box.text)] or self.boxes
        return math.prod(box.confidence for box in telling) if telling else 0.0

    @property
    def chars(self) -> tuple[float, ...]:
        """Returns the chance of each character; empty when that of any box is unknown."""
        joined: list[float] = []
        for index, box in enumerate(self.boxes):
            if len(box.chars) != len(box.text):
                return ()
            joined += [*([1.0] if index else []), *box.chars]
        return tuple(joined)

    @property
    def left(self) -> float:
        """Returns where the row begins."""
        return min(box.left for box in self.boxes)

    @property
    def right(self) -> float:
        """Returns where the row ends."""
        return max(box.right for box in self.boxes)

    @property
    def middle(self) -> float:
        """Returns the vertical middle of the first box."""
        return self.boxes[0].middle

    @property
    def height(self) -> float:
        """Returns the usual height of the boxes."""
        return median(box.height for box in self.boxes)

    @property
    def polygon(self) -> Polygon:
        """Returns the corners of the rectangle around all boxes; empty without any."""
        if not self.boxes:
            return ()
        top = min(box.top for box in self.boxes)
        bottom = max(box.bottom for box in self.boxes)
        return ((self.left, top), (self.right, top), (self.right, bottom), (self.left, bottom))

    def head(self, end: int) -> "Row":
        """Gives what the line holds before a position of its text."""
        kept: list[TextBox] = []
        start = 0
        for box in self.boxes:
            length = len(box.text[: max(0, end - start)].rstrip())
            if length:
                kept.append(box if length == len(box.text) else box.cut(0, length))
            start += len(box.text) + 1
        return Row(tuple(kept))

    def tail(self, begin: int) -> "Row":
        """Gives what the line holds from a position of its text onwards, without the colon."""
        kept: list[TextBox] = []
        start = 0
        for box in self.boxes:
            offset = max(0, begin - start)
            start += len(box.text) + 1
            if offset and box.is_label:
                continue
            part = box.cut(offset) if offset else box
            part = part if kept else part.without_lead()
            if part.text:
                kept.append(part)
        return Row(tuple(kept))

    def under(self, alphabet: frozenset[str]) -> "Row":
        """Reads all boxes again with only these characters allowed."""
        return Row(tuple(box.under(alphabet) for box in self.boxes))


def join(*rows: Row) -> Row:
    """Puts lines one after the other."""
    return Row(tuple(box for row in rows for box in row.boxes))


def group_rows(boxes: list[TextBox]) -> list[Row]:
    """Groups boxes into lines, top to bottom; a slight slope does no harm."""
    rows: list[list[TextBox]] = []
    for box in sorted(boxes, key=lambda box: box.left):
        nearest = min(rows, key=lambda row: abs(row[-1].middle - box.middle), default=None)
        if nearest is not None and _side_by_side(nearest[-1], box):
            nearest.append(box)
        else:
            rows.append([box])
    return sorted((Row(tuple(row)) for row in rows), key=lambda row: row.middle)


def _side_by_side(left: TextBox, right: TextBox) -> bool:
    """Lets the higher box decide too: a dash is hardly as high as a letter."""
    overlap = right.left < left.centre
    low, high = sorted((left.height, right.height))
    return not overlap and abs(left.middle - right.middle) < max(0.5 * low, 0.3 * high)


def squeeze(text: str) -> str:
    """Keeps letters and digits only, in upper case: what comparisons are made of."""
    return "".join(char for char in text.upper() if char.isalnum())


def tidy(text: str) -> str:
    """Returns a text in upper case with single blanks, without punctuation at its edges."""
    return _BLANKS.sub(" ", text.upper()).strip(_EDGES)


def as_digits(text: str) -> str:
    """Rewrites letters that look like digits; leaves everything else."""
    return text.upper().translate(_DIGIT_LOOKALIKES)
