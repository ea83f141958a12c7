"""Pictures of the report: drawn specimens only."""

import io
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import cv2
import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.ocr.judging import Judged
from bench.ocr.photos import Photo, Plan, take
from bench.ocr.scores import Bin
from training.synth import CARD_HEIGHT, CARD_WIDTH
from training.synth.styles import font
from training.synth.tables import Pixels

mpl.use("Agg")
from matplotlib import pyplot as plt

BYTES_MAX: Final = 150_000
QUALITIES: Final = (88, 80, 70, 60, 50, 40)
"""Of JPEG; the first that keeps to BYTES_MAX is used."""
TILE_PX: Final = 230
COLUMNS: Final = 4
WORST_HEIGHT: Final = 400
LINE_PX: Final = 22
CAPTIONS_MAX: Final = 8
CAPTION_LETTERS: Final = 110
INK: Final = (20, 20, 20)
FOUND: Final = (220, 30, 30)
"""Colour of the outline as the engine found it."""
TRUE: Final = (20, 160, 60)
"""Colour of the outline as it was drawn."""
DOT_PX: Final = 7


def reliability(bins: Sequence[Bin], gap: float, path: Path) -> None:
    """Draws how often fields of each confidence are right.

    Args:
        bins: Fields by confidence.
        gap: The expected calibration error.
        path: PNG to write.
    """
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(6, 6), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    upper.plot((0, 1), (0, 1), "--", color="grey", label="honest")
    upper.plot(
        [one.confidence for one in bins], [one.right for one in bins], "o-", label="measured"
    )
    upper.set(ylabel="share that is right", title=f"Expected calibration error {gap:.4f}")
    upper.legend()
    upper.grid(alpha=0.3)
    lower.bar([one.confidence for one in bins], [one.count for one in bins], width=0.02)
    lower.set(xlabel="confidence that the engine gives", ylabel="fields", yscale="log")
    figure.savefig(path, dpi=90)
    plt.close(figure)


def examples(plans: Sequence[Plan], path: Path) -> None:
    """Shows one photo of each plan, with the name of its group."""
    rows = -(-len(plans) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * TILE_PX, rows * (TILE_PX + LINE_PX)), "white")
    pen = ImageDraw.Draw(sheet)
    for index, plan in enumerate(plans):
        photo = Image.fromarray(_pixels(take(plan)))
        photo.thumbnail((TILE_PX - 6, TILE_PX - 6))
        left = index % COLUMNS * TILE_PX
        top = index // COLUMNS * (TILE_PX + LINE_PX)
        sheet.paste(photo, (left + 3, top + LINE_PX))
        pen.text((left + 3, top + 3), plan.group, fill=INK, font=_font())
    _save(sheet, path)


def worst(card: Judged, path: Path) -> None:
    """Shows a photo, the rectified card, and what was read wrongly."""
    photo = take(card.plan)
    parts = [_outlined(photo, card), _rectified(photo)]
    captions = _captions(card)
    width = sum(part.width for part in parts) + 10
    height = WORST_HEIGHT + LINE_PX * len(captions) + 10
    sheet = Image.new("RGB", (width, height), "white")
    left = 0
    for part in parts:
        sheet.paste(part, (left, 0))
        left += part.width + 10
    pen = ImageDraw.Draw(sheet)
    for index, line in enumerate(captions):
        pen.text((4, WORST_HEIGHT + 6 + index * LINE_PX), line, fill=INK, font=_font())
    _save(sheet, path)


def _captions(card: Judged) -> list[str]:
    wrong = [value for value in card.values if not value.right]
    plan, outcome = card.plan, "crashed" if card.crash else f"taken for {card.kind}"
    lines = [
        f"{plan.group}, {plan.kind}, seed {plan.seed}, {outcome}: "
        f"{len(wrong)} of {len(card.values)} fields wrong"
    ]
    for value in islice(wrong, CAPTIONS_MAX):
        read = "nothing" if value.read is None else f"'{value.read}' ({value.confidence:.2f})"
        lines.append(f"{value.name}: read {read}, printed '{value.printed}'"[:CAPTION_LETTERS])
    return lines


def _outlined(photo: Photo, card: Judged) -> Image.Image:
    """Draws the outline as found over the one that is true."""
    picture = Image.fromarray(_pixels(photo))
    pen = ImageDraw.Draw(picture)
    size = np.asarray((photo.width, photo.height))
    found = np.asarray(card.outline) * size if card.outline else ()
    for corners, colour in ((photo.corners, TRUE), (found, FOUND)):
        points = [(float(x), float(y)) for x, y in corners]
        if points:
            pen.line([*points, points[0]], fill=colour, width=3)
            pen.circle(points[0], DOT_PX, fill=colour)
    width = round(photo.width * WORST_HEIGHT / photo.height)
    return picture.resize((width, WORST_HEIGHT), Image.Resampling.BILINEAR)


def _rectified(photo: Photo) -> Image.Image:
    width = round(WORST_HEIGHT * CARD_WIDTH / CARD_HEIGHT)
    goal = np.asarray(((0, 0), (width, 0), (width, WORST_HEIGHT), (0, WORST_HEIGHT)), np.float32)
    matrix = cv2.getPerspectiveTransform(photo.corners, goal)
    return Image.fromarray(
        cv2.warpPerspective(
            _pixels(photo), matrix, (width, WORST_HEIGHT), flags=cv2.INTER_AREA
        ).astype(np.uint8)
    )


def _pixels(photo: Photo) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(photo.jpeg)).convert("RGB"))


def _font() -> ImageFont.FreeTypeFont:
    return font("own:Arimo-Regular.ttf", 15)


def _save(picture: Image.Image, path: Path) -> None:
    for quality in QUALITIES:
        picture.save(path, quality=quality, optimize=True)
        if path.stat().st_size <= BYTES_MAX:
            return
