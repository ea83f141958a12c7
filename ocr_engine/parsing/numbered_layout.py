"""Tells which line is which on a driving licence whose rows carry numbers instead of labels."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from statistics import median

from ocr_engine.parsing.fields import regions, values, vocabulary
from ocr_engine.parsing.fields.text import Row, TextBox, join, squeeze, tidy


class Part(IntEnum):
    """Names the rows by the numbers that are printed before them."""

    NAME = 1
    BIRTH = 2
    BLOOD_AND_SEX = 3
    ADDRESS = 4
    OCCUPATION = 5
    ISSUER = 6


DIGITS_MIN = 10
"""So many characters of a licence's number are read as digits; a birth date has fewer."""
_LOOKALIKES = {"I": 1, "L": 1, "|": 1, "!": 1, "Z": 2, "S": 5, "G": 6}
"""Letters that a row's number is read as; A for 4 is rarer than a name with that initial."""
_PLAIN_MARK = re.compile(r"([1-6])(?:\s*[.,:;]\s*|\s+|(?=[A-Z]))", re.IGNORECASE)
_MISREAD_MARK = re.compile(r"([ILZSG|!])\s*[.,:]\s*", re.IGNORECASE)
_STREET = re.compile(r"\b(JL|JALAN|GG|GANG|KOMP|PERUM|DUSUN|DSN|KP|BLOK|RT|RW|NO)\b")
_POLICE = re.compile(r"\b(POLDA|POLRES|POLRESTA|POLRESTABES|SATPAS|METRO)\b")

# Worth of each sign, found by trial on lines with marks lost, misread and glued.
_MARKED, _MARKED_OTHERWISE, _UNMARKED = 4.0, -4.0, -0.5
_LOST_PART, _STRAY_LINE = -1.0, -1.8
_IS_SO, _SHOULD_BE_SO = 4.0, -3.0
_HINTED_AT = 2.0
_GOES_ON = {
    Part.NAME: -1.0,
    Part.BIRTH: -2.0,
    Part.BLOOD_AND_SEX: -5.0,
    Part.ADDRESS: -0.3,
    Part.OCCUPATION: -2.0,
    Part.ISSUER: -2.0,
}
"""What it costs to take a line for the continuation of one above."""


@dataclass(frozen=True)
class _Line:
    """Holds a line with the number that seems to stand before it."""

    row: Row
    mark: int | None = None
    value_at: int = 0
    """Where the text after the number begins."""
    boxed: bool = False
    """Whether a box in the column of numbers holds the number, however it was read."""

    def value_for(self, part: Part) -> Row:
        """Gives the text without the number, if there is one for this part."""
        begins = self.boxed or self.mark == part
        return self.row.tail(self.value_at) if begins else self.row


@dataclass(frozen=True)
class _Plan:
    """Parts for the lines so far, None for strays."""

    score: float
    last: int
    parts: tuple[Part | None, ...]


@dataclass(frozen=True)
class NumberedRows:
    """Holds the text of each part, without its number."""

    texts: dict[Part, Row]
    marked: int
    """Rows whose number was read as it should be."""


def tell_parts(rows: Sequence[Row]) -> NumberedRows:
    """Tells the parts apart by their numbers, their content and their order."""
    lines = _marked(rows)
    plans = [_Plan(0.0, 0, ())]
    for line in lines:
        longer = [following for plan in plans for following in _continue(plan, line)]
        # Of plans that have come to the same part only the best can win.
        plans = [
            max((plan for plan in longer if plan.last == last), key=lambda plan: plan.score)
            for last in {plan.last for plan in longer}
        ]
    best = max(plans, key=lambda plan: plan.score + _LOST_PART * (Part.ISSUER - plan.last))
    texts: dict[Part, Row] = {}
    marked = 0
    for line, part in zip(lines, best.parts, strict=True):
        if part is None:
            continue
        row = line.row if part in texts else line.value_for(part)
        marked += line.mark == part and part not in texts
        texts[part] = join(texts.get(part, Row(())), row)
    return NumberedRows(texts, marked)


