"""Looks at a photo before it is read, and says how to take a better one.

Every measure is in shares of the card's width or of the light on it, so that it does not matter
how many pixels the photo has.
"""

from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ocr_engine.parsing import Advice, Quality
from ocr_engine.vision.crops import Grey
from ocr_engine.vision.detector import FoundCard
from ocr_engine.vision.rectification import Pixels

INNER: Final = (slice(20, 611), slice(20, 980))
"""Rows and columns of a rectified card that its rounded edge does not touch."""

FINE_PX: Final = 2.0
COARSE_PX: Final = 5.0
"""Scales at which edges are compared. Finer than this there is noise and the photo's own grid."""
BLURRED_BELOW: Final = 1.6
"""Sharp edges are COARSE_PX / FINE_PX times as steep at the finer scale, blurred ones as steep.

This is what a blur of about 4 pixels leaves of a card that is 1,000 pixels wide.
"""

DARK_BELOW: Final = 70.0
"""Grey level, of 255, that the brighter quarter of the card does not reach."""

CELL_PX: Final = 10
"""Side of the cells of the rectified card in which glare is looked for."""
BURNT_FROM: Final = 250.0
"""Mean grey level of a cell from which nothing can be told on it."""
SPOT_CELLS: Final = 4
"""Width of the smallest lamp's spot that hides something."""
HALO_CELLS: Final = 7
"""How far around a spot its own light is not counted as the room's."""
DARK_PRINT: Final = 0.7
"""Share of the paper's grey level below which something else than paper is seen."""
EVEN_CELLS_MIN: Final = 300
"""Cells of plain paper from which the room's light can be told; else all is taken for burnt."""
EVEN_MAX: Final = 244.0
"""Where the room's light alone makes paper brighter than this, daylight burnt it out, no lamp."""
GLARE_SHARE_ABOVE: Final = 0.002

CARD_WIDTH_MIN_PX: Final = 400.0
"""Letters are about five pixels high then."""

COLOURLESS_BELOW: Final = 0.03
"""How far the portrait's ground is from the paper's colour: red and blue are 0.1, copies none."""

MOIRE_ABOVE: Final = 6.0
"""The highest peak of the spectrum, over the usual height beside it; noise has up to 4.5."""
SPECTRUM_SIDE_PX: Final = 512
PATCH_SIDE_MIN_PX: Final = 64
PERIODS_PX: Final = (2.1, 4.6)
"""Distance of a display's lines on a photo on which they can be seen as lines."""
LINES_MIN: Final = 215.0
"""A display shows a card with more lines than this; the printed patterns have fewer."""
CROSSING_BINS: Final = 13
"""How far from the right angle, in the spectrum, the lines that cross the others may be."""
TEXT_CONTRAST: Final = 0.12
"""Share of the light that a display's grid takes at most; letters take more."""

OUTSIDE_MAX: Final = 0.012
"""How far a corner may lie outside the photo, as a share of the photo's longer side."""

_Plane = NDArray[np.float32]


def measure(photo: Pixels, card: FoundCard, rectified: Pixels) -> Quality:
    """Measures the card on a photo, and gives the advice that follows.

    Args:
        photo: The whole photo.
        card: Where the card is on it.
        rectified: The card, rectified.
    """
    inner = rectified[INNER]
    grey = _grey(inner)
    quality = Quality(
        sharpness=_sharpness(grey),
        brightness=float(np.percentile(grey[::3, ::3], 75)),
        glare_share=_glare_share(grey),
        saturation=_colours(inner),
        moire=_moire(photo, card),
        card_width_px=card.width_px,
    )
    copied = quality.saturation < COLOURLESS_BELOW
    # A copy's paper is as white as burnt out paper.
    glaring = quality.glare_share > GLARE_SHARE_ABOVE and not copied
    advice = (
        (Advice.CROPPED, _is_cropped(photo, card)),
        (Advice.TOO_SMALL, quality.card_width_px < CARD_WIDTH_MIN_PX),
        (Advice.TOO_DARK, quality.brightness < DARK_BELOW),
        (Advice.BLURRED, quality.sharpness < BLURRED_BELOW),
        (Advice.GLARE, glaring),
        (Advice.PHOTOCOPY, copied),
        (Advice.SCREEN, quality.moire > MOIRE_ABOVE),
    )
    return replace(quality, advice=tuple(kind for kind, holds in advice if holds))


def _grey(pixels: Pixels) -> Grey:
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


def _sharpness(grey: Grey) -> float:
    """Returns how much steeper the strongest edges are at a finer scale."""
    fine, coarse = (_steepness(grey, scale) for scale in (FINE_PX, COARSE_PX))
    strong = coarse > np.percentile(coarse[::3, ::3], 90)
    return float(np.percentile(fine[strong] / coarse[strong], 75)) if strong.any() else 0.0


def _steepness(grey: Grey, scale: float) -> _Plane:
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), scale)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return cv2.magnitude(across, down).astype(np.float32, copy=False)


