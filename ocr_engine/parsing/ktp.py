"""Reads an identity card from its text: labels first, then what stands beside them."""

import re
from functools import partial

from ocr_engine.parsing.checks import check
from ocr_engine.parsing.extraction import (
    DATE_DIGITS_MIN,
    is_nik,
    is_parsed,
    take,
    take_birth,
    take_date,
    take_twice,
)
from ocr_engine.parsing.fields import regions, values, vocabulary
from ocr_engine.parsing.fields.card import CardReading, DocumentType, Field, KtpFields
from ocr_engine.parsing.fields.text import (
    BLOOD_CHARACTERS,
    DIGITS,
    PAIR_CHARACTERS,
    Row,
    TextBox,
    group_rows,
    join,
    squeeze,
)
from ocr_engine.parsing.labels import (
    BLOOD_LABEL,
    KTP_FORM,
    Anchor,
    Label,
    find_anchors,
    find_end,
    right_column,
)
from ocr_engine.parsing.lines import Texts, texts_by_label
from ocr_engine.parsing.repair import cross_check

LABELS_WITH_NIK_MIN = 3
LABELS_WITHOUT_NIK_MIN = 6
"""So many labels make a picture a card, with and without a number that was read."""
HINT_WORTH = 2
"""So many labels fewer will do when the detector took the picture for such a card."""

_PROVINCE_PREFIX = "PROVINSI"
_REGENCY_PREFIXES = ("KABUPATEN", "KOTA")
_TITLE = re.compile(
    r"[,.\s]*(?:(?:S\.\s?(?:PD|KOM|SOS|AG|SI|IP|KEP|H|E|T)|M\.\s?(?:PD|SI|KOM|M|H)|A\.\s?MD)\b"
    r"|S[EHT][.,]|,\s*S[EHT]\b)[,.\s]*",
    re.IGNORECASE,
)
"""An academic title; of those without a point inside only such that a mark sets apart."""

_SIMPLE: dict[Label, tuple[str, values.Read]] = {
    Label.NAME: ("nama", values.read_free),
    Label.ADDRESS: ("alamat", values.read_free),
    Label.VILLAGE: ("kel_desa", values.read_free),
    Label.RELIGION: ("agama", values.read_religion),
    Label.MARITAL_STATUS: (
        "status_perkawinan",
        partial(values.read_closed, entries=vocabulary.MARITAL_STATUSES),
    ),
    Label.OCCUPATION: ("pekerjaan", partial(values.read_soft, entries=vocabulary.occupations())),
    Label.CITIZENSHIP: ("kewarganegaraan", values.read_citizenship),
}

Found = dict[str, Field | None]


def read_ktp(boxes: list[TextBox], *, hinted: bool = False) -> CardReading:
    """Reads a card from text boxes; UNKNOWN when they do not look like one.

    Args:
        boxes: Text with its place; the card is upright, its scale does not matter.
        hinted: Whether a detector took the picture for such a card.
    """
    edge = right_column(boxes)
    rows = group_rows([box for box in boxes if box.centre < edge])
    rows, blood = _without_blood_rows(rows)
    anchors = find_anchors(rows, KTP_FORM)
    if not _is_card(anchors, hinted):
        return CardReading(DocumentType.UNKNOWN)
    texts = texts_by_label(rows, anchors, KTP_FORM)
    _return_titles(texts)
    header = _read_header(rows[: anchors[0].row_index])
    found = {
        **_read_texts(texts, blood),
        **header,
        **_read_district(texts, header.get("kota")),
        **_read_issue([box for box in boxes if box.centre >= edge]),
    }
    card = cross_check(KtpFields(**found))
    return CardReading(DocumentType.KTP, card, check(card))


def _is_card(anchors: list[Anchor], hinted: bool) -> bool:
    labels = {anchor.label for anchor in anchors}
    least = LABELS_WITH_NIK_MIN if Label.NUMBER in labels else LABELS_WITHOUT_NIK_MIN
    return len(labels) >= least - (HINT_WORTH if hinted else 0)


def _without_blood_rows(rows: list[Row]) -> tuple[list[Row], Row | None]:
    """Takes out the blood type where it stands in a line of its own, off the sex's line."""
    blood = None
    rest: list[Row] = []
    for row in rows:
        if cut := find_end(row.text, BLOOD_LABEL):
            blood = row.tail(cut[0])
        else:
            rest.append(row)
    return rest, blood