def _continue(plan: _Plan, line: _Line) -> Iterator[_Plan]:
    yield _Plan(plan.score + _STRAY_LINE, plan.last, (*plan.parts, None))
    if plan.last:
        part = Part(plan.last)
        score = _GOES_ON[part] + (_MARKED_OTHERWISE if line.mark or line.boxed else 0.0)
        if part is Part.BIRTH:
            score += max(0.0, _content(part, line))
        elif part is Part.ADDRESS:
            score += _content(part, line)
        yield _Plan(plan.score + score, part, (*plan.parts, part))
    for part in Part:
        if part <= plan.last:
            continue
        lost = _LOST_PART * (part - plan.last - 1)
        score = plan.score + _agreement(part, line) + lost + _content(part, line)
        yield _Plan(score, part, (*plan.parts, part))


def _agreement(part: Part, line: _Line) -> float:
    if line.mark is None:
        return 0.0 if line.boxed else _UNMARKED
    if line.mark == part:
        return _MARKED
    # A letter may stand for several digits.
    return _MARKED_OTHERWISE if line.row.text[0].isdecimal() else 0.0


def _content(part: Part, line: _Line) -> float:
    """Tells how well a line's text suits a part."""
    text = line.value_for(part).text
    dated, sexed = values.find_date(text) is not None, _says_sex(text)
    if part is Part.BIRTH:
        return _IS_SO if dated else _SHOULD_BE_SO
    if part is Part.BLOOD_AND_SEX:
        return _IS_SO if sexed else _SHOULD_BE_SO
    if dated or sexed:
        return -_IS_SO
    hints = {
        Part.ADDRESS: lambda: bool(_STREET.search(text.upper())),
        Part.OCCUPATION: lambda: tidy(text) in _occupations(),
        Part.ISSUER: lambda: (
            bool(_POLICE.search(text.upper())) or tidy(text) in regions.provinces()
        ),
    }
    return _HINTED_AT if part in hints and hints[part]() else 0.0


def _says_sex(text: str) -> bool:
    """Accepts a blood type and a sex, not a longer text that ends like one."""
    found = values.find_sex(text)
    return found is not None and len(squeeze(text[:found])) <= len("5AB")


@cache
def _occupations() -> frozenset[str]:
    """Gives the official ones, and their first halves, which are printed alone at times."""
    listed = vocabulary.occupations()
    return frozenset((*listed, *(entry.split("/")[0] for entry in listed)))


def _marked(rows: Sequence[Row]) -> list[_Line]:
    column = _number_column(rows)
    return [_line(row, column) for row in rows]


def _number_column(rows: Sequence[Row]) -> float | None:
    """Tells where numbers that are boxes of their own begin; None with fewer than two."""
    firsts = [row.boxes[0] for row in rows if len(row.boxes) > 1]
    lefts = [box.left for box in firsts if re.fullmatch(r"[1-6]\W*", box.text)]
    return median(lefts) if len(lefts) > 1 else None


def _line(row: Row, column: float | None) -> _Line:
    first = row.boxes[0]
    if column is not None and len(row.boxes) > 1 and _is_number_box(first, column):
        return _Line(row, _as_mark(squeeze(first.text)), len(first.text) + 1, boxed=True)
    if len(row.boxes) == 1 and re.fullmatch(r"[1-6]\W*", first.text):
        return _Line(row, int(first.text[0]), len(first.text))
    for pattern in (_PLAIN_MARK, _MISREAD_MARK):
        if found := pattern.match(row.text):
            return _Line(row, _as_mark(found[1]), found.end())
    return _Line(row)


def _is_number_box(box: TextBox, column: float) -> bool:
    """Takes a lone I for a number only in the column of numbers: it is a name in Bali too."""
    return len(box.text) <= len("1.:") and abs(box.left - column) < box.height


def _as_mark(char: str) -> int | None:
    if char in {"1", "2", "3", "4", "5", "6"}:
        return int(char)
    return _LOOKALIKES.get(char.upper())


def looks_like_number(text: str) -> bool:
    """Tells whether a line is the number of a licence: 12 to 16 characters, hardly a letter."""
    digits = sum(char.isdecimal() for char in text)
    return 12 <= len(squeeze(text)) <= 16 and digits >= DIGITS_MIN
