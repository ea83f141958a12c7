"""Moves a detector's corners to where the card's edges really are, with a tiny network."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ocr_engine.vision.networks import Networks
from ocr_engine.vision.rectification import Corners, Pixels

VIEW_WIDTH: Final = 192
VIEW_HEIGHT: Final = 128
VIEW_CARD: Final = np.asarray(((22, 17), (170, 17), (170, 110), (22, 110)), np.float32)
"""Where the guessed card lies in the view, with a margin in which its true corners are sought."""
PASSES: Final = 2
"""The second look begins nearer and sees better."""
CARD_SPAN_PX: Final = float(VIEW_CARD[1, 0] - VIEW_CARD[0, 0])


def refine(photo: Pixels, corners: Corners, networks: Networks) -> Corners:
    """Gives better corners; both in pixels of the photo."""
    for _ in range(PASSES):
        view, matrix = look_at(photo, corners)
        found = networks.find_corners(as_input(view))[0]
        back = cv2.perspectiveTransform(found[:, None].astype(np.float32), np.linalg.inv(matrix))
        corners = back[:, 0].astype(np.float32)
    return corners


def look_at(photo: Pixels, corners: Corners) -> tuple[Pixels, NDArray[np.float64]]:
    """Cuts the guessed card with its surroundings; gives also the way from photo to view."""
    span = float(np.linalg.norm(corners[1] - corners[0]))
    scale = min(1.0, 1.5 * CARD_SPAN_PX / max(span, 1.0))
    small = photo
    if scale < 1:
        size = (max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale)))
        small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    shrink = np.diag((small.shape[1] / photo.shape[1], small.shape[0] / photo.shape[0], 1.0))
    near = (corners * shrink.diagonal()[:2]).astype(np.float32)
    matrix = np.asarray(cv2.getPerspectiveTransform(near, VIEW_CARD), np.float64)
    view = cv2.warpPerspective(
        small, matrix, (VIEW_WIDTH, VIEW_HEIGHT), borderMode=cv2.BORDER_CONSTANT,
        borderValue=(114, 114, 114),
    )  # fmt: skip
    return view.astype(np.uint8, copy=False), matrix @ shrink


def as_input(view: Pixels) -> NDArray[np.float32]:
    """Brings a view to the network's form, 1 x 3 x VIEW_HEIGHT x VIEW_WIDTH of 0 to 1."""
    return np.ascontiguousarray(view.transpose(2, 0, 1)[None].astype(np.float32) / 255)