def _return_titles(texts: Texts) -> None:
    """Gives titles that slipped from the name's line before the birthplace back to the name."""
    birth = texts.get(Label.BIRTH)
    found = _TITLE.match(birth.text) if birth else None
    if not (birth and found and Label.NAME in texts):
        return
    if take_birth(birth.tail(found.end()))[0] is None:
        # Nothing would be left: a place such as `M. ENIM`, not a title.
        return
    texts[Label.NAME] = join(texts[Label.NAME], birth.head(found.end()))
    texts[Label.BIRTH] = birth.tail(found.end())


def _read_texts(texts: Texts, blood: Row | None) -> Found:
    found: Found = {name: take(texts.get(label), read) for label, (name, read) in _SIMPLE.items()}
    found["nik"] = take_twice(texts.get(Label.NUMBER), values.read_nik, DIGITS, is_nik)
    found["rt_rw"] = take_twice(texts.get(Label.RT_RW), values.read_rt_rw, PAIR_CHARACTERS)
    found["berlaku_hingga"] = take_date(texts.get(Label.VALID_UNTIL), values.read_validity)
    found["tempat_lahir"], found["tanggal_lahir"] = take_birth(texts.get(Label.BIRTH))
    return found | _read_sex(texts.get(Label.SEX), blood)


def _read_sex(row: Row | None, blood: Row | None) -> Found:
    """Reads sex and blood type, which share a line."""
    sex = row
    if row and not blood:
        sex, blood = _split_blood(row)
    return {
        "jenis_kelamin": take(sex, partial(values.read_closed, entries=vocabulary.SEXES)),
        "golongan_darah": take_twice(blood, values.read_blood_type, BLOOD_CHARACTERS),
    }


def _split_blood(row: Row) -> tuple[Row, Row | None]:
    text = row.text
    begins = {index for index, char in enumerate(text) if char.upper() in "G6C"}
    begins |= {index + 1 for index, char in enumerate(text) if char == " "}
    cuts = [
        (cut[1], start, start + cut[0])
        for start in begins
        if (cut := find_end(text[start:], BLOOD_LABEL))
    ]
    if cuts:
        _, start, end = min(cuts)
        return row.head(start), row.tail(end)
    if len(row.boxes) > 1 and row.boxes[-1].text.upper() in vocabulary.BLOOD_TYPES:
        return Row(row.boxes[:-1]), Row(row.boxes[-1:])
    return row, None


def _read_header(rows: list[Row]) -> Found:
    """Reads province and regency, the two lines above the number."""
    for index, row in enumerate(rows):
        cut = find_end(row.text, _PROVINCE_PREFIX)
        province = take(row.tail(cut[0]) if cut else row, regions.read_province)
        if province is None or not (cut or province.value in regions.provinces()):
            continue
        below = rows[index + 1] if index + 1 < len(rows) else None
        read = partial(regions.read_regency, province=province.value)
        return {"provinsi": province, "kota": take(below, read)}
    return {}


def _read_district(texts: Texts, regency: Field | None) -> Found:
    read = partial(regions.read_district, regency=regency.value if regency else "")
    return {"kecamatan": take(texts.get(Label.DISTRICT), read)}


def _read_issue(boxes: list[TextBox]) -> Found:
    """Reads place and date of issue, below the photo; the place may have two lines."""
    rows = group_rows([box for box in boxes if squeeze(box.text)])
    index = _date_row(rows)
    if index is None:
        return {}
    place = rows[index - 1] if index else None
    if place and index > 1 and squeeze(rows[index - 2].text) in _REGENCY_PREFIXES:
        place = join(rows[index - 2], place)
    return {
        "tempat_terbit": take(place, regions.read_regency),
        "tanggal_terbit": take_date(rows[index]),
    }


def _date_row(rows: list[Row]) -> int | None:
    """Finds the line of the date of issue: one that can be read, or else one that looks like it."""
    for index, row in enumerate(rows):
        issued = take_date(row)
        if issued is not None and is_parsed(issued):
            return index
    for index, row in enumerate(rows):
        if sum(char.isdecimal() for char in row.text) >= DATE_DIGITS_MIN:
            return index
    return None
