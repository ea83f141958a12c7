"""Trains the network that corrects corners: python -m training.reader.corners FOLDER.

FOLDER holds what `training.reader.detector_data` wrote; the detector's errors are invented.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ocr_engine.vision.corners import CARD_SPAN_PX, as_input, look_at
from ocr_engine.vision.rectification import Corners, Pixels
from training.reader.networks import CornerFinder

SEED: Final = 20261124
BATCH: Final = 32
EPOCHS: Final = 5
RATE: Final = 4e-3
ERROR: Final = (0.004, 0.05)
"""Standard deviation of a single corner's error, as a share of the card's width."""


@dataclass(frozen=True)
class Example:
    """Holds a photo and the corners of one card on it, in pixels."""

    photo: Pixels
    corners: Corners


def train(folder: Path, epochs: int = EPOCHS) -> Path:
    """Trains on the photos in a folder; returns the path of the weights."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    examples, held = read_examples(folder, "train"), read_examples(folder, "validation")
    network = CornerFinder().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-4)
    rng = np.random.default_rng(SEED)
    steps = epochs * (len(examples) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps + 1, pct_start=0.1
    )
    for epoch in range(epochs):
        network.train()
        started, total = time.monotonic(), 0.0
        order = rng.permutation(len(examples))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            views, targets = _batch([examples[i] for i in order[start : start + BATCH]], rng)
            found = network(views)
            loss = nn.functional.smooth_l1_loss(found, targets, beta=2.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * BATCH
        print(
            f"epoch {epoch}: loss {total / len(order):.4f}, error on validation "
            f"{error(network, held):.4f} of the width, {time.monotonic() - started:.0f} s",
            flush=True,
        )
        torch.save(network.state_dict(), folder / "corners.pt")
    return folder / "corners.pt"


def read_examples(folder: Path, name: str) -> list[Example]:
    """Reads the cards whose four corners are all on the photo."""
    found = []
    for path in sorted((folder / "labels" / name).glob("*.txt")):
        for line in path.read_text().splitlines():
            numbers = np.asarray([float(part) for part in line.split()[5:]]).reshape(4, 3)
            if (numbers[:, 2] < 1).any():
                continue
            image = cv2.imread(str(folder / "images" / name / f"{path.stem}.jpg"))
            photo = np.asarray(image, np.uint8)[..., ::-1]
            corners = numbers[:, :2] * (photo.shape[1], photo.shape[0])
            found.append(Example(np.ascontiguousarray(photo), corners.astype(np.float32)))
    return found


def error(network: CornerFinder, examples: list[Example]) -> float:
    """Measures how far a corner is from its place after one step, as a share of the width."""
    network.eval()
    rng = np.random.default_rng(1)
    views, targets = _batch(examples, rng)
    with torch.inference_mode():
        return float((network(views) - targets).norm(dim=2).mean()) / CARD_SPAN_PX


def _batch(examples: list[Example], rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    views, targets = [], []
    for example in examples:
        view, matrix = look_at(example.photo, _mistaken(example.corners, rng))
        true = cv2.perspectiveTransform(example.corners[:, None], matrix)[:, 0]
        targets.append(true)
        views.append(as_input(_relit(view, rng)))
    stacked = torch.from_numpy(np.concatenate(views)).contiguous(memory_format=torch.channels_last)
    return stacked, torch.from_numpy(np.stack(targets).astype(np.float32))


def _mistaken(corners: Corners, rng: np.random.Generator) -> Corners:
    """Moves, turns and scales the whole card a little, and each corner by itself."""
    span = float(np.linalg.norm(corners[1] - corners[0]))
    middle = corners.mean(axis=0)
    angle, scale = rng.normal(0, 0.04), 1 + rng.normal(0, 0.05)
    turn = scale * np.asarray(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
    moved = (corners - middle) @ turn.T + middle + rng.normal(0, 0.03, 2) * span
    moved = moved + rng.normal(0, rng.uniform(*ERROR) * span, (4, 2))
    return np.asarray(moved, np.float32)


def _relit(view: Pixels, rng: np.random.Generator) -> NDArray[np.uint8]:
    lit = view.astype(np.float32) * rng.uniform(0.6, 1.3, 3) + rng.uniform(-20, 20)
    return np.asarray(lit.clip(0, 255), np.uint8)


if __name__ == "__main__":
    train(Path(sys.argv[1]))
