"""Lays text out like a card, so that the rules can be tested without the networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ocr_engine.parsing import TextBox

LABEL_X, INDENT_X, VALUE_X, RIGHT_X = 30.0, 55.0, 278.0, 770.0
PITCH, HEIGHT, FIRST_Y = 31.0, 26.0, 173.0
CHAR_WIDTH = 13.0

NIK = "3175036009500008"
LINES: Mapping[str, str] = {
    "NIK": NIK,
    "Nama": "AYU SETIAWAN",
    "Tempat/Tgl Lahir": "JAKARTA, 20-09-1950",
    "Jenis Kelamin": "PEREMPUAN",
    "Alamat": "JL. MELATI NO. 46",
    "RT/RW": "016/017",
    "Kel/Desa": "CIPINANG MUARA",
    "Kecamatan": "JATINEGARA",
    "Agama": "ISLAM",
    "Status Perkawinan": "CERAI HIDUP",
    "Pekerjaan": "PERAWAT",
    "Kewarganegaraan": "WNI",
    "Berlaku Hingga": "SEUMUR HIDUP",
}
"""A consistent card, label by label; the blood type stands beside the sex."""
INDENTED = frozenset({"RT/RW", "Kel/Desa", "Kecamatan"})

SIM_LINES: Mapping[str, str] = {
    "Nama": "AYU SETIAWAN",
    "Alamat": "JL. MELATI NO. 46",
    "Tempat & Tgl. Lahir": "JAKARTA, 20-09-1950",
    "Tinggi": "165 cm",
    "Jenis Kelamin": "WANITA",
    "Gol. Darah": "O",
    "Pekerjaan": "PERAWAT",
    "No. SIM": "500912345678",
    "Berlaku s/d": "20-09-2018",
}
"""A driving licence of before September 2019."""
NUMBERED_LINES: Sequence[str] = (
    "AYU SETIAWAN",
    "JAKARTA, 20-09-1950",
    "O - WANITA",
    "JL. MELATI NO. 46",
    "PERAWAT",
    "POLDA METRO JAYA",
)
"""The rows 1 to 6 of a Smart SIM."""
SMART_NUMBER = "1234-5678-901234"
BILINGUAL_LINES: Mapping[str, str] = {
    "Nama/Name": "AYU SETIAWAN",
    "Tempat, Tgl. Lahir/Place, Date of Birth": "JAKARTA, 20-09-1950",
    "Gol. Darah/Blood Type": "O",
    "Jenis Kelamin/Sex": "WANITA",
    "Alamat/Address": "JL. MELATI NO. 46",
    "Pekerjaan/Occupation": "PERAWAT",
    "Diterbitkan Oleh/Issued By": "POLDA METRO JAYA",
    "Berlaku Hingga/Valid Until": "20-09-2029",
}
"""A driving licence from July 2024; above stands the NIK."""


@dataclass(frozen=True)
class Rereadable(TextBox):
    """A box that a reader can read again: what it says with few characters is laid down."""

    again: str = ""
    again_confidence: float = 0.99

    def under(self, alphabet: frozenset[str]) -> TextBox:
        text = "".join(char for char in self.again if char in alphabet)
        return TextBox(
            text,
            self.again_confidence,
            self.left,
            self.top,
            self.right,
            self.bottom,
            (self.again_confidence,) * len(text),
        )


def box(
    text: str,
    left: float,
    top: float,
    confidence: float = 0.95,
    unsure: Mapping[int, float] | None = None,
) -> TextBox:
    """A piece of text with the size that it has on a card 1000 pixels wide.

    Args:
        text: What was read.
        left: In pixels.
        top: In pixels.
        confidence: Of the whole text.
        unsure: Chances of some characters, by their place; the others were read surely.
            Without it, nothing is known of single characters.
    """
    right = left + CHAR_WIDTH * len(text)
    chars = () if unsure is None else tuple(unsure.get(at, 0.99) for at in range(len(text)))
    return TextBox(text, confidence, left, top, right, top + HEIGHT, chars)


def card(
    changes: Mapping[str, str | Sequence[str]] | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    blood: str | None = "Gol. Darah : O",
    header: Sequence[str] = ("PROVINSI DKI JAKARTA", "JAKARTA TIMUR"),
    colons: bool = True,
    glued: bool = False,
    unsure: Mapping[str, Mapping[int, float]] | None = None,
    confidence: float = 0.95,
) -> list[TextBox]:
    """Boxes of a whole card.

    Args:
        changes: Other values by label; a list is printed on several lines.
        labels: How a label was read; an empty text leaves its box out.
        blood: The text beside the sex; None leaves it out.
        header: The lines above the number.
        colons: Whether values carry the colon before them.
        glued: Whether label and value come in one box.
        unsure: Chances of characters of a value, by label; for values without a colon.
        confidence: Of all boxes.
    """
    boxes = [box(line, 400, 40 + 36 * index, confidence) for index, line in enumerate(header)]
    top = FIRST_Y - 60
    for label, printed in {**LINES, **(changes or {})}.items():
        lines = [printed] if isinstance(printed, str) else list(printed)
        seen = (labels or {}).get(label, label)
        left = INDENT_X if label in INDENTED else LABEL_X
        first = f": {lines[0]}" if colons else lines[0]
        if glued:
            boxes.append(box(f"{seen}{first}", left, top, confidence))
        else:
            boxes += [box(seen, left, top, confidence)] if seen else []
            known = (unsure or {}).get(label)
            boxes += [box(first, VALUE_X, top, confidence, known)] if lines[0] else []
        if label == "Jenis Kelamin" and blood is not None:
            boxes.append(box(blood, 520, top, confidence))
        for line in lines[1:]:
            top += PITCH
            boxes.append(box(line, VALUE_X, top, confidence))
        top += 60 if label == "NIK" else PITCH
    boxes += [box("KOTA BEKASI", RIGHT_X, 423), box("12-03-2017", RIGHT_X, 453)]
    return boxes


def _rows(
    lines: Mapping[str, str | Sequence[str]],
    labels: Mapping[str, str],
    columns: tuple[float, float],
    top: float,
    pitch: float,
) -> list[TextBox]:
    boxes: list[TextBox] = []
    for label, printed in lines.items():
        seen = labels.get(label, label)
        boxes += [box(seen, columns[0], top)] if seen else []
        for line in [printed] if isinstance(printed, str) else printed:
            boxes.append(box(line, columns[1], top))
            top += pitch
    return boxes


def labelled_sim(
    changes: Mapping[str, str | Sequence[str] | None] | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    lines: Mapping[str, str] = SIM_LINES,
    titles: Sequence[str] = ("KEPOLISIAN NEGARA REPUBLIK INDONESIA", "SURAT IZIN MENGEMUDI"),
    golongan: str = "A",
    issuer: Sequence[str] = ("POLDA METRO JAYA",),
) -> list[TextBox]:
    """Boxes of a licence of before September 2019; a change to None leaves a row out."""
    boxes = [box(title, 300, 40 + 45 * index) for index, title in enumerate(titles)]
    boxes += [box(golongan, 850, 80)] if golongan else []
    printed = {**lines, **(changes or {})}
    kept = {label: value for label, value in printed.items() if value is not None}
    boxes += _rows(kept, labels or {}, (LABEL_X, VALUE_X), 175, 35)
    boxes += [box(line, 740, 480 + 30 * index) for index, line in enumerate(issuer)]
    return boxes


def _band(titles: Sequence[str], golongan: str, number: str) -> list[TextBox]:
    boxes = [box(title, 320, 20 + 38 * index) for index, title in enumerate(titles)]
    boxes += [box(golongan, 860, 70)] if golongan else []
    return [*boxes, *([box(number, 313, 160)] if number else [])]


BAND = ("INDONESIA", "SURAT IZIN MENGEMUDI", "DRIVING LICENSE")


def numbered_sim(
    changes: Mapping[int, str | Sequence[str]] | None = None,
    *,
    marks: Mapping[int, str] | None = None,
    glued: bool = False,
    titles: Sequence[str] = BAND,
    golongan: str = "C",
    number: str = SMART_NUMBER,
    expiry: str = "20-09-2026",
) -> list[TextBox]:
    """Boxes of a Smart SIM.

    Args:
        changes: Other values by row, from 1; a list is printed on several lines.
        marks: How the number of a row was read; an empty text leaves it out.
        glued: Whether numbers come in one box with the values.
        titles: The lines of the band.
        golongan: The class.
        number: The licence's number.
        expiry: The last day; an empty text leaves it out.
    """
    boxes = _band(titles, golongan, number)
    top = 212.0
    for row, printed in enumerate(NUMBERED_LINES, 1):
        value = (changes or {}).get(row, printed)
        mark = (marks or {}).get(row, f"{row}.")
        first, *more = [value] if isinstance(value, str) else value
        if glued:
            boxes.append(box(f"{mark} {first}".strip(), 313, top))
        else:
            boxes += [box(mark, 313, top)] if mark else []
            boxes += [box(first, 352, top)] if first else []
        for line in more:
            top += 37
            boxes.append(box(line, 352, top))
        top += 37
    return [*boxes, *([box(expiry, 800, 575)] if expiry else [])]


def bilingual_sim(
    changes: Mapping[str, str | Sequence[str]] | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    titles: Sequence[str] = BAND,
    golongan: str = "BI UMUM",
    number: str = NIK,
) -> list[TextBox]:
    """Boxes of a licence from July 2024."""
    lines = {**BILINGUAL_LINES, **(changes or {})}
    rows = _rows(lines, labels or {}, (313, 630), 212, 37)
    # Labels are printed as narrow as they must be.
    return [*_band(titles, golongan, number), *(_narrow(piece, 625) for piece in rows)]


def _narrow(piece: TextBox, right: float) -> TextBox:
    if piece.left > right or piece.right < right:
        return piece
    return TextBox(piece.text, piece.confidence, piece.left, piece.top, right - 10, piece.bottom)
