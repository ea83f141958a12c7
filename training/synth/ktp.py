"""Draws specimen KTPs: our own simplified style, never a real person's card."""

import numpy as np
from PIL import ImageDraw

from training.synth.backgrounds import make_background
from training.synth.drawing import Drawing, Role, silhouette, stamp, wrap
from training.synth.records import CardRecord
from training.synth.styles import CARD_HEIGHT, CARD_WIDTH, CardStyle, font

CITIZEN_TINT = (196, 221, 240)
FOREIGNER_TINT = (243, 206, 164)
RED, BLUE = (178, 52, 52), (58, 98, 178)
"""Backgrounds of photos: red for odd birth years, blue for even ones."""

_Row = tuple[str, str, bool]


def draw_ktp(record: CardRecord, style: CardStyle, rng: np.random.Generator) -> Drawing:
    """Draws the record in a style; the generator decides the small things."""
    base = CITIZEN_TINT if record.kewarganegaraan == "WNI" else FOREIGNER_TINT
    tint = tuple(int(value + rng.integers(-10, 11)) for value in base)
    background = make_background(
        style.background, (tint[0], tint[1], tint[2]), float(rng.uniform(4, 13)), rng
    )
    card = Drawing(background, style)
    stamp(card.image, rng)
    odd = int(record.tanggal_lahir[-4:]) % 2 == 1
    silhouette(card.image, style.template.photo, RED if odd else BLUE, rng)
    _header(card, record)
    _number(card, record, rng)
    _rows(card, record, rng)
    _issue(card, record, rng)
    return card


def _pitch(style: CardStyle) -> float:
    return style.template.pitch * CARD_HEIGHT


def _header(card: Drawing, record: CardRecord) -> None:
    template = card.style.template
    size = _pitch(card.style) * template.header_height
    for index, text in enumerate((f"PROVINSI {record.provinsi}", record.kota)):
        baseline = (template.header_y + index * template.header_gap) * CARD_HEIGHT + size * 0.36
        card.write(text, CARD_WIDTH / 2, baseline, size, Role.VALUE, bold=True, centred=True)


def _number(card: Drawing, record: CardRecord, rng: np.random.Generator) -> None:
    template = card.style.template
    size = _pitch(card.style) * template.nik_height
    baseline = template.nik_y * CARD_HEIGHT + size * 0.8
    label_end = card.write("NIK", template.label_x * CARD_WIDTH, baseline, size * 0.95, Role.LABEL,
                           bold=True)  # fmt: skip
    colon = max(label_end + 4, template.nik_value_x * CARD_WIDTH - 24)
    card.write(":", colon, baseline, size * 0.95, None, bold=True)
    card.write(record.nik, max(colon + 16, template.nik_value_x * CARD_WIDTH), baseline,
               size * float(rng.uniform(0.97, 1.04)), Role.VALUE, name=card.style.nik_font,
               stroke=card.style.nik_stroke)  # fmt: skip


def _rows(card: Drawing, record: CardRecord, rng: np.random.Generator) -> None:
    template, pitch = card.style.template, _pitch(card.style)
    size = pitch * template.text_height
    bold = template.bold_values
    used = font(
        card.style.typeface.bold if bold else card.style.typeface.regular, round(size * 2) / 2
    )
    right = template.photo[0] * CARD_WIDTH - 14
    value_x, baseline = (
        template.value_x * CARD_WIDTH,
        template.first_row_y * CARD_HEIGHT + size * 0.8,
    )
    lost_colon = rng.random() < 0.06
    for label, value, indented in _labelled_values(record, template.wording):
        x = (template.label_x + (template.indent if indented else 0)) * CARD_WIDTH
        end = card.write(label, x, baseline, size, Role.LABEL, bold=template.bold_labels)
        shift = float(rng.normal(0, 0.6))
        if not lost_colon:
            glued = rng.random() < 0.08
            card.write(":", end + 1 if glued else max(end + 1, template.colon_x * CARD_WIDTH),
                       baseline, size, None)  # fmt: skip
        sex = label.lower() == "jenis kelamin"
        room = (template.blood_x * CARD_WIDTH - 12 if sex else right) - value_x
        lines = wrap(value, used, room)
        for index, line in enumerate(lines):
            start = max(value_x, end + 12) if index == 0 else value_x
            card.write(line, start, baseline + shift, size, Role.VALUE, bold=bold)
            if index < len(lines) - 1:
                baseline += pitch
        if sex:
            _blood(card, record, baseline, size, bold)
        baseline += pitch


