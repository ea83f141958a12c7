"""What a drawn card is: the picture, and where each piece of text stands on it."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.synth.styles import CARD_HEIGHT, CARD_WIDTH, CardStyle, font

INK = (28, 30, 36)
STAMP = (196, 40, 40)


class Role(StrEnum):
    """Says what a piece of text is for."""

    LABEL = "LABEL"
    """Printed on every card of its kind."""
    VALUE = "VALUE"
    """This holder's."""


@dataclass(frozen=True)
class PlacedText:
    """Holds a line of text and its place: top of its capitals to its baseline, in card pixels."""

    text: str
    role: Role
    left: float
    top: float
    right: float
    bottom: float


@dataclass
class Drawing:
    """Draws on a card, and keeps where each text stands."""

    image: Image.Image
    """CARD_WIDTH x CARD_HEIGHT, RGB."""
    style: CardStyle
    texts: list[PlacedText] = field(default_factory=list)

    @property
    def pixels(self) -> np.ndarray:
        """Returns the picture as CARD_HEIGHT x CARD_WIDTH x RGB, uint8."""
        return np.asarray(self.image)

    def write(
        self,
        text: str,
        x: float,
        baseline: float,
        size: float,
        role: Role | None,
        *,
        bold: bool = False,
        name: str = "",
        stroke: float | None = None,
        ink: tuple[int, int, int] = INK,
        centred: bool = False,
    ) -> float:
        """Writes one line, keeps where it stands, and returns its right edge.

        Args:
            text: What is written.
            x: Left edge in pixels, or the middle when `centred`.
            baseline: Where the letters stand, in pixels.
            size: Of the font, in pixels.
            role: What it is for; None: not to be read.
            bold: The bold font of the style.
            name: Another font.
            stroke: Thickening in pixels; the style's when absent.
            ink: Colour.
            centred: Whether x is the middle.
        """
        typeface = self.style.typeface
        used = font(name or (typeface.bold if bold else typeface.regular), round(size * 2) / 2)
        left = x - used.getlength(text) / 2 if centred else x
        ImageDraw.Draw(self.image).text(
            (left, baseline), text, font=used, fill=ink, anchor="ls",
            stroke_width=self.style.stroke if stroke is None else stroke,
        )  # fmt: skip
        right = left + used.getlength(text)
        if role is not None and text.strip():
            self.texts.append(
                PlacedText(text, role, left, baseline - cap_height(used), right, baseline)
            )
        return right


def cap_height(used: ImageFont.FreeTypeFont) -> float:
    """Returns the height of the capital letters, in pixels."""
    return float(-used.getbbox("H", anchor="ls")[1])


def wrap(text: str, used: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Breaks a value at the last blank that fits, as the card printers do."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}".strip()
        if line and used.getlength(longer) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line]


def stamp(card: Image.Image, rng: np.random.Generator) -> None:
    """Writes SPESIMEN across the card, pale, so nobody can take it for a real one."""
    layer = Image.new("L", card.size, 0)
    centre = (CARD_WIDTH * rng.uniform(0.35, 0.5), CARD_HEIGHT * rng.uniform(0.45, 0.6))
    ImageDraw.Draw(layer).text(
        centre, "SPESIMEN", font=font("own:Arimo-Bold.ttf", 150), fill=26, anchor="mm"
    )
    turned = layer.rotate(
        float(rng.uniform(15, 32)), center=centre, resample=Image.Resampling.BICUBIC
    )
    card.paste(Image.new("RGB", card.size, STAMP), mask=turned)


def silhouette(
    card: Image.Image,
    box: tuple[float, float, float, float],
    ground: tuple[int, int, int],
    rng: np.random.Generator,
) -> None:
    """Draws a head and shoulders in one shade, stamped SPESIMEN: nobody's portrait."""
    left, top, right, bottom = (
        round(f * s) for f, s in zip(box, (CARD_WIDTH, CARD_HEIGHT) * 2, strict=True)
    )
    photo = Image.new("RGB", (right - left, bottom - top), ground)
    pen, (width, height) = ImageDraw.Draw(photo), photo.size
    shade = tuple(int(value) for value in rng.integers(60, 140, 3))
    lean, head = rng.uniform(-0.04, 0.04), rng.uniform(0.19, 0.25)
    middle = width * (0.5 + lean)
    pen.ellipse(
        (middle - width * head, height * 0.14, middle + width * head, height * 0.56), fill=shade
    )
    pen.pieslice((width * 0.08, height * 0.6, width * 0.92, height * 1.5), 180, 360, fill=shade)
    layer = Image.new("L", photo.size, 0)
    letters = font("own:Arimo-Bold.ttf", round(width * 0.17))
    ImageDraw.Draw(layer).text(
        (width / 2, height * 0.5), "SPESIMEN", font=letters, fill=215, anchor="mm"
    )
    photo.paste(Image.new("RGB", photo.size, STAMP), mask=layer.rotate(38))
    card.paste(photo, (left, top))