def _glare_share(grey: Grey) -> float:
    """Returns the share that is burnt out where the light on the rest does not account for it."""
    size = (grey.shape[1] // CELL_PX, grey.shape[0] // CELL_PX)
    cells = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    burnt = (cells >= BURNT_FROM).astype(np.uint8)
    # The paper's pattern and thin ink still show in places.
    whole = cv2.morphologyEx(burnt, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    # White things that are printed, such as a flag or a title, are smaller than a lamp's spot.
    spots = cv2.morphologyEx(whole, cv2.MORPH_OPEN, np.ones((SPOT_CELLS,) * 2, np.uint8)) > 0
    return float((spots & (_even_light(cells, spots) < EVEN_MAX)).mean()) if spots.any() else 0.0


def _even_light(cells: Grey, spots: NDArray[np.bool_]) -> _Plane:
    """Returns the grey level of bare paper under the light of the room, which changes evenly."""
    # Ink makes cells dark: the light is what the paper around it shows.
    paper = cv2.dilate(cells, np.ones((3, 3), np.uint8)).astype(np.float32)
    near = cv2.dilate(spots.astype(np.uint8), np.ones((HALO_CELLS,) * 2, np.uint8)) > 0
    y, x = np.mgrid[-1 : 1 : paper.shape[0] * 1j, -1 : 1 : paper.shape[1] * 1j]
    terms = np.stack((np.ones_like(x), x, y), axis=-1)
    # The portrait and printed bands are darker than paper.
    used = ~near & (paper > DARK_PRINT * np.percentile(paper, 80))
    light = np.full(paper.shape, 255.0)
    for _ in range(4):
        if used.sum() < EVEN_CELLS_MIN:
            break
        solution, *_ = np.linalg.lstsq(terms[used], paper[used], rcond=None)
        light = terms @ solution
        away = np.abs(paper - light)
        used &= away <= max(8.0, 1.5 * float(away[used].mean()))
    return light.astype(np.float32)


def _colours(inner: Pixels) -> float:
    """Returns how far the most colourful twentieth is from the usual colour, in any light."""
    small = cv2.resize(inner, (120, 72), interpolation=cv2.INTER_AREA).astype(np.float32) + 4
    shares = (small / small.sum(axis=2, keepdims=True)).reshape(-1, 3)
    away = np.linalg.norm(shares - np.median(shares, axis=0), axis=1)
    return float(np.percentile(away, 95))


def _moire(photo: Pixels, card: FoundCard) -> float:
    """Looks for the crossing lines of a display in the middle of the card, on the photo's pixels.

    Rectification would blur them. Printed patterns bend with the card, run one way, or are wider.
    """
    patch = _middle(photo, card)
    if patch is None:
        return 0.0
    spectrum = np.abs(np.fft.fft2(patch, (SPECTRUM_SIDE_PX, SPECTRUM_SIDE_PX)))
    spectrum = np.fft.fftshift(spectrum).astype(np.float32)
    peaks = spectrum / (cv2.blur(spectrum, (31, 31)) + 1e-6)
    place = np.fft.fftshift(np.fft.fftfreq(SPECTRUM_SIDE_PX))
    frequency = np.hypot(place[:, None], place[None])
    lowest = max(1 / PERIODS_PX[1], LINES_MIN / card.width_px)
    peaks[(frequency < lowest) | (frequency > 1 / PERIODS_PX[0])] = 0
    crossing = cv2.dilate(np.rot90(peaks).copy(), np.ones((CROSSING_BINS,) * 2, np.uint8))
    return float(np.minimum(peaks, crossing).max())


def _middle(photo: Pixels, card: FoundCard) -> _Plane | None:
    """Cuts out the card's fine detail, relative to the light, fading out towards all sides."""
    low, high = np.floor(card.corners.min(axis=0)), np.ceil(card.corners.max(axis=0))
    centre, half = (low + high) // 2, SPECTRUM_SIDE_PX // 2
    left, top = np.maximum(np.maximum(low, centre - half), 0).astype(int)
    right, bottom = np.minimum(np.minimum(high, centre + half), photo.shape[1::-1]).astype(int)
    if min(right - left, bottom - top) < PATCH_SIDE_MIN_PX:
        return None
    patch = _grey(np.ascontiguousarray(photo[top:bottom, left:right])).astype(np.float32)
    around = cv2.blur(patch, (9, 9))
    detail = ((patch - around) / (around + 8)).clip(-TEXT_CONTRAST, TEXT_CONTRAST)
    inside = card.corners + (card.corners.mean(axis=0) - card.corners) * 0.08 - (left, top)
    mask = np.zeros(patch.shape, np.float32)
    cv2.fillConvexPoly(mask, np.round(inside).astype(np.int32), 1.0)
    fading = np.hanning(patch.shape[0])[:, None] * np.hanning(patch.shape[1])[None]
    return (detail * cv2.blur(mask, (15, 15)) * fading).astype(np.float32)


def _is_cropped(photo: Pixels, card: FoundCard) -> bool:
    """Tells whether a corner lies outside the photo, or at its edge and was not seen."""
    size = np.asarray((photo.shape[1], photo.shape[0]), np.float32)
    allowed = OUTSIDE_MAX * float(size.max())
    outside = ((card.corners < -allowed) | (card.corners > size + allowed)).any(axis=1)
    at_edge = ((card.corners < allowed) | (card.corners > size - allowed)).any(axis=1)
    return bool((outside | (at_edge & ~np.asarray(card.seen))).any())
