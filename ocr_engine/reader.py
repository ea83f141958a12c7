"""Finds and reads text in a picture with EasyOCR's two networks, on the CPU."""

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import easyocr
import easyocr_en_models
import numpy as np
import torch
from easyocr.utils import four_point_transform
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

from ocr_engine.domain import TextBox
from ocr_engine.imaging import Pixels
from ocr_engine.marks import Glyph, complete
from ocr_engine.missed import find_missed

CROP_HEIGHT_PX: Final = 64
"""What the recognizer was trained on."""
CROP_WIDTH_MIN_PX: Final = 16
CROP_WIDTH_STEP_PX: Final = 64
"""Crops are padded to multiples of this, so the networks see few different shapes."""
SLOPING_MIN_PX: Final = 4
LENGTHENED_BY: Final = 1.2
"""Share of its height by which a box is searched for ink to its right, if nothing stands there."""
BATCH_SIZE: Final = 8
ALPHABET: Final = frozenset(
    " ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:;/-()'\"&"
)
"""All that a card can show; the network's other characters are never chosen."""

MAX_PIECES: Final = 120
"""Pieces of text that are read, the largest first; a card has about 35, a page of a book 400."""
MAX_CROP_RATIO: Final = 40
"""Width to height; what is longer is a border or a line, not text."""

os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
"""Every shape of picture leaves its kernels behind: 1,024 of them, the default, take a gigabyte
and a half after thirty photos (https://uxlfoundation.github.io/oneDNN/dev_guide_primitive_cache.html)."""

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class ReaderSettings:
    """How the networks are run."""

    torch_threads: int = 2
    detection_side_px: int = 800
    """The longer side of what the detector sees; its time grows with the square."""


@dataclass(frozen=True)
class _Crop:
    """One line of text, upright, CROP_HEIGHT_PX high."""

    pixels: Grey
    longer: Grey
    """With the free space to its right, where the detector leaves out a last dash."""
    place: TextBox


class TextReader:
    """Both networks, loaded once. Not for use by several threads at a time."""

    def __init__(self, settings: ReaderSettings | None = None) -> None:
        """Loads the weights from the installed package; never downloads."""
        self._settings = settings or ReaderSettings()
        torch.set_num_threads(self._settings.torch_threads)
        folder = str(easyocr_en_models.model_dir())
        with warnings.catch_warnings(), _NoRandomWeights():
            warnings.simplefilter("ignore")
            self._easyocr: Any = easyocr.Reader(
                ["en"],
                gpu=False,
                model_storage_directory=folder,
                user_network_directory=folder,
                download_enabled=False,
                verbose=False,
            )
        self._characters = np.array(self._easyocr.converter.character)
        self._barred = np.array([char not in ALPHABET for char in self._characters])
        self._barred[0] = False

    def read(self, pixels: Pixels) -> list[TextBox]:
        """Reads all text in a picture, in no particular order."""
        crops = sorted(self._find(pixels), key=lambda crop: crop.place.height)[-MAX_PIECES:]
        crops.sort(key=lambda crop: crop.pixels.shape[1])
        boxes: list[TextBox] = []
        for start in range(0, len(crops), BATCH_SIZE):
            boxes.extend(self._recognize(crops[start : start + BATCH_SIZE]))
        return [box for box in boxes if box.text]

    def _find(self, pixels: Pixels) -> list[_Crop]:
        level, sloping = self._easyocr.detect(
            pixels,
            canvas_size=self._settings.detection_side_px,
            min_size=6,
            reformat=False,
        )
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
        boxes = [*level[0], *find_missed(grey, level[0])]
        crops = [_level_crop(grey, box, boxes) for box in boxes]
        crops.extend(_sloping_crop(grey, np.asarray(quad, np.float32)) for quad in sloping[0])
        return [crop for crop in crops if crop is not None]

    def _recognize(self, crops: list[_Crop]) -> Iterator[TextBox]:
        batch = _as_batch(crops)
        with torch.inference_mode():
            scores = self._easyocr.recognizer(torch.from_numpy(batch), "")
            chances = torch.softmax(scores, dim=2).numpy()
        chances[:, :, self._barred] = 0.0
        chances /= chances.sum(axis=2, keepdims=True)
        step_px = batch.shape[3] / chances.shape[1]
        for crop, steps in zip(crops, chances, strict=True):
            glyphs, confidence = self._decode(steps, step_px)
            text = "".join(glyph.char for glyph in complete(glyphs, crop.longer)).strip()
            yield replace(crop.place, text=text, confidence=confidence)

    def _decode(self, steps: NDArray[np.float32], step_px: float) -> tuple[list[Glyph], float]:
        """Takes the likeliest character of each step; the least sure one decides."""
        best = steps.argmax(axis=1)
        starts = np.flatnonzero(np.insert(best[1:] != best[:-1], 0, True))
        ends = np.append(starts[1:], best.size)
        glyphs: list[Glyph] = []
        confidence = 1.0
        for start, end in zip(starts, ends, strict=True):
            if best[start] != 0:
                glyphs.append(Glyph(self._characters[best[start]], (start + end) / 2 * step_px))
                confidence = min(confidence, float(steps[start:end, best[start]].max()))
        return glyphs, confidence if glyphs else 0.0


