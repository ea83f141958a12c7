"""The printed labels of each kind of card, and how to find them in misread lines."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from itertools import pairwise
from statistics import median

from rapidfuzz.distance import Levenshtein

from ocr_engine.parsing.fields.text import Row, TextBox, as_digits, squeeze


class Label(StrEnum):
    """Names what a label announces."""

    NUMBER = auto()
    NAME = auto()
    BIRTH = auto()
    """Place and date in one line."""
    BIRTHPLACE = auto()
    BIRTH_DATE = auto()
    SEX = auto()
    BLOOD = auto()
    ADDRESS = auto()
    RT_RW = auto()
    VILLAGE = auto()
    DISTRICT = auto()
    RELIGION = auto()
    MARITAL_STATUS = auto()
    OCCUPATION = auto()
    CITIZENSHIP = auto()
    HEIGHT = auto()
    ISSUER = auto()
    VALID_UNTIL = auto()


@dataclass(frozen=True)
class Form:
    """Holds the labels of one kind of card."""

    spellings: Mapping[Label, tuple[str, ...]]
    """What is printed, letters only, from the top of the card to its bottom."""
    bare_number: bool
    """Whether the number is the only row of 16 digits, so that it needs no label."""
    number_lead: float = 0.0
    """By how many row distances the line below the number is further away than usual."""
    optional: frozenset[Label] = frozenset()
    """Labels that some batches lack."""

    @property
    def order(self) -> tuple[Label, ...]:
        """Returns the labels from top to bottom."""
        return tuple(self.spellings)


KTP_FORM = Form(
    {
        Label.NUMBER: ("NIK",),
        Label.NAME: ("NAMA",),
        Label.BIRTH: ("TEMPATTGLLAHIR",),
        Label.SEX: ("JENISKELAMIN",),
        Label.ADDRESS: ("ALAMAT",),
        Label.RT_RW: ("RTRW",),
        Label.VILLAGE: ("KELDESA",),
        Label.DISTRICT: ("KECAMATAN",),
        Label.RELIGION: ("AGAMA",),
        Label.MARITAL_STATUS: ("STATUSPERKAWINAN",),
        Label.OCCUPATION: ("PEKERJAAN",),
        Label.CITIZENSHIP: ("KEWARGANEGARAAN",),
        Label.VALID_UNTIL: ("BERLAKUHINGGA",),
    },
    bare_number=True,
    number_lead=0.8,
)
_SIM_OPENING = {Label.NAME: ("NAMA",), Label.ADDRESS: ("ALAMAT",)}
_SIM_CLOSING = {
    Label.HEIGHT: ("TINGGI",),
    Label.SEX: ("JENISKELAMIN",),
    Label.BLOOD: ("GOLDARAH",),
    Label.OCCUPATION: ("PEKERJAAN",),
    Label.NUMBER: ("NOSIM",),
    Label.VALID_UNTIL: ("BERLAKUSD", "BERLAKUHINGGA"),
}
_SIM_OPTIONAL = frozenset({Label.SEX, Label.BLOOD})
SIM_LABELLED_FORM = Form(
    {**_SIM_OPENING, Label.BIRTH: ("TEMPATTGLLAHIR",), **_SIM_CLOSING},
    bare_number=False,
    optional=_SIM_OPTIONAL,
)
"""Driving licences before September 2019."""
SIM_SPLIT_BIRTH_FORM = Form(
    {
        **_SIM_OPENING,
        Label.BIRTHPLACE: ("TEMPATLAHIR", "TEMPAT"),
        Label.BIRTH_DATE: ("TGLLAHIR",),
        **_SIM_CLOSING,
    },
    bare_number=False,
    optional=_SIM_OPTIONAL,
)
"""The same, of batches that print place and date of birth in two rows."""
SIM_BILINGUAL_FORM = Form(
    {
        Label.NUMBER: ("NIK",),
        Label.NAME: ("NAMANAME", "NAMA"),
        Label.BIRTH: ("TEMPATTGLLAHIRPLACEDATEOFBIRTH", "TEMPATTGLLAHIR"),
        Label.BLOOD: ("GOLDARAHBLOODTYPE", "GOLDARAH"),
        Label.SEX: ("JENISKELAMINSEX", "JENISKELAMIN"),
        Label.ADDRESS: ("ALAMATADDRESS", "ALAMAT"),
        Label.OCCUPATION: ("PEKERJAANOCCUPATION", "PEKERJAAN"),
        Label.ISSUER: ("DITERBITKANOLEHISSUEDBY", "DITERBITKANOLEH"),
        Label.VALID_UNTIL: ("BERLAKUHINGGAVALIDUNTIL", "BERLAKUHINGGA"),
    },
    bare_number=True,
    number_lead=0.35,
)
"""Driving licences from July 2024."""

BLOOD_LABEL = "GOLDARAH"
INDENTED = frozenset({Label.RT_RW, Label.VILLAGE, Label.DISTRICT})

TOLERANCE = 0.3
"""Share of a label's letters that may be wrong (at least one always may)."""
LABEL_INDENT_MAX = 4
"""How far right of the others a misread label may be, in heights."""
NIK_DIGITS_MIN = 14
"""This many digits in a row are a NIK, even when its label was not read."""
ROW_PITCH_TO_WIDTH = 0.0309
"""Distance of two rows of a KTP, as a share of the card's width."""
RIGHT_COLUMN_SHARE = 0.71
"""Where photo and place of issue have their middle at least, from the labels, of the width."""


