"""Writes trained networks: halves for torch to `training/weights`, ONNX to `ocr_engine/weights`.

python -m training.reader.export DETECTOR_PT CORNERS_PT LINES_PT RECOGNIZER_PT
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from ultralytics.nn.tasks import PoseModel

from ocr_engine.vision.corners import VIEW_HEIGHT, VIEW_WIDTH
from ocr_engine.vision.crops import CROP_HEIGHT_PX
from ocr_engine.vision.lines import INPUT_HEIGHT, INPUT_WIDTH
from ocr_engine.vision.networks import DETECTOR_SIDE_PX
from ocr_engine.vision.networks import weights as path_of
from training import WEIGHTS
from training.reader.networks import CornerFinder, LineFinder, make_recognizer

SMALL = 64
"""Arrays with fewer numbers stay as they are."""


class _Chances(nn.Module):
    def __init__(self, network: LineFinder) -> None:
        super().__init__()
        self.network = network

    def forward(self, card: torch.Tensor) -> torch.Tensor:
        return self.network(card).sigmoid()


class _Recognizer(nn.Module):
    """EasyOCR's network with a mean over the height that ONNX knows, and without its text input."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        seen = self.network.FeatureExtraction(crops).mean(dim=2).permute(0, 2, 1)
        return self.network.Prediction(self.network.SequenceModeling(seen).contiguous())


def export(detector: Path, corners: Path, lines: Path, recognizer: Path) -> None:
    """Exports all networks from their training weights."""
    trained = torch.load(detector, map_location="cpu", weights_only=False)  # nosec B614 # written by us
    source = trained.get("ema") or trained["model"]
    pose = PoseModel("yolov8n-pose.yaml", nc=2, data_kpt_shape=(4, 3), verbose=False)
    pose.load_state_dict(_halved("detector", source.float().state_dict()))
    layers: Any = pose.model
    head = layers[-1]
    head.export, head.format = True, "onnx"
    side = DETECTOR_SIDE_PX
    _write(pose, "detector", torch.zeros(1, 3, side, side), "images", {})

    adjuster = CornerFinder()
    adjuster.load_state_dict(_halved("corners", torch.load(corners, weights_only=True)))
    _write(adjuster, "corners", torch.zeros(1, 3, VIEW_HEIGHT, VIEW_WIDTH), "view", {})

    finder = LineFinder()
    finder.load_state_dict(_halved("lines", torch.load(lines, weights_only=True)))
    _write(_Chances(finder), "lines", torch.zeros(1, 1, INPUT_HEIGHT, INPUT_WIDTH), "card", {})

    reader = make_recognizer()
    reader.load_state_dict(_halved("recognizer", torch.load(recognizer, weights_only=True)))
    sizes = {"crops": {0: "lines", 3: "width"}}
    _write(
        _Recognizer(reader), "recognizer", torch.zeros(2, 1, CROP_HEIGHT_PX, 128), "crops", sizes
    )


def _halved(name: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Stores weights as halves; returns them as they will be loaded."""
    halves = {
        key: value.half() if value.is_floating_point() else value for key, value in state.items()
    }
    torch.save(halves, WEIGHTS / f"{name}.pt")
    return {
        key: value.float() if value.is_floating_point() else value for key, value in halves.items()
    }


def _write(
    network: nn.Module, name: str, example: torch.Tensor, input_name: str, sizes: dict[str, Any]
) -> None:
    path = path_of(f"{name}.onnx")
    # Otherwise the export folds normalization into weights, which halves then do not hold exactly.
    kept = torch.onnx.TrainingMode.PRESERVE
    torch.onnx.export(
        network.eval(), (example,), str(path), input_names=[input_name], output_names=["found"],
        dynamic_axes=sizes, opset_version=17, dynamo=False, training=kept,
    )  # fmt: skip
    _store_halves(path)


def _store_halves(path: Path) -> None:
    """Keeps large arrays as halves, with a cast that ONNX Runtime folds away when it loads them."""
    model = onnx.load(str(path))
    casts = []
    for array in model.graph.initializer:
        values = numpy_helper.to_array(array)
        if values.dtype != np.float32 or values.size < SMALL:
            continue
        name = array.name
        half = numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
        array.CopyFrom(half)
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


if __name__ == "__main__":
    export(*(Path(argument) for argument in sys.argv[1:5]))
