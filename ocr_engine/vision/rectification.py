"""The rectified card: every later step sees it the same way up and of the same size."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""Height x width x RGB."""
Corners = NDArray[np.float32]
"""4 x 2, x and y in pixels: top left, top right, bottom right, bottom left of the card's text."""

WIDTH: Final = 1000
HEIGHT: Final = 631
"""Pixels, in the proportions of ID-1 (85.60 x 53.98 mm, ISO/IEC 7810)."""
OUTLINE: Final = np.asarray(((0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)), np.float32)


def rectify(photo: Pixels, corners: Corners) -> Pixels:
    """Cuts a card out of a photo, HEIGHT x WIDTH, as if it had been seen from right above."""
    span = max(_length(corners, 0, 1), _length(corners, 3, 2))
    scale = WIDTH / max(span, 1.0)
    if scale < 0.7:
        # Warping samples single points: a larger card is first made smaller with all its pixels.
        size = (max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale)))
        corners = corners * np.asarray(
            (size[0] / photo.shape[1], size[1] / photo.shape[0]), np.float32
        )
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), OUTLINE)
    flags = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
    rectified = cv2.warpPerspective(
        photo, matrix, (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return rectified.astype(np.uint8, copy=False)


def to_photo(points: NDArray[np.float32], corners: Corners) -> NDArray[np.float32]:
    """Maps points of the rectified card to the photo; n x 2 in, n x 2 out."""
    matrix = cv2.getPerspectiveTransform(OUTLINE, corners.astype(np.float32))
    mapped = cv2.perspectiveTransform(points[:, None].astype(np.float32), matrix)
    return mapped[:, 0].astype(np.float32)


def _length(corners: Corners, first: int, second: int) -> float:
    return float(np.linalg.norm(corners[first] - corners[second]))
