"""Compares readings with what the cards say, and sums the comparisons up."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from bench.ocr_photos import Photo, Plan
from ocr_engine.parsing import Advice, CardReading, DocumentType, SimFields
from ocr_engine.parsing.fields.text import squeeze
from ocr_engine.parsing.fields.vocabulary import RELIGION_SPELLINGS
from training.synth import CardRecord, SimRecord

SURE_FROM: Final = 0.9
"""Confidence from which a field counts as surely read."""
PRECISION: Final = 0.99
"""Share of the accepted cards that must be right in all fields."""
SELDOM_PRINTED: Final = frozenset({"jenis_kelamin", "golongan_darah"})
"""What a licence need not say: that it is missing tells nothing."""
BIN_EDGES: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
"""Of the confidences; narrower where most of them are."""
RESAMPLES: Final = 1000


@dataclass(frozen=True)
class Value:
    """One field of one card."""

    name: str
    printed: str
    """In the official spelling; empty where the card does not say it."""
    read: str | None
    confidence: float = 0.0

    @property
    def right(self) -> bool:
        """Whether the reading is exactly what is printed."""
        return self.read == self.printed

    @property
    def errors(self) -> int:
        """Characters that must be changed, added or left out to come to the printed value."""
        return Levenshtein.distance(self.printed, self.read or "")


@dataclass(frozen=True)
class Judged:
    """One reading of one photo, compared with the truth."""

    plan: Plan
    kind: DocumentType
    values: tuple[Value, ...]
    """What is printed, and what was read although it is not."""
    lowest: float
    """Confidence of the least sure field; 0 when one is missing."""
    corner_error: float | None
    """Mean distance of the corners from the truth, as a share of the card's width."""
    outline: tuple[tuple[float, float], ...]
    """The corners that were found, as shares of the photo's width and height."""
    advice: tuple[Advice, ...]
    seconds: float
    stages: Mapping[str, float]
    seen: tuple[bool, ...]
    """Of each printed field: whether its words occur anywhere in what was read."""
    crash: str = ""
    """The error that the reader died of."""

    @property
    def kind_right(self) -> bool:
        """Whether KTP, SIM and photos without a card were told apart."""
        return self.kind is self.plan.kind

    @property
    def printed(self) -> list[Value]:
        """The fields that the card says."""
        return [value for value in self.values if value.printed]

    @property
    def all_right(self) -> bool:
        """Whether every field is right and none was invented."""
        return all(value.right for value in self.values)


def judge(photo: Photo, reading: CardReading, texts: Iterable[str], seconds: float) -> Judged:
    """Compares a reading with the truth; a card taken for the other kind has no right field.

    Args:
        photo: With what its card says.
        reading: The fields.
        texts: All that was read.
        seconds: How long it took.
    """
    kind_right = reading.document_type is photo.plan.kind
    printed = _printed(photo.record)
    found = dict(reading.fields.found())
    known = found if kind_right else {}
    invented = found.keys() - (printed.keys() if kind_right else ())
    values = [
        Value(name, text, known[name].value, known[name].confidence)
        if name in known
        else Value(name, text, None)
        for name, text in printed.items()
    ]
    values += [
        Value(name, "", found[name].value, found[name].confidence) for name in sorted(invented)
    ]
    return Judged(
        photo.plan,
        reading.document_type,
        tuple(values),
        _lowest(reading),
        _corner_error(photo, reading),
        reading.outline,
        reading.quality.advice,
        seconds,
        dict(reading.stage_seconds),
        _seen(photo.record, texts),
    )


def official(name: str, text: str) -> str:
    """Gives a printed value as the reader should give it: old spellings become the official one."""
    return RELIGION_SPELLINGS.get(text, text) if name == "agama" else text


def _printed(record: CardRecord | SimRecord | None) -> dict[str, str]:
    if record is None:
        return {}
    texts = ((spec.name, getattr(record, spec.name)) for spec in fields(record))
    return {name: official(name, text) for name, text in texts if isinstance(text, str) and text}


def _seen(record: CardRecord | SimRecord | None, texts: Iterable[str]) -> tuple[bool, ...]:
    """Looks for the values as they are printed; a lone dash is no word."""
    read = squeeze("".join(texts))
    printed = (str(getattr(record, spec.name)) for spec in fields(record)) if record else ()
    values = ([word for part in text.split() if (word := squeeze(part))] for text in printed)
    return tuple(all(word in read for word in words) for words in values if words)


def _lowest(reading: CardReading) -> float:
    if reading.document_type is DocumentType.UNKNOWN:
        return 0.0
    found = dict(reading.fields.found())
    expected = {spec.name for spec in fields(reading.fields)}
    if isinstance(reading.fields, SimFields):
        expected -= SELDOM_PRINTED
    if expected - found.keys():
        return 0.0
    return min(field.confidence for field in found.values())


def _corner_error(photo: Photo, reading: CardReading) -> float | None:
    if photo.record is None or len(reading.outline) != len(photo.corners):
        return None
    seen = np.asarray(reading.outline) * (photo.width, photo.height)
    top, bottom = (photo.corners[1] - photo.corners[0], photo.corners[2] - photo.corners[3])
    width = (np.linalg.norm(top) + np.linalg.norm(bottom)) / 2
    return float(np.linalg.norm(seen - photo.corners, axis=1).mean() / width)


# Sums over cards. Shares are NaN where there is nothing to count.


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
