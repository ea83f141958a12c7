"""Reads an identity card from its text: labels first, then what stands beside them."""

from functools import partial
from statistics import median

from ocr_engine.domain import values, vocabulary
from ocr_engine.domain.card import CardReading, DocumentType, Field, FieldReason, KtpFields
from ocr_engine.domain.checks import check
from ocr_engine.domain.labels import (
    BLOOD_LABEL,
    MULTI_LINE,
    ORDER,
    Anchor,
    Label,
    cut_row,
    find_anchors,
    find_end,
    from_column,
    right_column,
)
from ocr_engine.domain.text import Row, TextBox, group_rows, squeeze

LABELS_WITH_NIK_MIN = 3
LABELS_WITHOUT_NIK_MIN = 6
"""So many labels make a picture a card, with and without a number that was read."""

_PROVINCE_PREFIX = "PROVINSI"

_SIMPLE: dict[Label, tuple[str, values.Read]] = {
    Label.NIK: ("nik", values.read_nik),
    Label.NAMA: ("nama", values.read_free),
    Label.ADDRESS: ("alamat", values.read_free),
    Label.RT_RW: ("rt_rw", values.read_rt_rw),
    Label.VILLAGE: ("kel_desa", values.read_free),
    Label.DISTRICT: ("kecamatan", values.read_free),
    Label.RELIGION: ("agama", values.read_religion),
    Label.MARITAL_STATUS: (
        "status_perkawinan",
        partial(values.read_closed, entries=vocabulary.MARITAL_STATUSES),
    ),
    Label.OCCUPATION: ("pekerjaan", partial(values.read_soft, entries=vocabulary.occupations())),
    Label.CITIZENSHIP: ("kewarganegaraan", values.read_citizenship),
    Label.VALID_UNTIL: ("berlaku_hingga", values.read_validity),
}


def read_ktp(boxes: list[TextBox]) -> CardReading:
    """Reads a card from text boxes; UNKNOWN when they do not look like one."""
    edge = right_column(boxes)
    rows = group_rows([box for box in boxes if box.left < edge])
    anchors = find_anchors(rows)
    if not _is_card(anchors):
        return CardReading(DocumentType.UNKNOWN)
    texts = _texts_by_label(rows, anchors)
    found: dict[str, Field | None] = {}
    for label, row in texts.items():
        found.update(_read_label(label, row))
    found.update(_read_header(rows[: anchors[0].row_index]))
    found.update(_read_issue([box for box in boxes if box.left >= edge]))
    card = KtpFields(**found)
    return CardReading(DocumentType.KTP, card, check(card))


def _is_card(anchors: list[Anchor]) -> bool:
    labels = {anchor.match.label for anchor in anchors}
    least = LABELS_WITH_NIK_MIN if Label.NIK in labels else LABELS_WITHOUT_NIK_MIN
    return len(labels) >= least


def _texts_by_label(rows: list[Row], anchors: list[Anchor]) -> dict[Label, Row]:
    """Gives each label its text; lines between two labels go to where they belong."""
    texts: dict[Label, Row] = {}
    column = _value_column(anchors)
    ends = [anchor.row_index for anchor in anchors[1:]] + [len(rows)]
    for anchor, end in zip(anchors, ends, strict=True):
        label = anchor.match.label
        loose = [from_column(row, column) for row in rows[anchor.row_index + 1 : end]]
        after = ORDER.index(label) + 1
        before = len(ORDER)
        if end < len(rows):
            following = next(a for a in anchors if a.row_index == end)
            before = ORDER.index(following.match.label)
        unread = list(ORDER[after:before])
        own, lost = _share_out(label, loose, unread)
        texts[label] = Row(tuple(box for row in [anchor.match.value, *own] for box in row.boxes))
        texts.update(lost)
    return texts


def _value_column(anchors: list[Anchor]) -> float:
    """Tells where values begin; the number's own is further left."""
    lefts = [
        anchor.match.value.left
        for anchor in anchors
        if anchor.match.label is not Label.NIK and anchor.match.value.boxes
    ]
    return median(lefts) if lefts else 0.0


def _share_out(
    label: Label, loose: list[Row], unread: list[Label]
) -> tuple[list[Row], dict[Label, Row]]:
    """Splits unlabelled lines into continuations and values whose label was not read.

    Below the last label there is nothing to count against, so nothing is taken.
    """
    spare = len(loose) - len(unread)
    if ORDER[-1] in unread or label is ORDER[-1]:
        return [], {}
    if spare < 0 or (spare > 0 and label not in MULTI_LINE):
        return [], {}
    return loose[:spare], dict(zip(unread, loose[spare:], strict=True))


def _read_label(label: Label, row: Row) -> dict[str, Field | None]:
    if label is Label.BIRTH:
        place, born = values.read_birth(row.text, row.confidence)
        return {"tempat_lahir": place, "tanggal_lahir": born}
    if label is Label.SEX:
        return _read_sex_row(row)
    name, read = _SIMPLE[label]
    return {name: read(row.text, row.confidence)}


def _read_sex_row(row: Row) -> dict[str, Field | None]:
    """Reads sex and blood type, which share a line."""
    sex, blood = _split_blood(row)
    return {
        "jenis_kelamin": values.read_closed(sex.text, sex.confidence, vocabulary.SEXES),
        "golongan_darah": values.read_blood_type(blood.text, blood.confidence) if blood else None,
    }


def _split_blood(row: Row) -> tuple[Row, Row | None]:
    text = row.text
    cuts = [
        (cut[1], start, start + cut[0])
        for start in range(len(text))
        if text[start].upper() in "G6C" and (cut := find_end(text[start:], BLOOD_LABEL))
    ]
    if not cuts:
        return row, None
    _, start, end = min(cuts)
    return _head(row, start), cut_row(row, end)


def _head(row: Row, end: int) -> Row:
    """Gives what a line holds before a position of its text."""
    kept: list[TextBox] = []
    start = 0
    for box in row.boxes:
        if text := box.text[: max(0, end - start)].strip():
            kept.append(TextBox(text, box.confidence, box.left, box.top, box.right, box.bottom))
        start += len(box.text) + 1
    return Row(tuple(kept))


def _read_header(rows: list[Row]) -> dict[str, Field | None]:
    """Reads province and regency, the two lines above the number."""
    for index, row in enumerate(rows):
        cut = find_end(row.text, _PROVINCE_PREFIX)
        if cut is None:
            continue
        province = cut_row(row, cut[0])
        below = rows[index + 1] if index + 1 < len(rows) else None
        return {
            "provinsi": values.read_soft(province.text, province.confidence, vocabulary.PROVINCES),
            "kota": values.read_free(below.text, below.confidence) if below else None,
        }
    return {}


def _read_issue(boxes: list[TextBox]) -> dict[str, Field | None]:
    """Reads place and date of issue, below the photo."""
    rows = group_rows([box for box in boxes if squeeze(box.text)])
    for index, row in enumerate(rows):
        issued = values.read_date(row.text, row.confidence)
        if issued is None or issued.reason is FieldReason.UNPARSED:
            continue
        place = rows[index - 1] if index else None
        return {
            "tempat_terbit": values.read_free(place.text, place.confidence) if place else None,
            "tanggal_terbit": issued,
        }
    return {}
