"""Sums up how readings compare with the cards. Shares are NaN where there is nothing to count."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.ocr.judging import Judged, Value
from ocr_engine.parsing import DocumentType

SURE_FROM: Final = 0.9
"""Confidence from which a field counts as surely read."""
PRECISION: Final = 0.99
"""Share of the accepted cards that must be right in all fields."""
BIN_EDGES: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
"""Of the confidences; narrower where most of them are."""
RESAMPLES: Final = 1000


def share(right: Iterable[bool]) -> float:
    """Gives the share that is true."""
    flags = list(right)
    return sum(flags) / len(flags) if flags else float("nan")


def printed_values(cards: Iterable[Judged]) -> list[Value]:
    """Gives all printed fields of the cards."""
    return [value for card in cards for value in card.printed]


def fields_exact(cards: Iterable[Judged]) -> float:
    """Gives the share of all printed fields that were read exactly."""
    return share(value.right for value in printed_values(cards))


def nik_exact(cards: Iterable[Judged]) -> float:
    """Gives the share of identity cards whose number was read exactly."""
    return share(value.right for value in printed_values(cards) if value.name == "nik")


def text_found(cards: Iterable[Judged]) -> float:
    """Gives the share of fields whose words were read at all, whatever was made of them."""
    return share(found for card in cards for found in card.seen)


def all_right(cards: Iterable[Judged]) -> float:
    """Gives the share of cards without any wrong, missing or invented field."""
    return share(card.all_right for card in cards)


def character_errors(cards: Iterable[Judged]) -> float:
    """Gives the character errors in the printed fields for each printed character."""
    values = printed_values(cards)
    length = sum(len(value.printed) for value in values)
    return sum(value.errors for value in values) / length if length else float("nan")


def sure_right(cards: Iterable[Judged]) -> tuple[float, int]:
    """Gives the share of right fields among those that are given as sure, and their number."""
    sure = [value.right for value in given(cards) if value.confidence >= SURE_FROM]
    return share(sure), len(sure)


def given(cards: Iterable[Judged]) -> list[Value]:
    """Gives all fields that were read, the invented ones too."""
    return [value for card in cards for value in card.values if value.read is not None]


def kinds(cards: Iterable[Judged], kind: DocumentType) -> list[Judged]:
    """Gives the cards of one kind."""
    return [card for card in cards if card.plan.kind is kind]


def quantile(numbers: Iterable[float], part: float) -> float:
    """Gives a quantile; NaN of nothing."""
    known = list(numbers)
    return float(np.quantile(known, part)) if known else float("nan")


def corner_errors(cards: Iterable[Judged]) -> list[float]:
    """Gives the corner errors of the cards that were found."""
    return [card.corner_error for card in cards if card.corner_error is not None]


def fields_interval(cards: Sequence[Judged]) -> tuple[float, float]:
    """Gives the 95 % interval of the share of exact fields by drawing cards again (bootstrap).

    Cards are drawn, not fields: the fields of one photo succeed or fail together.
    """
    counts = [(sum(value.right for value in card.printed), len(card.printed)) for card in cards]
    table = np.asarray(counts, np.float64).reshape(-1, 2)
    if not table.size or not table[:, 1].any():
        return float("nan"), float("nan")
    drawn = np.random.default_rng(1).integers(0, len(table), (RESAMPLES, len(table)))
    right, whole = table[drawn].sum(axis=1).T
    low, high = np.quantile(right / np.maximum(whole, 1), (0.025, 0.975))
    return float(low), float(high)


def wilson(right: int, count: int) -> tuple[float, float]:
    """Gives the 95 % interval of a share of things that succeed or fail each on its own.

    Unlike drawing again, it does not claim certainty when all are right (Wilson 1927).
    """
    if not count:
        return float("nan"), float("nan")
    z2 = 1.96**2
    middle = (right + z2 / 2) / (count + z2)
    half = math.sqrt(z2 * (right * (count - right) / count + z2 / 4)) / (count + z2)
    return max(0.0, middle - half), min(1.0, middle + half)


def accept_from(cards: Iterable[Judged]) -> float:
    """Finds the lowest confidence from which PRECISION of the cards are right in all fields.

    Returns:
        The confidence of a card's least sure field; more than 1 when no confidence will do.
    """
    threshold, right, accepted = 2.0, 0, 0
    ordered = sorted(cards, key=lambda card: -card.lowest)
    for index, card in enumerate(ordered):
        right, accepted = right + card.all_right, accepted + 1
        last_of_its_kind = index + 1 == len(ordered) or ordered[index + 1].lowest < card.lowest
        if last_of_its_kind and card.lowest > 0 and right >= PRECISION * accepted:
            threshold = card.lowest
    return threshold


@dataclass(frozen=True)
class Bin:
    """Fields with similar confidences."""

    confidence: float
    """Their mean."""
    right: float
    """Share that is right."""
    count: int


def calibration(values: Sequence[Value]) -> tuple[list[Bin], float]:
    """Compares confidence and truth: the bins, and the expected calibration error."""
    confidences = np.asarray([value.confidence for value in values])
    rights = np.asarray([value.right for value in values], np.float64)
    places = np.digitize(confidences, BIN_EDGES[1:-1])
    bins = [
        _bin(confidences[places == place], rights[places == place])
        for place in range(len(BIN_EDGES) - 1)
        if (places == place).any()
    ]
    gap = sum(abs(one.confidence - one.right) * one.count for one in bins)
    return bins, gap / len(values) if values else float("nan")


def _bin(confidences: NDArray[np.float64], rights: NDArray[np.float64]) -> Bin:
    return Bin(float(confidences.mean()), float(rights.mean()), len(rights))
