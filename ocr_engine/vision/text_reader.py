"""From a rectified card to boxes of text."""

from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from ocr_engine.vision.crops import Grey, Line, cut
from ocr_engine.vision.networks import Networks
from ocr_engine.vision.recognizer import ReadBox, decode, read_crops
from ocr_engine.vision.rectification import Pixels

LINES_MAX: Final = 70
"""Lines that are read, the widest first; a card has about 35."""
UNSURE_BELOW: Final = 0.85
"""A value read with a lower chance is read in other ways too, and the surest way counts. Labels are
found by likeness anyway."""
CONTRAST: Final = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(4, 8))


def to_grey(card: Pixels) -> Grey:
    """Drops the colours."""
    return cv2.cvtColor(card, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


def read_text(grey: Grey, lines: list[Line], networks: Networks) -> list[ReadBox]:
    """Reads the lines of a rectified card, in no particular order."""
    lines = sorted(lines, key=lambda line: line.left - line.right)[:LINES_MAX]
    boxes = _read(grey, lines, networks)
    unsure = [
        index
        for index, box in enumerate(boxes)
        if box.confidence < UNSURE_BELOW and not box.is_label
    ]
    if unsure:
        clearer = CONTRAST.apply(grey).astype(np.uint8, copy=False)
        wider = [replace(lines[i], cap=lines[i].cap * 1.12) for i in unsure]
        again = _read(clearer, [lines[i] for i in unsure], networks)
        for index, *others in zip(unsure, again, _read(grey, wider, networks), strict=True):
            boxes[index] = max((boxes[index], *others), key=lambda box: box.confidence)
    return [box for box in boxes if box.text]


def _read(grey: Grey, lines: list[Line], networks: Networks) -> list[ReadBox]:
    answers = read_crops([cut(grey, line) for line in lines], networks)
    return [
        ReadBox(text, confidence, *line.box, chars=chars, is_label=line.is_label, steps=steps)
        for line, steps in zip(lines, answers, strict=True)
        for text, confidence, chars in (decode(steps),)
    ]
