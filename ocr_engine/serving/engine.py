"""One photo in, one reading out. Nothing of a photo is kept or written to a log."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Final

import numpy as np

from ocr_engine.parsing import (
    Advice,
    CardReading,
    DocumentType,
    KtpFields,
    Quality,
    SeveralCards,
    SimFields,
    read_card,
)
from ocr_engine.vision.corners import refine
from ocr_engine.vision.detector import (
    CONFIDENCE_MIN,
    SURE_FROM,
    FoundCard,
    find_cards,
    find_outline,
    turned,
)
from ocr_engine.vision.imaging import decode
from ocr_engine.vision.lines import find_lines
from ocr_engine.vision.networks import Networks, OnnxNetworks
from ocr_engine.vision.quality import measure
from ocr_engine.vision.rectification import Corners, Pixels, rectify, to_photo
from ocr_engine.vision.text_reader import read_text, to_grey

CARD_SIDE_MIN_PX: Final = 200
"""No card can be read from a picture whose longer side has fewer pixels."""
SECOND_FROM: Final = 0.6
"""A second card counts from this confidence."""
SECOND_SIZE_MIN: Final = 0.35
"""Width of a second card, as a share of the first one's, from which it is meant to be read."""
SPECIMEN: Final = "specimen.jpg"
"""A drawn card of an invented person, photographed on a table: `mediq sample-card --seed 1`."""
SPECIMEN_NIK: Final = "1104126508640003"


class SelfTestFailed(RuntimeError):
    """Reports that the networks were loaded but cannot read the specimen."""


@dataclass
class _Clock:
    """Measures seconds by stage."""

    spent: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - started


class CardEngine:
    """Reads photos with networks and rules. Not for use by several threads at a time."""

    def __init__(self, threads: int = 2, networks: Networks | None = None) -> None:
        """Loads the networks and reads a specimen, which also warms them.

        Args:
            threads: Processor cores that one reading uses.
            networks: Other networks than the exported ones.

        Raises:
            SelfTestFailed: the specimen's number was not read.
        """
        self._networks = networks or OnnxNetworks(threads)
        specimen = resources.files("ocr_engine").joinpath("data", SPECIMEN).read_bytes()
        reading = self.read_card(specimen)
        nik = reading.fields.nik if isinstance(reading.fields, KtpFields) else None
        if nik is None or nik.value != SPECIMEN_NIK:
            raise SelfTestFailed("the networks cannot read the specimen")

    def read_card(self, data: bytes) -> CardReading:
        """Reads the card on a photo; UNKNOWN when there is none.

        Raises:
            ImageError: the bytes are no photo that can be read.
            SeveralCards: there is more than one card on it.
        """
        clock = _Clock()
        with clock.stage("decode"):
            pixels = decode(data)
        return self._read(pixels, clock)

    def read_pixels(self, pixels: Pixels) -> CardReading:
        """Reads the card in an RGB picture.

        Raises:
            SeveralCards: there is more than one card on it.
        """
        return self._read(pixels, _Clock())

    def _read(self, photo: Pixels, clock: _Clock) -> CardReading:
        if max(photo.shape[:2]) < CARD_SIDE_MIN_PX:
            quality = Quality(advice=(Advice.NO_CARD, Advice.TOO_SMALL))
            return CardReading(DocumentType.UNKNOWN, quality=quality, stage_seconds=clock.spent)
        with clock.stage("detect"):
            cards = find_cards(photo, self._networks)
        if _are_several(cards):
            raise SeveralCards
        reading = self._read_best(photo, cards, clock)
        if reading.document_type is DocumentType.UNKNOWN:
            advice = (Advice.NO_CARD, *reading.quality.advice)
            reading = CardReading(
                DocumentType.UNKNOWN, quality=replace(reading.quality, advice=advice)
            )
        return replace(reading, stage_seconds=clock.spent)

    def _read_best(self, photo: Pixels, cards: list[FoundCard], clock: _Clock) -> CardReading:
        """Reads the card where the detector sees it; if that says nothing, where the outline is."""
        reading = CardReading(DocumentType.UNKNOWN)
        if cards:
            reading = self._read_at(photo, cards[0], clock)
            if reading.document_type is DocumentType.UNKNOWN:
                upended = replace(cards[0], corners=turned(cards[0].corners, 2))
                reading = _better(reading, self._read_at(photo, upended, clock))
        if reading.document_type is DocumentType.UNKNOWN or cards[0].confidence < SURE_FROM:
            with clock.stage("detect"):
                guesses = _outlines(photo)
            for guess in guesses:
                reading = _better(reading, self._read_at(photo, guess, clock))
        return reading

    def _read_at(self, photo: Pixels, card: FoundCard, clock: _Clock) -> CardReading:
        with clock.stage("rectify"):
            card = replace(card, corners=refine(photo, card.corners, self._networks))
            rectified = rectify(photo, card.corners)
        with clock.stage("gate"):
            quality = measure(photo, card, rectified)
        with clock.stage("find"):
            grey = to_grey(rectified)
            lines = find_lines(grey, self._networks)
        with clock.stage("read"):
            boxes = read_text(grey, lines, self._networks)
        with clock.stage("parse"):
            reading = read_card(list(boxes), card.kind)
        return _on_photo(replace(reading, quality=quality), card.corners, photo)


def _are_several(cards: list[FoundCard]) -> bool:
    return len(cards) > 1 and (
        cards[1].confidence >= SECOND_FROM
        and cards[1].width_px >= SECOND_SIZE_MIN * cards[0].width_px
    )


def _outlines(photo: Pixels) -> list[FoundCard]:
    """Gives what looks like a card by its outline, both ways up."""
    outline = find_outline(photo)
    if outline is None:
        return []
    return [
        FoundCard(DocumentType.UNKNOWN, CONFIDENCE_MIN, turned(outline, quarters), (True,) * 4)
        for quarters in (0, 2)
    ]


def _better(first: CardReading, second: CardReading) -> CardReading:
    """Gives the reading that found more."""
    return max(first, second, key=lambda one: sum(f.confidence for _, f in one.fields.found()))


def _on_photo(reading: CardReading, corners: Corners, photo: Pixels) -> CardReading:
    """Tells where things are on the photo, as shares of its width and height."""
    size = np.asarray((photo.shape[1], photo.shape[0]), np.float32)

    def shares(points: np.ndarray) -> tuple[tuple[float, float], ...]:
        return tuple((float(x), float(y)) for x, y in points / size)

    moved: Mapping[str, object] = {
        name: replace(
            found,
            polygon=shares(to_photo(np.asarray(found.polygon, np.float32), corners)),
        )
        for name, found in reading.fields.found()
        if found.polygon
    }
    placed: KtpFields | SimFields = replace(reading.fields, **moved)  # type: ignore[arg-type]
    return replace(reading, fields=placed, outline=shares(corners))
