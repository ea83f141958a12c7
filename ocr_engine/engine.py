"""One photo in, one reading out. Nothing of a photo is kept or written to a log."""

from dataclasses import replace
from typing import Final

import numpy as np

from ocr_engine.domain import CardReading, DocumentType, read_ktp
from ocr_engine.imaging import Pixels, decode
from ocr_engine.quality import CARD_SIDE_MIN_PX, measure
from ocr_engine.reader import ReaderSettings, TextReader
from ocr_engine.synth import CARD_HEIGHT, CARD_WIDTH, draw_card, random_record

SELF_TEST_SIZE_PX: Final = (350, 80)
"""Small, so that loading takes a quarter of a second longer and not two."""


class SelfTestFailed(RuntimeError):
    """The networks were loaded but cannot read a drawn specimen."""


class CardEngine:
    """The networks and the rules together. Not for use by several threads at a time."""

    def __init__(self, settings: ReaderSettings | None = None) -> None:
        """Loads the networks and lets them read part of a specimen, which also warms them.

        Raises:
            SelfTestFailed: the specimen's number was not read.
        """
        self._reader = TextReader(settings)
        record = random_record(seed=1)
        card = draw_card(record, seed=1)
        rows = card.crop((0, CARD_HEIGHT // 8, CARD_WIDTH * 7 // 10, CARD_HEIGHT * 3 // 8))
        texts = [box.text for box in self._reader.read(np.asarray(rows.resize(SELF_TEST_SIZE_PX)))]
        if record.nik not in texts:
            raise SelfTestFailed("the networks cannot read a drawn specimen")

    def read_card(self, data: bytes) -> CardReading:
        """Reads the identity card on a photo; UNKNOWN when there is none.

        Raises:
            ImageError: the bytes are no photo that can be read.
        """
        return self.read_pixels(decode(data))

    def read_pixels(self, pixels: Pixels) -> CardReading:
        """Reads the identity card in an RGB picture."""
        if max(pixels.shape[:2]) < CARD_SIDE_MIN_PX:
            return CardReading(DocumentType.UNKNOWN, quality=measure(pixels, []))
        boxes = self._reader.read(pixels)
        return replace(read_ktp(boxes), quality=measure(pixels, boxes))