def _free_right(box: list[int], boxes: list[list[int]], limit: int) -> int:
    """Tells how far a box could be lengthened before it meets the next one."""
    _, right, top, bottom = box
    neighbours = [
        other[0]
        for other in boxes
        if other[0] >= right and min(bottom, other[3]) > max(top, other[2])
    ]
    longer = right + round(LENGTHENED_BY * (bottom - top))
    return max(right, min([longer, limit, *neighbours]))


def _level_crop(grey: Grey, box: list[int], boxes: list[list[int]]) -> _Crop | None:
    height, width = grey.shape
    left, top = max(0, box[0]), max(0, box[2])
    right, bottom = min(width, box[1]), min(height, box[3])
    if right <= left or bottom <= top or right - left > MAX_CROP_RATIO * (bottom - top):
        return None
    return _Crop(
        _scaled(grey[top:bottom, left:right]),
        _scaled(grey[top:bottom, left : _free_right(box, boxes, width)]),
        TextBox("", 0.0, float(left), float(top), float(right), float(bottom)),
    )


def _sloping_crop(grey: Grey, quad: NDArray[np.float32]) -> _Crop | None:
    width, height = (float(np.linalg.norm(quad[0] - corner)) for corner in (quad[1], quad[3]))
    if min(width, height) < SLOPING_MIN_PX or width > MAX_CROP_RATIO * height:
        return None
    pixels = four_point_transform(grey, quad)
    left, top, right, bottom = (float(x) for x in (*quad.min(axis=0), *quad.max(axis=0)))
    scaled = _scaled(pixels)
    return _Crop(scaled, scaled, TextBox("", 0.0, left, top, right, bottom))


def _scaled(pixels: Grey) -> Grey:
    """Brings a line of text to the recognizer's height."""
    height, width = pixels.shape
    new_width = max(CROP_WIDTH_MIN_PX, round(width * CROP_HEIGHT_PX / height))
    resampling = cv2.INTER_AREA if height > CROP_HEIGHT_PX else cv2.INTER_CUBIC
    resized = cv2.resize(pixels, (new_width, CROP_HEIGHT_PX), interpolation=resampling)
    return resized.astype(np.uint8)


def _as_batch(crops: list[_Crop]) -> NDArray[np.float32]:
    """Stacks crops, each repeated at its right edge up to the common width."""
    widest = max(crop.pixels.shape[1] for crop in crops)
    width = -(-widest // CROP_WIDTH_STEP_PX) * CROP_WIDTH_STEP_PX
    padded = [
        np.pad(crop.pixels, ((0, 0), (0, width - crop.pixels.shape[1])), mode="edge")
        for crop in crops
    ]
    return (np.stack(padded)[:, None].astype(np.float32) / 255.0 - 0.5) / 0.5


class _NoRandomWeights(TorchFunctionMode):
    """Skips the random start values that the stored weights overwrite: two seconds."""

    _SKIPPED = frozenset(
        {
            torch.Tensor.uniform_,
            torch.Tensor.normal_,
            torch.nn.init.uniform_,
            torch.nn.init.normal_,
            torch.nn.init.kaiming_uniform_,
            torch.nn.init.kaiming_normal_,
            torch.nn.init.xavier_uniform_,
        }
    )

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        named = kwargs or {}
        if func in self._SKIPPED:
            return args[0] if args else named["tensor"]
        return func(*args, **named)
