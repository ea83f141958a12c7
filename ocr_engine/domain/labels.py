"""Finds the printed labels of an identity card in misread lines."""

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from statistics import median

from rapidfuzz.distance import Levenshtein

from ocr_engine.domain.text import Row, TextBox, as_digits, squeeze


class Label(StrEnum):
    """The labels in the order of the card, as letters only."""

    NIK = "NIK"
    NAMA = "NAMA"
    BIRTH = "TEMPATTGLLAHIR"
    SEX = "JENISKELAMIN"
    ADDRESS = "ALAMAT"
    RT_RW = "RTRW"
    VILLAGE = "KELDESA"
    DISTRICT = "KECAMATAN"
    RELIGION = "AGAMA"
    MARITAL_STATUS = "STATUSPERKAWINAN"
    OCCUPATION = "PEKERJAAN"
    CITIZENSHIP = "KEWARGANEGARAAN"
    VALID_UNTIL = "BERLAKUHINGGA"


BLOOD_LABEL = "GOLDARAH"
ORDER = tuple(Label)
INDENTED = frozenset({Label.RT_RW, Label.VILLAGE, Label.DISTRICT})
MULTI_LINE = frozenset({Label.NAMA, Label.BIRTH, Label.ADDRESS})

TOLERANCE = 0.3
"""Share of a label's letters that may be wrong (at least one always may)."""
NIK_DIGITS_MIN = 14
"""This many digits in a row are a NIK, even when its label was not read."""
ROW_PITCH_TO_WIDTH = 0.0309
"""Distance of two rows, as a share of the card's width."""
RIGHT_COLUMN_SHARE = 0.672
"""Where photo and place of issue begin, counted from the labels, as a share of the width."""


@dataclass(frozen=True)
class LabelMatch:
    """A label at the beginning of a line, and what follows it."""

    label: Label
    errors: int
    value: Row


def match_label(row: Row) -> LabelMatch | None:
    """Finds the label that a line begins with."""
    matches = [match for label in ORDER if (match := _match(row, label))]
    if not matches:
        return _bare_nik(row)
    return min(matches, key=lambda match: match.errors / len(match.label))


def _match(row: Row, label: Label) -> LabelMatch | None:
    cut = find_end(row.text, label)
    if cut is None:
        return None
    end, errors = cut
    return LabelMatch(label, errors, cut_row(row, end))


def find_end(text: str, label: str) -> tuple[int, int] | None:
    """Finds where a label at the beginning of a text ends, and its wrong letters."""
    allowed = max(1, int(len(label) * TOLERANCE))
    best: tuple[tuple[int, int], int] | None = None
    for end in range(1, len(text) + 1):
        letters = squeeze(text[:end])
        if len(letters) > len(label) + allowed:
            break
        errors = Levenshtein.distance(letters, label, score_cutoff=allowed)
        if errors > allowed:
            continue
        at_boundary = end == len(text) or text[end] in " :;.,"
        rank = (errors, 0 if at_boundary else 1)
        if best is None or rank < best[0]:
            best = (rank, end)
    return (best[1], best[0][0]) if best else None


def cut_row(row: Row, end: int) -> Row:
    """Gives what a line holds from a position of its text onwards, without the colon."""
    rest: list[TextBox] = []
    start = 0
    for box in row.boxes:
        text = box.text[max(0, end - start) :]
        if not rest:
            text = text.lstrip(" :;")
        if text:
            share = 1 - len(text) / len(box.text)
            rest.append(replace(box, text=text, left=box.left + share * (box.right - box.left)))
        start += len(box.text) + 1
    return Row(tuple(rest))


def from_column(row: Row, left: float) -> Row:
    """Gives what stands in the column of the values, when a line's label was not read."""
    boxes = tuple(box for box in row.boxes if box.left > left - box.height)
    if boxes:
        return cut_row(Row(boxes), 0)
    return cut_row(row, row.text.find(":") + 1)


def _bare_nik(row: Row) -> LabelMatch | None:
    longest = max(row.boxes, key=lambda box: len(box.text))
    digits = sum(char.isdecimal() for char in as_digits(longest.text))
    originally = sum(char.isdecimal() for char in longest.text)
    if digits < NIK_DIGITS_MIN or originally < NIK_DIGITS_MIN - 4:
        return None
    return LabelMatch(Label.NIK, 1, Row((longest,)))


@dataclass(frozen=True)
class Anchor:
    """A label with the index of its line."""

    row_index: int
    match: LabelMatch


def find_anchors(rows: list[Row]) -> list[Anchor]:
    """Finds the labels of a card, each once and in the card's order.

    Of all readings that keep the order, the one with the most correctly read
    letters wins.
    """
    candidates = [
        Anchor(index, match) for index, row in enumerate(rows) if (match := match_label(row))
    ]
    best: list[tuple[int, list[Anchor]]] = []
    for anchor in candidates:
        place = ORDER.index(anchor.match.label)
        score, chain = max(
            (entry for entry in best if ORDER.index(entry[1][-1].match.label) < place),
            key=lambda entry: entry[0],
            default=(0, []),
        )
        worth = len(anchor.match.label) - 2 * anchor.match.errors
        best.append((score + max(worth, 1), [*chain, anchor]))
    return max(best, key=lambda entry: entry[0], default=(0, []))[1]


def right_column(boxes: list[TextBox]) -> float:
    """Estimates where the right column begins, from the labels' place and distance."""
    found = [
        (match.label, box)
        for box in boxes
        if (match := match_label(Row((box,)))) and match.errors <= 1
    ]
    places = dict(found)
    lefts = [box.left for label, box in places.items() if label not in INDENTED]
    pitches = [
        places[below].middle - places[above].middle
        for above, below in pairwise(ORDER[1:])
        if above in places and below in places
    ]
    if not lefts or not pitches:
        return float("inf")
    return median(lefts) + RIGHT_COLUMN_SHARE * median(pitches) / ROW_PITCH_TO_WIDTH
