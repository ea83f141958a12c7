"""Reads a driving licence from its text, in any of its three layouts."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from rapidfuzz import fuzz

from ocr_engine.parsing.checks import check
from ocr_engine.parsing.extraction import is_nik, is_parsed, take, take_birth, take_date, take_twice
from ocr_engine.parsing.fields import values, vocabulary
from ocr_engine.parsing.fields.card import CardReading, DocumentType, Field, SimFields
from ocr_engine.parsing.fields.nik import NIK_LENGTH
from ocr_engine.parsing.fields.text import (
    BLOOD_CHARACTERS,
    DASHED_DIGITS,
    Row,
    TextBox,
    as_digits,
    group_rows,
    join,
    squeeze,
)
from ocr_engine.parsing.labels import (
    SIM_BILINGUAL_FORM,
    SIM_LABELLED_FORM,
    SIM_SPLIT_BIRTH_FORM,
    Anchor,
    Label,
    find_anchors,
    find_end,
)
from ocr_engine.parsing.lines import Texts, texts_by_label
from ocr_engine.parsing.numbered_layout import Part, looks_like_number, tell_parts
from ocr_engine.parsing.repair import cross_check

SIGNS_WITH_TITLE_MIN = 2
SIGNS_WITHOUT_TITLE_MIN = 5
"""So many labels, row numbers or typical values make a picture a licence."""
HINT_WORTH = 1
"""So many fewer will do when the detector took the picture for one."""
LABELS_MIN = 3
"""With fewer labels a licence is taken for one with numbered rows."""

TITLES = ("SURATIZINMENGEMUDI", "DRIVINGLICENSE", "KEPOLISIANNEGARAREPUBLIKINDONESIA")
TITLE_CUTOFF = 80
"""Likeness, 0 to 100, from which a line counts as a title."""
CLASS_LEFT, CLASS_BOTTOM = 0.6, 0.4
"""Where the class is: right of and above these shares of the text's width and height."""
RIGHT_COLUMN_LEFT, ISSUER_TOP = 0.55, 0.65
"""Where the issuer is in the oldest layout: right of and below these shares."""
BLOOD_DASH_DOUBT = 0.6
"""What one dash before the sex is worth as a blood type: it may be the separator alone."""

Found = dict[str, Field | None]


@dataclass(frozen=True)
class _Frame:
    """Holds the rectangle around all text, in pixels."""

    left: float
    top: float
    width: float
    height: float

    def across(self, x: float) -> float:
        """Gives a place as a share of the width."""
        return (x - self.left) / self.width

    def down(self, y: float) -> float:
        """Gives a place as a share of the height."""
        return (y - self.top) / self.height


@dataclass(frozen=True)
class _Reading:
    """Holds fields, and how many signs of a licence there were."""

    fields: Found
    signs: int
    own_signs: bool
    """Whether any of these is on no other kind of card."""


def read_sim(boxes: list[TextBox], *, hinted: bool = False) -> CardReading:
    """Reads a licence from text boxes; UNKNOWN when they do not look like one.

    Args:
        boxes: Text with its place; the card is upright, its scale does not matter.
        hinted: Whether a detector took the picture for a licence.
    """
    if not boxes:
        return CardReading(DocumentType.UNKNOWN)
    frame = _frame(boxes)
    rest, golongan = _take_class(boxes, frame)
    rows = group_rows(rest)
    titled = [index for index, row in enumerate(rows) if is_title(row.text)]
    golongan = golongan or _class_beside(rows[index] for index in titled)
    body = rows[titled[-1] + 1 :] if titled else rows
    reading = _read_body(body, frame)
    if not _is_licence(reading, bool(titled), golongan is not None, hinted):
        return CardReading(DocumentType.UNKNOWN)
    card = cross_check(SimFields(golongan=golongan, **reading.fields))
    return CardReading(DocumentType.SIM, card, check(card))


def is_title(text: str) -> bool:
    """Tells whether a line is one of the titles that only licences have."""
    letters = squeeze(text)
    return any(
        len(letters) >= len(title) * 0.7 and fuzz.partial_ratio(letters, title) >= TITLE_CUTOFF
        for title in TITLES
    )


def _is_licence(reading: _Reading, titled: bool, classed: bool, hinted: bool) -> bool:
    signs = reading.signs + classed
    least = SIGNS_WITH_TITLE_MIN if titled else SIGNS_WITHOUT_TITLE_MIN
    own = titled or hinted or reading.own_signs
    return own and signs >= least - (HINT_WORTH if hinted else 0)


