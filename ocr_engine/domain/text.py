"""Text with a place on the card, and the ways in which it is misread."""

import re
from dataclasses import dataclass
from statistics import median

_DIGIT_LOOKALIKES = str.maketrans(
    {"O": "0", "Q": "0", "D": "0", "I": "1", "L": "1", "|": "1", "!": "1", "]": "1", "[": "1",
     "Z": "2", "A": "4", "S": "5", "G": "6", "B": "8", "?": "7", "T": "7"}
)  # fmt: skip

_BLANKS = re.compile(r"\s+")
_EDGES = " \t:;,.'\"`~_=*"


@dataclass(frozen=True)
class TextBox:
    """One piece of text and the rectangle, in pixels, that holds it."""

    text: str
    confidence: float
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        """The height in pixels."""
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        """The vertical middle."""
        return (self.top + self.bottom) / 2


@dataclass(frozen=True)
class Row:
    """Boxes that stand on one line, from left to right."""

    boxes: tuple[TextBox, ...]

    @property
    def text(self) -> str:
        """The boxes' texts with blanks between them."""
        return " ".join(box.text for box in self.boxes)

    @property
    def confidence(self) -> float:
        """The least sure box's confidence."""
        return min((box.confidence for box in self.boxes), default=0.0)

    @property
    def left(self) -> float:
        """Where the row begins."""
        return self.boxes[0].left

    @property
    def middle(self) -> float:
        """The vertical middle of the first box."""
        return self.boxes[0].middle

    @property
    def height(self) -> float:
        """The usual height of the boxes."""
        return median(box.height for box in self.boxes)


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
    overlap = right.left < (left.left + left.right) / 2
    near = abs(left.middle - right.middle) < 0.5 * min(left.height, right.height)
    return near and not overlap


def squeeze(text: str) -> str:
    """Keeps letters and digits only, in upper case: what comparisons are made of."""
    return "".join(char for char in text.upper() if char.isalnum())


def tidy(text: str) -> str:
    """Upper case, single blanks, no stray punctuation at the edges."""
    return _BLANKS.sub(" ", text.upper()).strip(_EDGES)


def as_digits(text: str) -> str:
    """Rewrites letters that look like digits; leaves everything else."""
    return text.upper().translate(_DIGIT_LOOKALIKES)