@dataclass(frozen=True)
class LabelMatch:
    """Holds a label at the beginning of a line, and what follows it."""

    label: Label
    errors: int
    worth: int
    """Letters that were read rightly, less those that were not; at least 1."""
    value: Row


@dataclass(frozen=True)
class Anchor:
    """Holds a label with its line."""

    row_index: int
    middle: float
    """Of the line, vertically."""
    match: LabelMatch

    @property
    def label(self) -> Label:
        """Returns the label itself."""
        return self.match.label

    def is_bilingual(self, form: Form) -> bool:
        """Tells whether more was read than the shortest spelling."""
        return self.match.worth > min(len(text) for text in form.spellings[self.label])


def match_label(row: Row, form: Form) -> LabelMatch | None:
    """Finds the label that a line begins with."""
    matches = [
        match
        for label, spellings in form.spellings.items()
        for spelling in spellings
        if (match := _match(row, label, spelling))
    ]
    if matches:
        return max(matches, key=lambda match: match.worth)
    return _bare_number(row) if form.bare_number else None


def _match(row: Row, label: Label, spelling: str) -> LabelMatch | None:
    cut = find_end(row.text, spelling)
    if cut is None:
        return None
    end, errors = cut
    return LabelMatch(label, errors, max(1, len(spelling) - 2 * errors), row.tail(end))


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


def _bare_number(row: Row) -> LabelMatch | None:
    longest = max(row.boxes, key=lambda box: len(box.text))
    digits = sum(char.isdecimal() for char in as_digits(longest.text))
    originally = sum(char.isdecimal() for char in longest.text)
    if digits < NIK_DIGITS_MIN or originally < NIK_DIGITS_MIN - 4:
        return None
    return LabelMatch(Label.NUMBER, 1, 1, Row((longest,)))


def find_anchors(rows: list[Row], form: Form) -> list[Anchor]:
    """Finds the labels of a card, each once and in the card's order.

    Of all readings that keep the order, the one with the most correctly read
    letters wins. A value that resembles a label, such as the name RAMA, stands too far right.
    """
    order = form.order
    candidates = [
        (index, row, match) for index, row in enumerate(rows) if (match := match_label(row, form))
    ]
    lefts = [row.left for _, row, match in candidates if not match.errors]
    column = median(lefts) if lefts else float("inf")
    best: list[tuple[int, list[Anchor]]] = []
    for index, row, match in candidates:
        misread = match.errors and match.label is not Label.NUMBER
        if misread and row.left > column + LABEL_INDENT_MAX * row.height:
            continue
        place = order.index(match.label)
        score, chain = max(
            (entry for entry in best if order.index(entry[1][-1].label) < place),
            key=lambda entry: entry[0],
            default=(0, []),
        )
        best.append((score + match.worth, [*chain, Anchor(index, row.middle, match)]))
    return max(best, key=lambda entry: entry[0], default=(0, []))[1]


def right_column(boxes: list[TextBox]) -> float:
    """Estimates where a KTP's right column begins, from the labels' place and distance.

    A box belongs to that column when its middle does.
    """
    found = [
        (match.label, box)
        for box in boxes
        if (match := match_label(Row((box,)), KTP_FORM)) and match.errors <= 1
    ]
    places = dict(found)
    lefts = [box.left for label, box in places.items() if label not in INDENTED]
    pitches = [
        places[below].middle - places[above].middle
        for above, below in pairwise(KTP_FORM.order[1:])
        if above in places and below in places
    ]
    if not lefts or not pitches:
        return float("inf")
    return median(lefts) + RIGHT_COLUMN_SHARE * median(pitches) / ROW_PITCH_TO_WIDTH
