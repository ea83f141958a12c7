"""Draws specimen driving licences (SIM) in their three layouts."""

import numpy as np
from PIL import ImageDraw

from training.synth.backgrounds import make_background
from training.synth.drawing import INK, Drawing, Role, silhouette, stamp, wrap
from training.synth.ktp import signature
from training.synth.records import SimLayout, SimRecord
from training.synth.styles import CARD_HEIGHT, CARD_WIDTH, CardStyle, font

TINTS = {
    SimLayout.LABELLED: (238, 214, 200),
    SimLayout.NUMBERED: (226, 232, 236),
    SimLayout.BILINGUAL: (232, 236, 226),
}
BAND = (176, 34, 40)
WHITE = (250, 250, 250)
PITCH = 0.056 * CARD_HEIGHT


def draw_sim(record: SimRecord, style: CardStyle, rng: np.random.Generator) -> Drawing:
    """Draws the record in a style, in the layout that the record names."""
    tint = [int(value + rng.integers(-10, 11)) for value in TINTS[record.layout]]
    background = make_background(
        style.background, (tint[0], tint[1], tint[2]), float(rng.uniform(4, 11)), rng
    )
    card = Drawing(background, style)
    stamp(card.image, rng)
    if record.layout is SimLayout.LABELLED:
        _draw_labelled(card, record, rng)
    else:
        _draw_band(card, record, rng)
        if record.layout is SimLayout.NUMBERED:
            _draw_numbered(card, record, rng)
        else:
            _draw_bilingual(card, record, rng)
    return card


def _size(card: Drawing) -> float:
    return PITCH * min(card.style.template.text_height, 0.8) * 0.9


def _lines(card: Drawing, text: str, width: float, size: float) -> list[str]:
    face = card.style.typeface
    used = font(face.bold if card.style.template.bold_values else face.regular, round(size * 2) / 2)
    return wrap(text, used, width)


def _draw_labelled(card: Drawing, record: SimRecord, rng: np.random.Generator) -> None:
    template, size = card.style.template, _size(card)
    middle = CARD_WIDTH * 0.46
    y = template.header_y * CARD_HEIGHT
    card.write("KEPOLISIAN NEGARA REPUBLIK INDONESIA", middle, y + 12, size * 1.0, Role.LABEL,
               bold=True, centred=True)  # fmt: skip
    card.write("SURAT IZIN MENGEMUDI", middle, y + 12 + PITCH * 1.25, size * 1.35, Role.LABEL,
               bold=True, centred=True)  # fmt: skip
    large = PITCH * (1.9 if len(record.golongan) < 4 else 1.1)
    card.write(
        record.golongan, CARD_WIDTH * 0.86, y + 60, large, Role.VALUE, bold=True, centred=True
    )
    silhouette(card.image, (0.735, 0.26, 0.935, 0.70), (178, 52, 52), rng)
    baseline = 0.30 * CARD_HEIGHT
    for label, value in _labelled_rows(record, template.wording):
        card.write(label, template.label_x * CARD_WIDTH, baseline, size, Role.LABEL,
                   bold=template.bold_labels)  # fmt: skip
        card.write(":", template.colon_x * CARD_WIDTH, baseline, size, None)
        for line in _lines(card, value, CARD_WIDTH * 0.72 - template.value_x * CARD_WIDTH, size):
            card.write(line, template.value_x * CARD_WIDTH, baseline, size, Role.VALUE,
                       bold=template.bold_values)  # fmt: skip
            baseline += PITCH
    card.write(record.wilayah, CARD_WIDTH * 0.835, CARD_HEIGHT * 0.78, size * 0.9, Role.VALUE,
               centred=True)  # fmt: skip
    signature(card, CARD_WIDTH * 0.83, CARD_HEIGHT * 0.88, rng)


def _labelled_rows(record: SimRecord, wording: int) -> list[tuple[str, str]]:
    birth = f"{record.tempat_lahir}, {record.tanggal_lahir}"
    born = (
        [("Tempat Lahir", record.tempat_lahir), ("Tgl. Lahir", record.tanggal_lahir)]
        if wording == 2
        else [(("Tempat & Tgl. Lahir", "Tempat & Tgl Lahir")[wording % 2], birth)]
    )
    rows = [
        ("Nama", record.nama),
        ("Alamat", record.alamat),
        *born,
        ("Tinggi", f"{150 + len(record.nama) * 7 % 35} cm"),
        ("Jenis Kelamin", record.jenis_kelamin),
        ("Gol. Darah", record.golongan_darah),
        ("Pekerjaan", record.pekerjaan),
        ("No. SIM", record.nomor_sim),
        (
            ("Berlaku s/d", "Berlaku s.d.", "Berlaku s/d", "Berlaku s/d")[wording],
            record.berlaku_hingga,
        ),
    ]
    return [(label, value) for label, value in rows if value]


