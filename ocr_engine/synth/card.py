"""Draws a specimen identity card: our own simplified look, never a real person's."""

import math
from dataclasses import dataclass
from typing import cast

from PIL import Image, ImageDraw, ImageFont

from ocr_engine.synth.records import CardRecord, seeded

CARD_WIDTH = 1000
CARD_HEIGHT = 631
"""ID-1 proportions, 85.60 x 53.98 mm."""

ROW_PITCH = 0.049 * CARD_HEIGHT
FIRST_ROW_Y = 0.274 * CARD_HEIGHT
NIK_ROW_Y = 0.178 * CARD_HEIGHT
LABEL_X = 0.030 * CARD_WIDTH
INDENTED_LABEL_X = 0.055 * CARD_WIDTH
COLON_X = 0.262 * CARD_WIDTH
VALUE_X = 0.278 * CARD_WIDTH
NIK_VALUE_X = 0.205 * CARD_WIDTH
VALUE_RIGHT = 0.700 * CARD_WIDTH
BLOOD_X = 0.520 * CARD_WIDTH
PHOTO_BOX = tuple(
    round(f * s)
    for f, s in zip((0.735, 0.206, 0.948, 0.655), (CARD_WIDTH, CARD_HEIGHT) * 2, strict=True)
)
INK = (28, 30, 36)
STAMP = (196, 40, 40)

_Colour = tuple[int, int, int]


@dataclass(frozen=True)
class CardStyle:
    """What varies between printing batches."""

    stroke: float
    text_size: int
    label_variants: bool
    spaced_rt_rw: bool
    photo_background: _Colour
    tint: _Colour
    phase: float


def random_style(record: CardRecord, seed: int) -> CardStyle:
    """Chooses a printing batch's look; odd birth years have a red photo background."""
    rng = seeded("style", seed)
    odd = int(record.tanggal_lahir[-4:]) % 2 == 1
    return CardStyle(
        stroke=rng.choice((0, 0, 0.5)),
        text_size=rng.choice((23, 24, 25)),
        label_variants=rng.random() < 0.5,
        spaced_rt_rw=rng.random() < 0.2,
        photo_background=(178, 52, 52) if odd else (58, 98, 178),
        tint=(rng.randrange(186, 206), rng.randrange(216, 230), rng.randrange(236, 248)),
        phase=rng.random() * math.tau,
    )


def draw_card(record: CardRecord, seed: int) -> Image.Image:
    """Draws the record as a card of CARD_WIDTH x CARD_HEIGHT; the seed chooses the look."""
    style = random_style(record, seed)
    card = _background(style)
    _stamp(card, size=150, angle=24, centre=(CARD_WIDTH * 0.42, CARD_HEIGHT * 0.55), alpha=26)
    _photo(card, style)
    _stamp(card, size=44, angle=38, centre=(CARD_WIDTH * 0.842, CARD_HEIGHT * 0.43), alpha=215)
    pen = ImageDraw.Draw(card)
    _header(pen, record)
    _rows(pen, record, style)
    _issue(pen, record, style)
    return card


def _font(size: float) -> ImageFont.FreeTypeFont:
    """Pillow's own embedded sans serif: the same on every machine."""
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))


def _background(style: CardStyle) -> Image.Image:
    card = Image.new("RGB", (CARD_WIDTH, CARD_HEIGHT), style.tint)
    pen = ImageDraw.Draw(card)
    red, green, blue = style.tint
    wave = (red - 10, green - 7, blue - 4)
    for base in range(-20, CARD_HEIGHT + 20, 14):
        points = [
            (x, base + 9 * math.sin(x / 90 + base / 70 + style.phase))
            for x in range(0, CARD_WIDTH + 10, 10)
        ]
        pen.line(points, fill=wave, width=2)
    globe = (red + 8, green + 5, blue + 3)
    for radius in range(40, 220, 30):
        centre_x, centre_y = CARD_WIDTH * 0.45, CARD_HEIGHT * 0.55
        pen.ellipse(
            (centre_x - radius, centre_y - 200, centre_x + radius, centre_y + 200), outline=globe
        )
    return card


def _stamp(
    card: Image.Image, size: int, angle: float, centre: tuple[float, float], alpha: int
) -> None:
    """Writes SPESIMEN across the card, so nobody can take it for a real one."""
    layer = Image.new("RGBA", card.size, (*STAMP, 0))
    ImageDraw.Draw(layer).text(
        centre, "SPESIMEN", font=_font(size), fill=(*STAMP, alpha), anchor="mm", stroke_width=1
    )
    turned = layer.rotate(angle, center=centre, resample=Image.Resampling.BICUBIC)
    card.paste(turned.convert("RGB"), mask=turned.getchannel("A"))


