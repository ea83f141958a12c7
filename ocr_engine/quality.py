"""Measures a photo and says how to take a better one."""

from typing import Final

import cv2
import numpy as np

from ocr_engine.domain import Advice, Quality, TextBox
from ocr_engine.imaging import Pixels

BLURRED_BELOW: Final = 140.0
"""Below this, values are lost in cards drawn and blurred on purpose; sharp ones have 1,500."""
DARK_BELOW: Final = 60.0
"""Mean grey level, of 255."""
GLARE_FROM: Final = 250
"""Grey level from which a pixel counts as burnt out."""
GLARE_SHARE_ABOVE: Final = 0.08
TEXT_HEIGHT_MIN_PX: Final = 12.0
CARD_SIDE_MIN_PX: Final = 200
"""No card can be read from a picture whose longer side has fewer pixels."""


def measure(pixels: Pixels, boxes: list[TextBox]) -> Quality:
    """Measures sharpness, light and size, where there is text if any was found."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    patches = [patch for box in boxes if (patch := _cut(grey, box)).size > 0] or [grey]
    sharpness = float(np.median([_sharpness(patch) for patch in patches]))
    brightness = float(np.mean([patch.mean() for patch in patches]))
    glare_share = float((grey >= GLARE_FROM).mean())
    advice = []
    if sharpness < BLURRED_BELOW:
        advice.append(Advice.BLURRED)
    if brightness < DARK_BELOW:
        advice.append(Advice.TOO_DARK)
    if glare_share > GLARE_SHARE_ABOVE:
        advice.append(Advice.GLARE)
    if _is_small(pixels, boxes):
        advice.append(Advice.TOO_SMALL)
    return Quality(sharpness, brightness, glare_share, tuple(advice))


def _sharpness(grey: cv2.typing.MatLike) -> float:
    """Variance of the Laplacian, without the sensor's noise, which would pass for detail."""
    return float(cv2.Laplacian(cv2.medianBlur(grey, 3), cv2.CV_64F).var())


def _cut(grey: cv2.typing.MatLike, box: TextBox) -> cv2.typing.MatLike:
    top, left = max(0, int(box.top)), max(0, int(box.left))
    return grey[top : int(box.bottom), left : int(box.right)]


def _is_small(pixels: Pixels, boxes: list[TextBox]) -> bool:
    if max(pixels.shape[:2]) < CARD_SIDE_MIN_PX:
        return True
    return bool(boxes) and float(np.median([box.height for box in boxes])) < TEXT_HEIGHT_MIN_PX
