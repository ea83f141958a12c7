"""Trains the detector: YOLOv8n-pose from scratch, two classes, four corners in card order.

    python -m training.reader.detector FOLDER

FOLDER holds what `training.reader.detector_data` wrote. A processor with bfloat16 takes half the
time of one without.
"""

import sys
from pathlib import Path
from typing import Any, Final

import torch
from ultralytics.models.yolo.pose import PoseTrainer
from ultralytics.nn.tasks import PoseModel

from training.reader.detector_data import SIDE_PX

EPOCHS: Final = 8
SEED: Final = 20261124


class HalfPoseModel(PoseModel):
    """Computes the same; in training its convolutions run in bfloat16, all else in float32."""

    def _predict_once(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self.training:
            return super()._predict_once(x, *args, **kwargs)
        with torch.autocast("cpu", torch.bfloat16):
            found = super()._predict_once(
                x.contiguous(memory_format=torch.channels_last), *args, **kwargs
            )
        return _as_float(found)


def _as_float(found: Any) -> Any:
    if isinstance(found, torch.Tensor):
        return found.float()
    if isinstance(found, dict):
        return {name: _as_float(value) for name, value in found.items()}
    return type(found)(_as_float(value) for value in found)


class CardTrainer(PoseTrainer):
    """Trains that network as Ultralytics does."""

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> PoseModel:
        model = HalfPoseModel(
            cfg, nc=self.data["nc"], ch=3, data_kpt_shape=self.data["kpt_shape"], verbose=verbose
        )
        if weights:
            model.load(weights)
        return model.to(memory_format=torch.channels_last)


def train(folder: Path, epochs: int = EPOCHS) -> Path:
    """Trains on the photos in a folder; returns the path of the best weights."""
    trainer = CardTrainer(
        overrides={
            "model": "yolov8n-pose.yaml", "data": str(folder / "data.yaml"), "imgsz": SIDE_PX,
            "epochs": epochs, "batch": 16, "device": "cpu", "workers": 1, "cache": "ram",
            "optimizer": "AdamW", "lr0": 0.0015, "lrf": 0.01, "cos_lr": True, "warmup_epochs": 0.5,
            "mosaic": 0.0, "fliplr": 0.0, "flipud": 0.0, "degrees": 10.0, "translate": 0.06,
            "scale": 0.2, "perspective": 0.0003, "hsv_h": 0.04, "hsv_s": 0.5, "hsv_v": 0.35,
            "pose": 16.0, "seed": SEED, "deterministic": False, "plots": False,
            "project": str(folder), "name": "run", "exist_ok": True, "amp": False,
        }
    )  # fmt: skip
    trainer.train()
    return Path(trainer.best)


if __name__ == "__main__":
    train(Path(sys.argv[1]))