def _frame(boxes: list[TextBox]) -> _Frame:
    whole = Row(tuple(boxes))
    (left, top), _, (right, bottom), _ = whole.polygon
    return _Frame(left, top, max(1.0, right - left), max(1.0, bottom - top))


def _take_class(boxes: list[TextBox], frame: _Frame) -> tuple[list[TextBox], Field | None]:
    """Takes the class, the largest text in the upper right corner that can be one."""
    corner = [
        box
        for box in boxes
        if frame.across(box.left) > CLASS_LEFT and frame.down(box.middle) < CLASS_BOTTOM
    ]
    rows = [*group_rows(corner), *(Row((box,)) for box in corner)]
    fitting = [row for row in rows if take(row, values.read_sim_class)]
    if not fitting:
        return boxes, None
    best = max(fitting, key=lambda row: (row.height, len(row.text)))
    return [box for box in boxes if box not in best.boxes], take(best, values.read_sim_class)


def _class_beside(titles: Iterable[Row]) -> Field | None:
    """Finds the class in one box with the title."""
    ends = ((row, find_end(row.text, TITLES[0])) for row in titles)
    found = (take(row.tail(cut[0]), values.read_sim_class) for row, cut in ends if cut)
    return next((field for field in found if field), None)


def _read_body(rows: list[Row], frame: _Frame) -> _Reading:
    columns = [_split_columns(row, frame) for row in rows]
    labelled = [left for left, _ in columns if left.boxes]
    forms = (
        (SIM_LABELLED_FORM, labelled),
        (SIM_SPLIT_BIRTH_FORM, labelled),
        (SIM_BILINGUAL_FORM, rows),
    )
    found = ((form, lines, find_anchors(lines, form)) for form, lines in forms)
    form, lines, anchors = max(found, key=lambda entry: _worth(entry[2]))
    if len(anchors) < LABELS_MIN:
        return _read_numbered(rows)
    fields = _read_labelled(texts_by_label(lines, anchors, form))
    if form is SIM_BILINGUAL_FORM:
        own = any(anchor.is_bilingual(form) for anchor in anchors)
    else:
        fields["wilayah"] = _read_issuer([right for _, right in columns if right.boxes], frame)
        own = any(anchor.label in {Label.HEIGHT, Label.NUMBER} for anchor in anchors)
    return _Reading(fields, len(anchors), own)


def _worth(anchors: list[Anchor]) -> int:
    return sum(anchor.match.worth for anchor in anchors)


def _split_columns(row: Row, frame: _Frame) -> tuple[Row, Row]:
    """Splits what stands at the right, apart from the rest of the line, off."""
    for index, box in enumerate(row.boxes):
        apart = not index or box.left - row.boxes[index - 1].right > box.height
        if apart and frame.across(box.left) > RIGHT_COLUMN_LEFT:
            return Row(row.boxes[:index]), Row(row.boxes[index:])
    return row, Row(())


def _read_issuer(rows: list[Row], frame: _Frame) -> Field | None:
    """Reads the place lines below the photo: the first one and what follows closely."""
    low = [
        row
        for row in rows
        if frame.down(row.middle) > ISSUER_TOP and not any(c.isdecimal() for c in row.text)
    ]
    kept = low[:1]
    for row in low[1:]:
        if row.middle - kept[-1].middle > 2 * row.height:
            break
        kept.append(row)
    return take(join(*kept), values.read_free)


def _read_labelled(texts: Texts) -> Found:
    place, born = take_birth(texts.get(Label.BIRTH))
    return {
        "nomor_sim": _take_number(texts.get(Label.NUMBER)),
        "nama": take(texts.get(Label.NAME), values.read_free),
        "tempat_lahir": place or take(texts.get(Label.BIRTHPLACE), values.read_free),
        "tanggal_lahir": born or take_birth(texts.get(Label.BIRTH_DATE))[1],
        "jenis_kelamin": take(texts.get(Label.SEX), _read_sex),
        "golongan_darah": _take_blood(texts.get(Label.BLOOD)),
        "alamat": take(texts.get(Label.ADDRESS), values.read_free),
        "pekerjaan": take(texts.get(Label.OCCUPATION), _read_occupation),
        "wilayah": take(texts.get(Label.ISSUER), values.read_free),
        "berlaku_hingga": take_date(texts.get(Label.VALID_UNTIL)),
    }


