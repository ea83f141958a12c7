"""Cuts lines of text out of a rectified card, at the height that the recognizer reads."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]

CROP_HEIGHT_PX: Final = 32
MARGIN: Final = 0.45
"""Room above the capitals and below the baseline, in heights of the capitals."""
SIDE_MARGIN: Final = 0.30
"""Room to the left and right, in the same measure."""
STRETCH: Final = 1.25
"""Crops are made wider by this: the recognizer needs two of its steps for a letter I."""
CROP_WIDTH_MIN_PX: Final = 16
CROP_WIDTH_MAX_PX: Final = 1000


@dataclass(frozen=True)
class Line:
    """Says where the capitals of a line stand, in pixels of the card. It may slope a little."""

    left: float
    right: float
    middle: float
    """Vertical middle of the capitals, half way from left to right."""
    cap: float
    """Height of the capitals."""
    slope: float = 0.0
    """Pixels down for each pixel to the right."""
    is_label: bool = False
    """Print that every card of its kind has."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Returns left, top, right and bottom of the capitals."""
        half = self.cap / 2 + abs(self.slope) * (self.right - self.left) / 2
        return self.left, self.middle - half, self.right, self.middle + half


def cut(grey: Grey, line: Line) -> Grey:
    """Cuts a line out, CROP_HEIGHT_PX high and as wide as its text, level."""
    scale = CROP_HEIGHT_PX / (line.cap * (1 + 2 * MARGIN))
    left = line.left - SIDE_MARGIN * line.cap
    right = line.right + SIDE_MARGIN * line.cap
    wanted = (right - left) * scale * STRETCH
    width = min(max(round(wanted), CROP_WIDTH_MIN_PX), CROP_WIDTH_MAX_PX)
    across = min(scale * STRETCH, width / (right - left))
    centre_x = (line.left + line.right) / 2
    # Shears instead of turning: letters stay upright and the crop's width stays the line's.
    matrix = np.asarray(
        (
            (across, 0.0, -left * across),
            (
                -line.slope * scale,
                scale,
                CROP_HEIGHT_PX / 2 - (line.middle - line.slope * centre_x) * scale,
            ),
        ),
        np.float64,
    )
    flags = cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC
    cropped = cv2.warpAffine(
        grey, matrix, (width, CROP_HEIGHT_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return cropped.astype(np.uint8, copy=False)
