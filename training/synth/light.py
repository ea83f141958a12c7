"""What light, lens and sensor do to a picture: floats, height x width x RGB, 0 to 255."""

from enum import StrEnum
from typing import Any, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.floating[Any]]
"""Single precision from the pen, double after some kinds of light."""
Corners = NDArray[np.float32]
"""4 x 2, x and y in pixels: top left, top right, bottom right, bottom left of the card's text."""

Floats = TypeVar("Floats", bound=NDArray[np.floating[Any]])


class Degradation(StrEnum):
    """Lists what spoils a photo."""

    BLUR = "BLUR"
    MOTION = "MOTION"
    DARK = "DARK"
    GLARE = "GLARE"
    SHADOW = "SHADOW"
    PHOTOCOPY = "PHOTOCOPY"
    SCREEN = "SCREEN"
    FINGER = "FINGER"


def softened(picture: Floats, sigma: float) -> Floats:
    """Blurs a picture or a mask; `sigma` is in pixels."""
    return cast(Floats, cv2.GaussianBlur(picture, (0, 0), sigma))


def photocopied(card: Picture, rng: np.random.Generator) -> Picture:
    """Returns a card as a copier gives it back: grey, hard, specked with toner."""
    grey = cv2.cvtColor(card, cv2.COLOR_RGB2GRAY)
    low, high = np.percentile(grey, (1, 99))
    hard = ((grey - low) / max(high - low, 1) - 0.5) * rng.uniform(1.0, 1.25) + 0.55
    specks = rng.random(grey.shape) < 0.001
    copy = np.where(specks, 40, hard * 255 * rng.uniform(0.9, 1.0)).clip(0, 255)
    return np.repeat(copy.astype(np.float32)[..., None], 3, axis=2)


def on_screen(picture: Picture, card_width: float, rng: np.random.Generator) -> Picture:
    """Adds the beat between a display's grid and the sensor's, and its bluish light."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(-0.25, 0.25)
    pitch = max(2.3, card_width / rng.uniform(260, 380))
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    grid = np.sin(along * 2 * np.pi / pitch) + np.sin(across * 2 * np.pi / (pitch * 1.03))
    lit: Picture = picture * (1 + rng.uniform(0.05, 0.11) * grid[..., None])
    return lit * np.asarray((0.93, 0.98, 1.06), np.float32)


def uneven(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Lets light fall off to one side, and adds a colour cast."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    fall = 1 + strength * (x * np.cos(angle) + y * np.sin(angle))
    tint = 1 + rng.uniform(-0.08, 0.08, 3).astype(np.float32) * min(1.0, strength * 4)
    lit: Picture = picture * fall[..., None] * tint
    return lit


def shadowed(picture: Picture, corners: Corners, rng: np.random.Generator) -> Picture:
    """Casts the shadow of a hand or a phone over part of the card."""
    height, width = picture.shape[:2]
    span = float(np.linalg.norm(corners[1] - corners[0]))
    middle = corners.mean(axis=0) + rng.uniform(-0.5, 0.5, 2) * span
    mask = np.zeros((height, width), np.float32)
    shape = middle + rng.uniform(-0.7, 0.7, (5, 2)) * span
    hull = cv2.convexHull(shape.astype(np.float32)).astype(np.int32)
    cv2.fillConvexPoly(mask, hull, 1.0)
    mask = softened(mask, max(1.0, span * rng.uniform(0.01, 0.05)))
    return picture * (1 - rng.uniform(0.3, 0.55) * mask[..., None])


def glared(
    picture: Picture, corners: Corners, rng: np.random.Generator, strength: float
) -> Picture:
    """Adds the reflection of a lamp: a soft bright spot on the card.

    Args:
        picture: What it falls on.
        corners: Of the card.
        rng: Chooses place and shape.
        strength: Grey levels that its middle adds; 255 burns it out.
    """
    height, width = picture.shape[:2]
    span = float(np.linalg.norm(corners[1] - corners[0]))
    weights = rng.dirichlet((1.2, 1.2, 1.2, 1.2)).astype(np.float32)
    centre = (weights[:, None] * corners).sum(axis=0)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle, size = rng.uniform(0, np.pi), span * rng.uniform(0.05, 0.11)
    along = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
    across = (y - centre[1]) * np.cos(angle) - (x - centre[0]) * np.sin(angle)
    spot = np.exp(-((along / (size * rng.uniform(1, 2.2))) ** 2) - (across / size) ** 2)
    lit: Picture = picture + strength * spot[..., None]
    return lit


def fingered(picture: Picture, corners: Corners, rng: np.random.Generator) -> Picture:
    """Lays a finger on the card's lower or right edge, where no text stands."""
    span = float(np.linalg.norm(corners[1] - corners[0]))
    edge = rng.uniform(0.55, 0.95)
    low = rng.random() < 0.5
    first, second = (corners[3], corners[2]) if low else (corners[1], corners[2])
    tip = first + (second - first) * (edge if low else 1 - edge * 0.2)
    away = tip - corners.mean(axis=0)
    away = away / np.linalg.norm(away)
    skin = np.asarray(
        (rng.uniform(150, 225), rng.uniform(105, 165), rng.uniform(80, 135)), np.float32
    )
    mask = np.zeros(picture.shape[:2], np.float32)
    start, end = tip - away * span * 0.01, tip + away * span
    cv2.line(
        mask,
        tuple(map(int, start)),
        tuple(map(int, end)),
        1.0,
        max(3, int(span * rng.uniform(0.07, 0.1))),
    )
    soft = softened(mask, max(0.8, span * 0.004))[..., None]
    return picture * (1 - soft) + skin * soft


def moved(picture: Picture, length: float, angle: float) -> Picture:
    """Adds motion blur over a length in pixels, in a direction in radians."""
    size = max(3, int(np.ceil(length)) | 1)
    kernel = np.zeros((size, size), np.float32)
    middle = size // 2
    reach = np.asarray((np.cos(angle), np.sin(angle))) * length / 2
    ends = [tuple(round(middle + sign * step) for step in reach) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA)
    return cast(Picture, cv2.filter2D(picture, -1, kernel / kernel.sum()))


def noisy(picture: Picture, sigma: float, rng: np.random.Generator) -> Picture:
    """Adds sensor noise, stronger in the dark, partly smoothed as a phone's software does."""
    grain = rng.standard_normal(picture.shape, dtype=np.float32) * sigma
    if rng.random() < 0.5:
        grain = softened(grain, 0.7) * 1.6
    return picture + grain * (1.25 - picture / 510)


def compressed(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Returns what JPEG keeps of a picture at a quality from 1 to 100."""
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    kept = cast(NDArray[np.uint8], cv2.imdecode(data, cv2.IMREAD_COLOR))
    return kept[..., ::-1].astype(np.uint8)
