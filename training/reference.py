"""The networks in torch, as they were trained: what the exported ones are tested against."""

import numpy as np
import torch
from ultralytics.nn.tasks import PoseModel

from ocr_engine.vision.networks import Floats
from training import WEIGHTS
from training.reader.networks import CornerFinder, LineFinder, make_recognizer


class TorchNetworks:
    """Answers as `ocr_engine.vision.networks.OnnxNetworks`, several times slower to load."""

    def __init__(self, threads: int = 2) -> None:
        """Loads the weights; on a graphics card where torch finds one."""
        torch.set_num_threads(threads)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        detector = PoseModel("yolov8n-pose.yaml", nc=2, data_kpt_shape=(4, 3), verbose=False)
        self._detector = self._load(detector, "detector")
        self._corners = self._load(CornerFinder(), "corners")
        self._lines = self._load(LineFinder(), "lines")
        self._recognizer = self._load(make_recognizer(), "recognizer")

    def _load(self, network: torch.nn.Module, name: str) -> torch.nn.Module:
        stored = torch.load(WEIGHTS / f"{name}.pt", map_location="cpu", weights_only=True)
        network.load_state_dict({key: value.float() for key, value in stored.items()})
        return network.eval().to(self._device)

    def _tensor(self, values: Floats) -> torch.Tensor:
        return torch.from_numpy(values).to(self._device)

    @torch.inference_mode()
    def detect(self, photo: Floats) -> Floats:
        found = self._detector(self._tensor(photo))[0]
        return np.asarray(found[0].cpu().numpy(), np.float32)

    @torch.inference_mode()
    def find_corners(self, view: Floats) -> Floats:
        return np.asarray(self._corners(self._tensor(view)).cpu().numpy(), np.float32)

    @torch.inference_mode()
    def find_lines(self, card: Floats) -> Floats:
        return np.asarray(self._lines(self._tensor(card)).sigmoid()[0].cpu().numpy(), np.float32)

    @torch.inference_mode()
    def recognize(self, crops: Floats) -> Floats:
        return np.asarray(self._recognizer(self._tensor(crops), "").cpu().numpy(), np.float32)
