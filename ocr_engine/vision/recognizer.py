"""Reads cut-out lines of text."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ocr_engine.parsing import TextBox
from ocr_engine.vision.crops import Grey
from ocr_engine.vision.networks import CHARACTERS, Floats, Networks

ALPHABET: Final = frozenset(
    " ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:;/-()'\"&"
)
"""All that a card can show; the network's other characters are never chosen."""
WIDTH_STEP_PX: Final = 32
"""Crops are padded to multiples of this."""
BATCH_SIZE: Final = 8
TEMPERATURE: Final = 1.0
"""What the network's answers are divided by so that its chances are honest, fitted on validation
(Guo et al. 2017, https://arxiv.org/abs/1706.04599)."""


@dataclass(frozen=True)
class ReadBox(TextBox):
    """Holds a read line that can be read again with fewer characters allowed."""

    steps: Floats | None = field(default=None, compare=False, repr=False)
    """Logits, steps x characters."""

    def under(self, alphabet: frozenset[str]) -> TextBox:
        if self.steps is None:
            return self
        # Blanks are laid out, not read: they say nothing against the characters beside them.
        text, confidence, chars = decode(self.steps, alphabet | {" "})
        return replace(self, text=text, confidence=confidence, chars=chars)


def read_crops(crops: Sequence[Grey], networks: Networks) -> list[Floats]:
    """Gives the logits of each crop, steps x characters, in the order of the crops."""
    answers: list[Floats] = [np.empty((0, 0), np.float32)] * len(crops)
    order = sorted(range(len(crops)), key=lambda index: crops[index].shape[1])
    for start in range(0, len(order), BATCH_SIZE):
        batch = order[start : start + BATCH_SIZE]
        for index, steps in zip(
            batch, networks.recognize(_stacked([crops[i] for i in batch])), strict=True
        ):
            answers[index] = steps
    return answers


def decode(
    steps: Floats, alphabet: frozenset[str] = ALPHABET
) -> tuple[str, float, tuple[float, ...]]:
    """Takes the likeliest character of each step.

    Args:
        steps: Logits, steps x characters.
        alphabet: Characters that may be chosen.

    Returns:
        The text, the chance that all of it is right, and the chance of each character.
    """
    logits = steps[:, _allowed(alphabet)] / TEMPERATURE
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    # What is not allowed still counts against an answer: a letter is no sure digit.
    barred = np.exp(steps / TEMPERATURE - logits.max(axis=1, keepdims=True)).sum(
        axis=1, keepdims=True
    )
    chances = chances / np.maximum(barred, chances.sum(axis=1, keepdims=True))
    best = chances.argmax(axis=1)
    peaks = chances[np.arange(best.size), best]
    starts = np.flatnonzero(np.insert(best[1:] != best[:-1], 0, True))
    ends = np.append(starts[1:], best.size)
    letters, chars = [], []
    for start, end in zip(starts, ends, strict=True):
        if best[start]:
            letters.append(CHARACTERS[_allowed(alphabet)[best[start]] - 1])
            chars.append(float(peaks[start:end].max()))
    text = "".join(letters)
    stripped = text.strip()
    first = len(text) - len(text.lstrip())
    kept = tuple(chars[first : first + len(stripped)])
    return stripped, float(np.prod(kept)) if kept else 0.0, kept


@cache
def _allowed(alphabet: frozenset[str]) -> NDArray[np.intp]:
    """Gives the places of the blank and of the allowed characters."""
    return np.asarray([0, *(i for i, char in enumerate(CHARACTERS, 1) if char in alphabet)])


def _stacked(crops: Sequence[Grey]) -> Floats:
    """Stacks crops, each repeated at its right edge up to the common width."""
    width = -(-max(crop.shape[1] for crop in crops) // WIDTH_STEP_PX) * WIDTH_STEP_PX
    padded = [np.pad(crop, ((0, 0), (0, width - crop.shape[1])), mode="edge") for crop in crops]
    stacked: Floats = np.stack(padded)[:, None].astype(np.float32) / 127.5 - 1.0
    return stacked
