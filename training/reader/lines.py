"""Trains the line finder: python -m training.reader.lines FOLDER."""

import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from training.reader.networks import LineFinder
from training.reader.text_data import Page, read_pages
from training.synth import Split

SEED: Final = 20261124
BATCH: Final = 12
EPOCHS: Final = 5
RATE: Final = 3e-3


def train(folder: Path, epochs: int = EPOCHS) -> Path:
    """Trains on the pages in a folder; returns the path of the weights."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    pages, held = read_pages(folder, Split.TRAIN), read_pages(folder, Split.VALIDATION)
    network = LineFinder().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-4)
    steps = epochs * (len(pages) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps + 1, pct_start=0.1
    )
    rng = np.random.default_rng(SEED)
    for epoch in range(epochs):
        network.train()
        started, total = time.monotonic(), 0.0
        order = rng.permutation(len(pages))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            inputs, targets = _batch([pages[index] for index in order[start : start + BATCH]])
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(inputs)
            loss = _loss(logits.float(), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * BATCH
        print(
            f"epoch {epoch}: loss {total / len(order):.4f}, overlap on validation "
            f"{overlap(network, held):.4f}, {time.monotonic() - started:.0f} s",
            flush=True,
        )
        torch.save(network.state_dict(), folder / "lines.pt")
    return folder / "lines.pt"


def overlap(network: LineFinder, pages: list[Page]) -> float:
    """Returns intersection over union of the found text with the drawn text."""
    network.eval()
    both = either = 0
    with torch.inference_mode():
        for page in pages:
            inputs, targets = _batch([page])
            found, drawn = network(inputs) > 0, targets > 0.5
            both += int((found & drawn).sum())
            either += int((found | drawn).sum())
    return both / max(either, 1)


def _batch(pages: list[Page]) -> tuple[torch.Tensor, torch.Tensor]:
    greys = np.stack([page.grey for page in pages])[:, None]
    masks = np.stack([page.mask for page in pages])
    inputs = torch.from_numpy(greys).float().div_(255).contiguous(memory_format=torch.channels_last)
    return inputs, torch.from_numpy(masks).float()


def _loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross entropy, and one minus the Dice coefficient so that few cells of text weigh enough."""
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, targets)
    chance = logits.sigmoid()
    both = (chance * targets).sum(dim=(0, 2, 3))
    dice = (2 * both + 1) / (chance.sum(dim=(0, 2, 3)) + targets.sum(dim=(0, 2, 3)) + 1)
    return entropy + (1 - dice.mean())


if __name__ == "__main__":
    train(Path(sys.argv[1]))