def _photo(card: Image.Image, style: CardStyle) -> None:
    left, top, right, bottom = PHOTO_BOX
    pen = ImageDraw.Draw(card)
    pen.rectangle(PHOTO_BOX, fill=style.photo_background)
    middle, width, height = (left + right) / 2, right - left, bottom - top
    shade = (92, 92, 96)
    pen.ellipse(
        (middle - width * 0.22, top + height * 0.16, middle + width * 0.22, top + height * 0.56),
        fill=shade,
    )
    pen.pieslice(
        (left + width * 0.1, top + height * 0.6, right - width * 0.1, bottom + height * 0.4),
        180, 360, fill=shade,
    )  # fmt: skip


def _header(pen: ImageDraw.ImageDraw, record: CardRecord) -> None:
    middle = CARD_WIDTH / 2
    pen.text((middle, 0.062 * CARD_HEIGHT), f"PROVINSI {record.provinsi}",
             font=_font(31), fill=INK, anchor="mm", stroke_width=0.5)  # fmt: skip
    pen.text((middle, 0.120 * CARD_HEIGHT), record.kota,
             font=_font(31), fill=INK, anchor="mm", stroke_width=0.5)  # fmt: skip


def _rows(pen: ImageDraw.ImageDraw, record: CardRecord, style: CardStyle) -> None:
    font = _font(style.text_size)

    def write(x: float, y: float, text: str) -> None:
        pen.text((x, y), text, font=font, fill=INK, stroke_width=style.stroke)

    pen.text((LABEL_X, NIK_ROW_Y), "NIK", font=_font(36), fill=INK, stroke_width=0.5)
    pen.text((NIK_VALUE_X - 22, NIK_ROW_Y), ":", font=_font(36), fill=INK)
    pen.text((NIK_VALUE_X, NIK_ROW_Y), record.nik, font=_font(40), fill=INK, stroke_width=0.5)
    y = FIRST_ROW_Y
    for label, value, indented in _labelled_values(record, style):
        write(INDENTED_LABEL_X if indented else LABEL_X, y, label)
        write(COLON_X, y, ":")
        lines = _wrap(value, font)
        for line in lines:
            write(VALUE_X, y, line)
            if line is not lines[-1]:
                y += ROW_PITCH
        if label.lower() == "jenis kelamin":
            blood = "Gol Darah" if style.label_variants else "Gol. Darah"
            write(BLOOD_X, y, f"{blood} : {record.golongan_darah}")
        y += ROW_PITCH


def _labelled_values(record: CardRecord, style: CardStyle) -> list[tuple[str, str, bool]]:
    sex = "Jenis kelamin" if style.label_variants else "Jenis Kelamin"
    rt_rw = record.rt_rw.replace("/", " / ") if style.spaced_rt_rw else record.rt_rw
    return [
        ("Nama", record.nama, False),
        ("Tempat/Tgl Lahir", f"{record.tempat_lahir}, {record.tanggal_lahir}", False),
        (sex, record.jenis_kelamin, False),
        ("Alamat", record.alamat, False),
        ("RT/RW", rt_rw, True),
        ("Kel/Desa", record.kel_desa, True),
        ("Kecamatan", record.kecamatan, True),
        ("Agama", record.agama, False),
        ("Status Perkawinan", record.status_perkawinan, False),
        ("Pekerjaan", record.pekerjaan, False),
        ("Kewarganegaraan", record.kewarganegaraan, False),
        ("Berlaku Hingga", record.berlaku_hingga, False),
    ]


def _wrap(value: str, font: ImageFont.FreeTypeFont) -> list[str]:
    """Breaks a value at the last blank that fits, as the card printers do."""
    lines: list[str] = []
    line = ""
    for word in value.split(" "):
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > VALUE_RIGHT - VALUE_X:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line]


def _issue(pen: ImageDraw.ImageDraw, record: CardRecord, style: CardStyle) -> None:
    font = _font(style.text_size - 3)
    middle = (PHOTO_BOX[0] + PHOTO_BOX[2]) / 2
    for text, y in ((record.tempat_terbit, 0.690), (record.tanggal_terbit, 0.738)):
        pen.text((middle, y * CARD_HEIGHT), text, font=font, fill=INK, anchor="mm")
    scribble = [
        (middle - 70 + 2 * i, (0.83 + 0.03 * math.sin(i * 0.31 + style.phase)) * CARD_HEIGHT)
        for i in range(71)
    ]
    pen.line(scribble, fill=INK, width=2, joint="curve")
