"""Lays text out like a card, so that the rules can be tested without the networks."""

from collections.abc import Mapping, Sequence

from ocr_engine.domain import TextBox

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


def box(text: str, left: float, top: float, confidence: float = 0.95) -> TextBox:
    """A piece of text with the size that it has on a card 1000 pixels wide."""
    right = left + CHAR_WIDTH * len(text)
    return TextBox(text, confidence, left, top, right, top + HEIGHT)


def card(
    changes: Mapping[str, str | Sequence[str]] | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    blood: str | None = "Gol. Darah : O",
    header: Sequence[str] = ("PROVINSI DKI JAKARTA", "JAKARTA TIMUR"),
    colons: bool = True,
    glued: bool = False,
) -> list[TextBox]:
    """Boxes of a whole card.

    Args:
        changes: Other values by label; a list is printed on several lines.
        labels: How a label was read; an empty text leaves its box out.
        blood: The text beside the sex; None leaves it out.
        header: The lines above the number.
        colons: Whether values carry the colon before them.
        glued: Whether label and value come in one box.
    """
    boxes = [box(line, 400, 40 + 36 * index) for index, line in enumerate(header)]
    top = FIRST_Y - 60
    for label, printed in {**LINES, **(changes or {})}.items():
        lines = [printed] if isinstance(printed, str) else list(printed)
        seen = (labels or {}).get(label, label)
        left = INDENT_X if label in INDENTED else LABEL_X
        first = f": {lines[0]}" if colons else lines[0]
        if glued:
            boxes.append(box(f"{seen}{first}", left, top))
        else:
            boxes += [box(seen, left, top)] if seen else []
            boxes += [box(first, VALUE_X, top)] if lines[0] else []
        if label == "Jenis Kelamin" and blood is not None:
            boxes.append(box(blood, 520, top))
        for line in lines[1:]:
            top += PITCH
            boxes.append(box(line, VALUE_X, top))
        top += 60 if label == "NIK" else PITCH
    boxes += [box("KOTA BEKASI", RIGHT_X, 423), box("12-03-2017", RIGHT_X, 453)]
    return boxes
