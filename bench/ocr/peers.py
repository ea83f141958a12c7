"""The readers that are compared: this project's engine, and three others.

The others find and read the text of the whole photo; then the same rules as the engine's make
fields of it (`ocr_engine.parsing.read_card`).
"""

import logging
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol

import cv2
import numpy as np

from ocr_engine.parsing import CardReading, DocumentType, SeveralCards, TextBox, read_card
from ocr_engine.serving.engine import CardEngine

THREADS: Final = 2
LANGUAGE: Final = "ind"
"""Of Tesseract."""
GAP_MAX: Final = 1.5
"""Words of Tesseract that stand further apart than this many heights are pieces of their own."""


@dataclass(frozen=True)
class Answer:
    """What a reader made of a photo."""

    reading: CardReading
    texts: tuple[str, ...]
    """All that it read, in no particular order."""


class Reader(Protocol):
    """Something that reads cards."""

    def read(self, data: bytes) -> Answer:
        """Reads the card on a JPEG; UNKNOWN when it finds none."""


class PeerMissing(RuntimeError):
    """A reader is not installed; the text says what is missing."""


class Own:
    """This project's engine."""

    def __init__(self, engine: CardEngine) -> None:
        self._engine = engine

    def read(self, data: bytes) -> Answer:
        try:
            reading = self._engine.read_card(data)
        except SeveralCards:
            reading = CardReading(DocumentType.UNKNOWN)
        return Answer(reading, tuple(field.raw_value for _, field in reading.fields.found()))


class EasyOcr:
    """EasyOCR with the English model, as its manual shows it."""

    def __init__(self) -> None:
        try:
            import easyocr
            import easyocr_en_models
            import torch
        except ImportError as error:
            raise PeerMissing(f"pip install {error.name}") from error
        torch.set_num_threads(THREADS)
        folder = str(easyocr_en_models.model_dir())
        warnings.filterwarnings("ignore", module=r"torch\.|easyocr\.")
        self._reader = easyocr.Reader(
            ["en"],
            gpu=False,
            model_storage_directory=folder,
            user_network_directory=folder,
            download_enabled=False,
            verbose=False,
        )

    def read(self, data: bytes) -> Answer:
        found = self._reader.readtext(_decode(data))
        return _answer([_box(text, chance, corners) for corners, text, chance in found])


class RapidOcr:
    """RapidOCR (PP-OCR on ONNX Runtime) without its line classifier, which flips OCR-A digits."""

    def __init__(self) -> None:
        try:
            import rapidocr
        except ImportError as error:
            raise PeerMissing(f"pip install {error.name}") from error
        # It would fetch what its wheel does not bring.
        models = Path(rapidocr.__file__).parent / "models"
        for part in ("det", "rec"):
            if not list(models.glob(f"*_{part}_*.onnx")):
                raise PeerMissing(f"the wheel of rapidocr brings no {part} model")
        self._engine: Any = rapidocr.RapidOCR(
            params={
                "Global.use_cls": False,
                "Global.log_level": "error",
                "EngineConfig.onnxruntime.intra_op_num_threads": THREADS,
            }
        )

    def read(self, data: bytes) -> Answer:
        found = self._engine(_decode(data))
        if found.boxes is None:
            return _answer([])
        return _answer(
            [
                # It writes Chinese colons, which look and mean the same.
                _box(unicodedata.normalize("NFKC", text), chance, corners)
                for text, chance, corners in zip(found.txts, found.scores, found.boxes, strict=True)
            ]
        )


class Tesseract:
    """Tesseract with its Indonesian model."""

    def __init__(self) -> None:
        try:
            import pytesseract
        except ImportError as error:
            raise PeerMissing(f"pip install {error.name}") from error
        try:
            known = pytesseract.get_languages()
        except OSError as error:
            raise PeerMissing("apt-get install tesseract-ocr") from error
        if LANGUAGE not in known:
            raise PeerMissing(f"apt-get install tesseract-ocr-{LANGUAGE}")
        self._library = pytesseract

    def read(self, data: bytes) -> Answer:
        photo = cv2.cvtColor(_decode(data), cv2.COLOR_BGR2RGB)
        table = self._library.image_to_data(photo, LANGUAGE, output_type="dict")
        lines: dict[tuple[int, int, int], list[TextBox]] = {}
        for index, text in enumerate(table["text"]):
            if text.strip():
                left, top = table["left"][index], table["top"][index]
                right, bottom = left + table["width"][index], top + table["height"][index]
                line = tuple(table[key][index] for key in ("block_num", "par_num", "line_num"))
                chance = float(table["conf"][index]) / 100
                lines.setdefault(line, []).append(
                    TextBox(text.strip(), chance, left, top, right, bottom)
                )
        return _answer([piece for words in lines.values() for piece in _pieces(words)])


PEERS: Final[dict[str, Callable[[], Reader]]] = {
    "EasyOCR": EasyOcr,
    "RapidOCR": RapidOcr,
    "Tesseract": Tesseract,
}


def open_peers() -> tuple[dict[str, Reader], dict[str, str]]:
    """Loads the other readers; gives those that are here, and what the rest lacks."""
    logging.disable(logging.WARNING)
    here: dict[str, Reader] = {}
    missing: dict[str, str] = {}
    for name, load in PEERS.items():
        try:
            here[name] = load()
        except PeerMissing as error:
            missing[name] = str(error)
    return here, missing


def _answer(boxes: list[TextBox]) -> Answer:
    return Answer(read_card(boxes), tuple(box.text for box in boxes))


def _decode(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def _box(text: str, chance: float, corners: Any) -> TextBox:
    points = np.asarray(corners, np.float32)
    left, top = (float(value) for value in points.min(axis=0))
    right, bottom = (float(value) for value in points.max(axis=0))
    return TextBox(text, float(chance), left, top, right, bottom)


def _pieces(words: list[TextBox]) -> Iterator[TextBox]:
    """Joins the words of a line, but not across a gap: beyond it begins another column."""
    start = 0
    for index, (word, following) in enumerate(pairwise(words), 1):
        if following.left - word.right > GAP_MAX * min(word.height, following.height):
            yield _joined(words[start:index])
            start = index
    yield _joined(words[start:])


def _joined(words: Iterable[TextBox]) -> TextBox:
    parts = list(words)
    return TextBox(
        " ".join(part.text for part in parts),
        min(part.confidence for part in parts),
        min(part.left for part in parts),
        min(part.top for part in parts),
        max(part.right for part in parts),
        max(part.bottom for part in parts),
    )
