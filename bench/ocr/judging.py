"""Compares readings with what the cards say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from rapidfuzz.distance import Levenshtein

from bench.ocr.photos import Photo, Plan
from ocr_engine.parsing import Advice, CardReading, DocumentType, SimFields
from ocr_engine.parsing.fields.text import squeeze
from ocr_engine.parsing.fields.vocabulary import RELIGION_SPELLINGS
from training.synth import CardRecord, SimRecord

SELDOM_PRINTED: Final = frozenset({"jenis_kelamin", "golongan_darah"})
"""What a licence need not say: that it is missing tells nothing."""


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