def _blood(card: Drawing, record: CardRecord, baseline: float, size: float, bold: bool) -> None:
    template = card.style.template
    label = ("Gol. Darah", "Gol Darah", "Gol. darah", "Gol. Darah")[template.wording]
    end = card.write(label, template.blood_x * CARD_WIDTH, baseline, size, Role.LABEL,
                     bold=template.bold_labels)  # fmt: skip
    end = card.write(":", end + 4, baseline, size, None)
    card.write(record.golongan_darah, end + 8, baseline, size, Role.VALUE, bold=bold)


def _labelled_values(record: CardRecord, wording: int) -> list[_Row]:
    rt_rw = record.rt_rw.replace("/", " / ") if wording == 1 else record.rt_rw
    born = record.tanggal_lahir
    born = f"{born[:6]} {born[6:]}" if wording == 3 else born
    return [
        ("Nama", record.nama, False),
        (("Tempat/Tgl Lahir", "Tempat/Tgl. Lahir", "Tempat/Tgl Lahir", "Tempat/Tgl Lahir")[wording],
         f"{record.tempat_lahir}, {born}", False),
        (("Jenis Kelamin", "Jenis kelamin", "Jenis Kelamin", "Jenis kelamin")[wording],
         record.jenis_kelamin, False),
        ("Alamat", record.alamat, False),
        ("RT/RW", rt_rw, True),
        (("Kel/Desa", "Kel/Desa", "Kel / Desa", "Kel/Desa")[wording], record.kel_desa, True),
        ("Kecamatan", record.kecamatan, True),
        ("Agama", record.agama, False),
        ("Status perkawinan" if wording == 2 else "Status Perkawinan", record.status_perkawinan,
         False),
        ("Pekerjaan", record.pekerjaan, False),
        ("Kewarganegaraan", record.kewarganegaraan, False),
        (("Berlaku Hingga", "Berlaku Hingga", "Berlaku hingga", "Berlaku Hingga")[wording],
         record.berlaku_hingga, False),
    ]  # fmt: skip


def _issue(card: Drawing, record: CardRecord, rng: np.random.Generator) -> None:
    template = card.style.template
    size = _pitch(card.style) * template.text_height * 0.9
    middle = (template.photo[0] + template.photo[2]) / 2 * CARD_WIDTH
    used = font(card.style.typeface.regular, round(size * 2) / 2)
    widest = (template.photo[2] - template.photo[0]) * CARD_WIDTH + 30
    size = min(size, size * widest / used.getlength(record.tempat_terbit))
    top = template.photo[3] * CARD_HEIGHT
    for index, text in enumerate((record.tempat_terbit, record.tanggal_terbit)):
        baseline = top + 28 + index * _pitch(card.style) * 0.98
        card.write(text, middle, baseline, size, Role.VALUE, centred=True)
    signature(card, middle, top + 105, rng)


def signature(card: Drawing, x: float, y: float, rng: np.random.Generator) -> None:
    """Scribbles a line that is no one's name."""
    steps = np.linspace(0, 1, 60)
    height = np.cumsum(rng.normal(0, 5, 60)) + 9 * np.sin(steps * rng.uniform(15, 40))
    points = [
        (float(x - 70 + 140 * step), float(y + up))
        for step, up in zip(steps, height.clip(-26, 26), strict=True)
    ]
    ImageDraw.Draw(card.image).line(points, fill=(30, 30, 50), width=2, joint="curve")
