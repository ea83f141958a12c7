"""Finds cards on a photo: which kind, where their corners are, which way up they lie."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ocr_engine.parsing import DocumentType
from ocr_engine.vision.networks import DETECTOR_SIDE_PX, Floats, Networks
from ocr_engine.vision.rectification import Corners, Pixels

CLASSES: Final = (DocumentType.KTP, DocumentType.SIM)
CONFIDENCE_MIN: Final = 0.25
SURE_FROM: Final = 0.5
"""Below this the contours are looked at as well."""
OVERLAP_MAX: Final = 0.45
"""Two finds that share more of their area are one card."""
SEEN_FROM: Final = 0.5
"""A corner whose visibility is below this lies outside the photo or under something."""
GREY: Final = 114
"""What the detector was shown beside a photo that is not square (ultralytics' letterbox)."""
RATIO: Final = (1.35, 1.85)
"""Width to height of a quadrilateral that may be a card; ID-1 has 1.586, perspective changes it."""
AREA_MIN: Final = 0.05
"""Share of the photo that a card covers at least, to be found by its outline alone."""


@dataclass(frozen=True)
class FoundCard:
    """Holds what is known of a card on a photo."""

    kind: DocumentType
    confidence: float
    corners: Corners
    """In pixels of the photo."""
    seen: tuple[bool, bool, bool, bool]
    """Which corners are on the photo."""

    @property
    def width_px(self) -> float:
        """Returns the longer of the card's top and bottom edges, in pixels of the photo."""
        top, bottom = self.corners[1] - self.corners[0], self.corners[2] - self.corners[3]
        return float(max(np.linalg.norm(top), np.linalg.norm(bottom)))


def find_cards(photo: Pixels, networks: Networks) -> list[FoundCard]:
    """Finds all cards, the surest first."""
    framed, scale, shift = _framed(photo)
    found = networks.detect(framed).T
    found = found[found[:, 4:6].max(axis=1) >= CONFIDENCE_MIN]
    cards = []
    for candidate in _apart(found):
        points = candidate[6:].reshape(4, 3)
        corners = ((points[:, :2] - shift) / scale).astype(np.float32)
        seen = tuple(bool(value) for value in points[:, 2] >= SEEN_FROM)
        cards.append(
            FoundCard(
                CLASSES[int(candidate[4:6].argmax())],
                float(candidate[4:6].max()),
                _completed(corners, seen),
                (seen[0], seen[1], seen[2], seen[3]),
            )
        )
    return cards


def find_outline(photo: Pixels) -> Corners | None:
    """Finds the largest quadrilateral in the proportions of a card, which way up is not known.

    The corners begin at the one nearest to the photo's top left and go clockwise, so that the
    first edge is a long one.
    """
    scale = 640 / max(photo.shape[:2])
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (5, 5), 0)
    edges = cv2.dilate(cv2.Canny(grey, 40, 120), np.ones((5, 5), np.uint8))
    contours, _ = cv2.findContours(edges, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    quads = [
        quad
        for contour in contours
        if (quad := _as_quad(np.asarray(contour, np.int32), grey.size)) is not None
    ]
    if not quads:
        return None
    largest = max(quads, key=lambda quad: float(cv2.contourArea(quad)))
    return np.asarray(largest / scale, np.float32)


def _framed(photo: Pixels) -> tuple[Floats, float, NDArray[np.float64]]:
    """Scales a photo into the detector's square; gives also the scale and the shift in pixels."""
    height, width = photo.shape[:2]
    scale = DETECTOR_SIDE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (DETECTOR_SIDE_PX - size[0]) // 2, (DETECTOR_SIDE_PX - size[1]) // 2
    framed = np.full((DETECTOR_SIDE_PX, DETECTOR_SIDE_PX, 3), GREY, np.uint8)
    framed[top : top + size[1], left : left + size[0]] = small
    values = framed.transpose(2, 0, 1)[None].astype(np.float32) / 255
    return np.ascontiguousarray(values), scale, np.asarray((left, top), np.float64)


def _apart(found: Floats) -> list[Floats]:
    """Keeps the surest of the finds that cover the same place, whatever their class."""
    kept: list[Floats] = []
    for candidate in found[np.argsort(-found[:, 4:6].max(axis=1))]:
        if all(_overlap(candidate, other) <= OVERLAP_MAX for other in kept):
            kept.append(candidate)
    return kept


def _overlap(first: Floats, second: Floats) -> float:
    """Returns the shared area over the smaller area of two boxes."""
    low = np.maximum(first[:2] - first[2:4] / 2, second[:2] - second[2:4] / 2)
    high = np.minimum(first[:2] + first[2:4] / 2, second[:2] + second[2:4] / 2)
    shared = float(np.prod((high - low).clip(0)))
    return shared / max(float(min(np.prod(first[2:4]), np.prod(second[2:4]))), 1e-6)


def _completed(corners: Corners, seen: tuple[bool, ...]) -> Corners:
    """Puts the only corner that is not seen where it must be: the card is a parallelogram."""
    if sum(seen) != 3:
        return corners
    lost = seen.index(False)
    corners = corners.copy()
    corners[lost] = corners[(lost + 1) % 4] + corners[(lost + 3) % 4] - corners[(lost + 2) % 4]
    return corners


def _as_quad(contour: NDArray[np.int32], area: int) -> Corners | None:
    hull = cv2.convexHull(contour)
    quad = cv2.approxPolyDP(hull, 0.03 * cv2.arcLength(hull, True), True)
    if len(quad) != 4 or cv2.contourArea(quad) < AREA_MIN * area:
        return None
    points = quad[:, 0].astype(np.float32)
    points = np.roll(points, -int(points.sum(axis=1).argmin()), axis=0)
    (x1, y1), (x2, y2) = points[1] - points[0], points[2] - points[1]
    if x1 * y2 < y1 * x2:
        points = np.roll(points[::-1], 1, axis=0)
    sides = [float(np.linalg.norm(points[i] - points[(i + 1) % 4])) for i in range(4)]
    across, down = sides[0] + sides[2], sides[1] + sides[3]
    if down > across:
        points, across, down = np.roll(points, -1, axis=0), down, across
    return points if RATIO[0] <= across / max(down, 1e-6) <= RATIO[1] else None


def turned(corners: Corners, quarters: int) -> Corners:
    """Gives the corners in the order they have when the card lies turned by so many quarters."""
    return np.roll(corners, quarters, axis=0)