def _draw_band(card: Drawing, record: SimRecord, rng: np.random.Generator) -> None:
    """Draws the title, the class and the number, which two layouts share."""
    size = _size(card)
    pen = ImageDraw.Draw(card.image)
    pen.rectangle((0, 0, CARD_WIDTH, 0.215 * CARD_HEIGHT), fill=BAND)
    pen.rectangle((22, 18, 22 + 92, 18 + 62), fill=WHITE)
    pen.rectangle((22, 18, 22 + 92, 18 + 31), fill=(206, 30, 38))
    middle = CARD_WIDTH * float(rng.uniform(0.44, 0.52))
    for text, share, scale in (("INDONESIA", 0.062, 1.25), ("SURAT IZIN MENGEMUDI", 0.125, 1.3),
                               ("DRIVING LICENSE", 0.183, 1.05)):  # fmt: skip
        card.write(text, middle, share * CARD_HEIGHT + 6, size * scale, Role.LABEL, bold=True,
                   ink=WHITE, centred=True)  # fmt: skip
    card.write(record.golongan, CARD_WIDTH * 0.885, 0.145 * CARD_HEIGHT + 12,
               PITCH * (2.2 if len(record.golongan) < 4 else 1.0), Role.VALUE, bold=True, ink=WHITE,
               centred=True)  # fmt: skip
    face = card.style.nik_font if rng.random() < 0.3 else card.style.typeface.bold
    card.write(record.nomor_sim, card.style.template.sim_text_x * CARD_WIDTH, 0.292 * CARD_HEIGHT,
               size * 1.25, Role.VALUE, name=face)  # fmt: skip
    silhouette(
        card.image,
        (0.03, 0.26, 0.28, 0.80),
        (178, 52, 52) if rng.random() < 0.5 else (58, 98, 178),
        rng,
    )
    signature(card, CARD_WIDTH * 0.155, CARD_HEIGHT * 0.90, rng)


def _draw_numbered(card: Drawing, record: SimRecord, rng: np.random.Generator) -> None:
    size, left = _size(card), card.style.template.sim_text_x * CARD_WIDTH
    pitch = PITCH * float(rng.uniform(1.0, 1.1))
    baseline = 0.292 * CARD_HEIGHT + pitch * 1.35
    indent = float(rng.uniform(34, 44))
    values = (record.nama, f"{record.tempat_lahir}, {record.tanggal_lahir}",
              f"{record.golongan_darah} - {record.jenis_kelamin}", record.alamat, record.pekerjaan,
              record.wilayah)  # fmt: skip
    for number, value in enumerate(values, 1):
        card.write(f"{number}.", left, baseline, size, Role.LABEL)
        for line in _lines(card, value, CARD_WIDTH * 0.97 - left - indent, size):
            card.write(line, left + indent, baseline, size, Role.VALUE,
                       bold=card.style.template.bold_values)  # fmt: skip
            baseline += pitch
    card.write(record.berlaku_hingga, CARD_WIDTH * 0.80, CARD_HEIGHT * 0.94, size * 1.05,
               Role.VALUE, bold=True)  # fmt: skip


def _draw_bilingual(card: Drawing, record: SimRecord, rng: np.random.Generator) -> None:
    template, size = card.style.template, _size(card) * 0.88
    left = template.sim_text_x * CARD_WIDTH
    column = left + CARD_WIDTH * float(rng.uniform(0.31, 0.33))
    pitch = PITCH * float(rng.uniform(0.98, 1.06))
    baseline = 0.292 * CARD_HEIGHT + pitch * 1.35
    rows = (
        ("Nama/Name", record.nama),
        (
            "Tempat, Tgl. Lahir/Place, Date of Birth",
            f"{record.tempat_lahir}, {record.tanggal_lahir}",
        ),
        ("Gol. Darah/Blood Type", record.golongan_darah),
        ("Jenis Kelamin/Sex", record.jenis_kelamin),
        ("Alamat/Address", record.alamat),
        ("Pekerjaan/Occupation", record.pekerjaan),
        ("Diterbitkan Oleh/Issued By", record.wilayah),
        ("Berlaku Hingga/Valid Until", record.berlaku_hingga),
    )
    for label, value in rows:
        used = font(card.style.typeface.regular, round(size * 2) / 2)
        fitted = min(size, size * (column - left - 24) / used.getlength(label))
        card.write(label, left, baseline, fitted, Role.LABEL)
        card.write(":", column - 16, baseline, size, None)
        for line in _lines(card, value, CARD_WIDTH * 0.975 - column, size):
            card.write(line, column, baseline, size, Role.VALUE, bold=template.bold_values)
            baseline += pitch
    _code(card, rng)


def _code(card: Drawing, rng: np.random.Generator) -> None:
    """Draws something like a QR code; it says nothing."""
    cells = rng.random((21, 21)) < 0.5
    side, left, top = 4, CARD_WIDTH - 112, CARD_HEIGHT - 104
    pen = ImageDraw.Draw(card.image)
    pen.rectangle((left - 6, top - 6, left + 21 * side + 6, top + 21 * side + 6), fill=WHITE)
    for row, column in zip(*np.nonzero(cells), strict=True):
        x, y = left + int(column) * side, top + int(row) * side
        pen.rectangle((x, y, x + side - 1, y + side - 1), fill=INK)