def _read_numbered(rows: list[Row]) -> _Reading:
    top = next((index for index, row in enumerate(rows) if looks_like_number(row.text)), None)
    number = _take_number(rows[top], dashed=True) if top is not None else None
    boxes = [box for row in rows[0 if top is None else top + 1 :] for box in row.boxes]
    if top is not None:
        # Left of the number there are only photo and signature.
        column = rows[top].left - rows[top].height
        boxes = [box for box in boxes if box.centre > column]
    boxes, expiry = _take_expiry(boxes)
    found = tell_parts(group_rows(boxes))
    texts = found.texts
    place, born = take_birth(texts.get(Part.BIRTH))
    sex, blood = _read_blood_and_sex(texts.get(Part.BLOOD_AND_SEX))
    issuer, expiry = _split_issuer(texts.get(Part.ISSUER), expiry)
    fields: Found = {
        "nomor_sim": number,
        "nama": take(texts.get(Part.NAME), values.read_free),
        "tempat_lahir": place,
        "tanggal_lahir": born,
        "jenis_kelamin": sex,
        "golongan_darah": blood,
        "alamat": take(texts.get(Part.ADDRESS), values.read_free),
        "pekerjaan": take(texts.get(Part.OCCUPATION), _read_occupation),
        "wilayah": take(issuer, values.read_free),
        "berlaku_hingga": take_date(expiry),
    }
    typical = [fields[name] for name in ("nomor_sim", "tanggal_lahir", "jenis_kelamin")]
    certain = [field for field in typical if field and is_parsed(field)]
    own_number = number is not None and "-" in number.raw_value and is_parsed(number)
    return _Reading(fields, len(certain) + found.marked, own_number)


def _take_number(row: Row | None, *, dashed: bool = False) -> Field | None:
    """Reads the number, which is a NIK when it has as many digits."""
    if row is None:
        return None
    if len(squeeze(as_digits(row.text))) >= NIK_LENGTH - 1:
        return take_twice(row, values.read_nik, DASHED_DIGITS, is_nik)
    return take_twice(row, partial(values.read_sim_number, dashed=dashed), DASHED_DIGITS)


def _take_expiry(boxes: list[TextBox]) -> tuple[list[TextBox], Row | None]:
    """Takes the date that stands alone below the rows; a birth date is further up."""
    alone = [
        box
        for box in boxes
        if values.find_date(box.text) and sum(char.isalpha() for char in box.text) <= 2
    ]
    lowest = max(alone, key=lambda box: box.middle, default=None)
    if lowest is None:
        return boxes, None
    others = [box for box in boxes if box is not lowest]
    below = sum(box.middle < lowest.middle for box in others) * 2 > len(others)
    return (others, Row((lowest,))) if below else (boxes, None)


def _read_blood_and_sex(row: Row | None) -> tuple[Field | None, Field | None]:
    """Reads `O - PRIA`; of `- - PRIA` the first dash is the blood type."""
    start = values.find_sex(row.text) if row else None
    if row is None or start is None:
        return take(row, _read_sex), None
    head = row.head(start)
    before = head.text.strip()
    blood = _take_blood(head.head(len(head.text.rstrip(" -:.")))) if squeeze(before) else None
    if not squeeze(before) and "-" in before:
        share = BLOOD_DASH_DOUBT if before.count("-") == 1 else 1.0
        blood = take(head, lambda raw, confidence: Field("-", raw, confidence * share))
    return take(row.tail(start), _read_sex), blood


def _split_issuer(row: Row | None, expiry: Row | None) -> tuple[Row | None, Row | None]:
    """Splits a date that was read into the issuer's box off, unless it was found already."""
    found = values.find_date(row.text) if row else None
    if row is None or found is None or expiry:
        return row, expiry
    return row.head(found[1]), row.tail(found[1])


def _take_blood(row: Row | None) -> Field | None:
    return take_twice(row, values.read_blood_type, BLOOD_CHARACTERS)


def _read_sex(raw: str, confidence: float) -> Field | None:
    return values.read_closed(raw, confidence, vocabulary.SIM_SEXES)


def _read_occupation(raw: str, confidence: float) -> Field | None:
    return values.read_soft(raw, confidence, vocabulary.occupations())
