"""The networks as functions from array to array, run by ONNX Runtime."""

from importlib import resources
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Floats = NDArray[np.float32]

CHARACTERS: Final = (
    "0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ €"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)
"""Characters of EasyOCR's english_g2, in the order of the recognizer's answers, which begin with
the blank of CTC."""
DETECTOR_SIDE_PX: Final = 320


class Networks(Protocol):
    """Describes what the engine needs. Not for use by several threads at a time."""

    def detect(self, photo: Floats) -> Floats:
        """Finds cards.

        Args:
            photo: 1 x 3 x DETECTOR_SIDE_PX x DETECTOR_SIDE_PX, RGB of 0 to 1.

        Returns:
            18 x candidates: middle x and y, width, height, a score for each of the two classes,
            then x, y and visibility of the four corners; lengths in pixels.
        """

    def find_corners(self, view: Floats) -> Floats:
        """Finds the corners of a card that is known roughly.

        Args:
            view: 1 x 3 x 128 x 192, the card as guessed (`ocr_engine.vision.corners`), RGB
                of 0 to 1.

        Returns:
            1 x 4 x 2: x and y of each corner, in pixels of the view.
        """

    def find_lines(self, card: Floats) -> Floats:
        """Finds text.

        Args:
            card: 1 x 1 x 400 x 640, grey of 0 to 1.

        Returns:
            2 x 200 x 320: the chance of a label, and of a value, in each cell.
        """

    def recognize(self, crops: Floats) -> Floats:
        """Reads lines.

        Args:
            crops: lines x 1 x 32 x width, grey of -1 to 1.

        Returns:
            lines x steps x (1 + len(CHARACTERS)), logits.
        """


class OnnxNetworks:
    """Runs the exported networks, on a graphics card where ONNX Runtime finds one."""

    def __init__(self, threads: int = 2) -> None:
        """Loads the weights.

        Args:
            threads: Processor cores that one answer uses.
        """
        self._threads = threads
        self._detector = self._load("detector")
        self._corners = self._load("corners")
        self._lines = self._load("lines")
        self._recognizer = self._load("recognizer")

    def _load(self, name: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        """Crops differ in width: an arena would keep the largest of each."""
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        there = onnxruntime.get_available_providers()
        return onnxruntime.InferenceSession(
            str(weights(f"{name}.onnx")), options, providers=[one for one in wanted if one in there]
        )

    def detect(self, photo: Floats) -> Floats:
        found: Floats = self._detector.run(None, {"images": photo})[0][0]
        return found

    def find_corners(self, view: Floats) -> Floats:
        corners: Floats = self._corners.run(None, {"view": view})[0]
        return corners

    def find_lines(self, card: Floats) -> Floats:
        chances: Floats = self._lines.run(None, {"card": card})[0][0]
        return chances

    def recognize(self, crops: Floats) -> Floats:
        logits: Floats = self._recognizer.run(None, {"crops": crops})[0]
        return logits


def weights(name: str) -> Path:
    """Gives the path of a file of weights in the package."""
    return Path(str(resources.files("ocr_engine").joinpath("weights", name)))
