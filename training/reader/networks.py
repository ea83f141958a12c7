"""The networks in torch: what training changes, and the reference for the exported ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import easyocr_en_models
import torch
from easyocr.model.vgg_model import Model
from torch import nn

from ocr_engine.vision.networks import CHARACTERS


class UNet(nn.Module):
    """Computes a map of half the size of its input, as a small U-Net.

    After Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597.
    """

    def __init__(
        self, inputs: int, outputs: int, channels: Sequence[int] = (12, 24, 40, 64)
    ) -> None:
        """Makes the layers.

        Args:
            inputs: Channels of the picture.
            outputs: Channels of the answer.
            channels: Of each level, finest first.
        """
        super().__init__()
        first, second, third, fourth = channels
        self.stem = _block(inputs, first, stride=2)
        self.down = nn.ModuleList(
            [_pair(first, second, 2), _pair(second, third, 2), _pair(third, fourth, 2)]
        )
        self.bottom = _pair(fourth, fourth, 1)
        self.up = nn.ModuleList(
            [
                _block(fourth + third, third),
                _block(third + second, second),
                _block(second + first, first),
            ]
        )
        self.out = nn.Conv2d(first, outputs, 1)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Returns the logits of a picture of 0 to 1."""
        kept = [self.stem(picture - 0.5)]
        for step in self.down:
            kept.append(step(kept[-1]))
        found = self.bottom(kept.pop())
        for step in self.up:
            finer = kept.pop()
            found = nn.functional.interpolate(found, size=finer.shape[2:], mode="nearest")
            found = step(torch.cat((found, finer), dim=1))
        logits: torch.Tensor = self.out(found)
        return logits


class LineFinder(UNet):
    """Finds where labels and values stand.

    Shapes: n x 1 x INPUT_HEIGHT x INPUT_WIDTH of 0 to 1, n x 2 x GRID_HEIGHT x GRID_WIDTH logits.
    """

    def __init__(self) -> None:
        """Makes the layers."""
        super().__init__(1, 2)


class CornerFinder(UNet):
    """Finds where the four corners of a roughly rectified card are.

    Shapes: n x 3 x VIEW_HEIGHT x VIEW_WIDTH of 0 to 1, n x 4 x 2 pixels of the view.
    """

    def __init__(self) -> None:
        """Makes the layers."""
        super().__init__(3, 4)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Returns the middle of the chances of each corner's place."""
        logits = super().forward(picture)
        height, width = logits.shape[2:]
        chances = logits.flatten(2).softmax(2).reshape(logits.shape)
        x = (torch.arange(width, dtype=torch.float32) + 0.5) * 2
        y = (torch.arange(height, dtype=torch.float32) + 0.5) * 2
        return torch.stack(((chances.sum(2) * x).sum(2), (chances.sum(3) * y).sum(2)), dim=2)


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)
    )


def _pair(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(_block(inputs, outputs, stride), _block(outputs, outputs))


def make_recognizer() -> Any:
    """Makes EasyOCR's english_g2 network without weights: VGG, two LSTMs, CTC.

    Shapes: n x 1 x CROP_HEIGHT_PX x width of -1 to 1, n x about width / 4 x characters logits.
    """
    return Model(1, 256, 256, len(CHARACTERS) + 1)


def warm_recognizer() -> Any:
    """Returns the same with EasyOCR's own weights, which are for crops twice as high."""
    path = Path(easyocr_en_models.model_dir()) / "english_g2.pth"
    stored = torch.load(path, map_location="cpu", weights_only=True)
    network = make_recognizer()
    network.load_state_dict({name.removeprefix("module."): value for name, value in stored.items()})
    return network
