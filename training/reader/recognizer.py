"""Trains the recognizer on lines of drawn cards, from EasyOCR's english_g2 on.

python -m training.reader.recognizer FOLDER
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from torch import nn

from ocr_engine.vision.crops import CROP_HEIGHT_PX
from ocr_engine.vision.networks import CHARACTERS
from ocr_engine.vision.recognizer import TEMPERATURE, decode
from training.reader.networks import warm_recognizer
from training.reader.text_data import read_pages
from training.synth import Split

SEED: Final = 20261124
BATCH: Final = 48
WIDTH_STEP_PX: Final = 32
REPEATS_MAX: Final = 400
TEMPERATURES: Final = tuple(np.arange(0.8, 3.0, 0.1))

Sample = tuple[NDArray[np.uint8], str]


@dataclass(frozen=True)
class Phase:
    """Holds steps at a rate that rises and falls (Smith and Topin 2018, arXiv:1708.07120)."""

    steps: int
    rate: float
    """At its highest."""


PHASES: Final = (Phase(2_400, 1.2e-3), Phase(1_300, 6e-4))


def train(folder: Path, phases: Sequence[Phase] = PHASES) -> Path:
    """Trains on the lines in a folder; returns the path of the weights."""
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    held = _samples(folder, Split.VALIDATION)
    network = warm_recognizer().to(memory_format=torch.channels_last)
    print(f"before: {score(network, held)}", flush=True)
    rng = np.random.default_rng(SEED)
    endless = _endless(_samples(folder, Split.TRAIN), rng)
    for phase in phases:
        _train_phase(network, phase, islice(endless, phase.steps), rng)
        print(f"validation: {score(network, held)}", flush=True)
        torch.save(network.state_dict(), folder / "recognizer.pt")
    print(f"temperature {fit_temperature(network, held):.2f}", flush=True)
    return folder / "recognizer.pt"


def _train_phase(
    network: Any, phase: Phase, steps: Iterator[list[Sample]], rng: np.random.Generator
) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), phase.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, phase.rate, total_steps=phase.steps + 1, pct_start=0.08
    )
    network.train()
    started, losses = time.monotonic(), []
    for step, batch in enumerate(steps, 1):
        loss = _loss(network, [(_spoiled(crop, rng), text) for crop, text in batch])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if step % 250 == 0:
            mean, losses = float(np.mean(losses)), []
            spent = time.monotonic() - started
            print(f"step {step}: loss {mean:.4f}, {spent:.0f} s", flush=True)


def _endless(samples: list[Sample], rng: np.random.Generator) -> Iterator[list[Sample]]:
    while True:
        yield from batches(samples, rng)


def batches(samples: list[Sample], rng: np.random.Generator) -> Iterator[list[Sample]]:
    """Goes through all samples once, in batches of lines that are about equally wide."""
    widths = np.asarray([crop.shape[1] for crop, _ in samples]) * rng.uniform(
        0.95, 1.05, len(samples)
    )
    order = np.argsort(widths)
    starts = np.arange(0, len(order), BATCH)
    rng.shuffle(starts)
    for start in starts:
        yield [samples[index] for index in order[start : start + BATCH]]


def stacked(crops: list[NDArray[np.uint8]]) -> torch.Tensor:
    """Stacks crops, each repeated at its right edge up to the common width."""
    width = -(-max(crop.shape[1] for crop in crops) // WIDTH_STEP_PX) * WIDTH_STEP_PX
    padded = [np.pad(crop, ((0, 0), (0, width - crop.shape[1])), mode="edge") for crop in crops]
    return torch.from_numpy(np.stack(padded)[:, None]).float().div_(127.5).sub_(1.0)


def score(network: Any, samples: list[Sample]) -> str:
    """Measures the share of lines that are read exactly, and the rate of wrong characters."""
    network.eval()
    exact = wrong = letters = 0
    rng = np.random.default_rng(1)
    with torch.inference_mode():
        for batch in batches(samples, rng):
            best = network(stacked([crop for crop, _ in batch]), "").argmax(2).numpy()
            for steps, (_, text) in zip(best, batch, strict=True):
                kept = steps[np.insert(steps[1:] != steps[:-1], 0, True)]
                read = "".join(CHARACTERS[index - 1] for index in kept if index).strip()
                exact += read == text
                wrong += Levenshtein.distance(read, text)
                letters += len(text)
    return f"{exact / len(samples):.4f} exact, {wrong / letters:.5f} wrong"


def fit_temperature(network: Any, samples: list[Sample]) -> float:
    """Finds the temperature at which the chance of a line is the share of lines that are right.

    What it finds stands in `ocr_engine.vision.recognizer.TEMPERATURE`.
    """
    network.eval()
    lines: list[tuple[NDArray[np.float32], str]] = []
    with torch.inference_mode():
        for batch in batches(samples, np.random.default_rng(1)):
            logits = network(stacked([crop for crop, _ in batch]), "").numpy()
            lines.extend((steps, text) for steps, (_, text) in zip(logits, batch, strict=True))
    return min(TEMPERATURES, key=lambda temperature: _surprise(lines, temperature))


def _surprise(lines: list[tuple[NDArray[np.float32], str]], temperature: float) -> float:
    """Returns the mean negative logarithm of the chance that was given to what happened."""
    total = 0.0
    for steps, text in lines:
        read, confidence, _ = decode(steps * TEMPERATURE / temperature)
        chance = min(max(confidence, 1e-4), 1 - 1e-4)
        total -= np.log(chance if read == text else 1 - chance)
    return total / len(lines)


def _samples(folder: Path, split: Split) -> list[Sample]:
    """Returns all lines, each text at most REPEATS_MAX times: labels are on every card."""
    samples: list[Sample] = []
    seen: Counter[str] = Counter()
    for page in read_pages(folder, split):
        for crop, text in zip(page.crops, page.texts, strict=True):
            seen[text] += 1
            # CTC needs a step a letter and one between equal ones.
            if seen[text] <= REPEATS_MAX and crop.shape[1] // 4 - 1 > len(text) + 2:
                samples.append((crop, text.strip()))
    return samples


def _spoiled(crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws contrast, brightness, blur and stretch each time that a line is shown."""
    values = crop.astype(np.float32)
    if rng.random() < 0.3:
        width = max(16, round(crop.shape[1] * rng.uniform(0.9, 1.1)))
        values = np.asarray(cv2.resize(values, (width, CROP_HEIGHT_PX)), np.float32)
    if rng.random() < 0.15:
        blurred = cv2.GaussianBlur(values, (0, 0), float(rng.uniform(0.4, 0.9)))
        values = np.asarray(blurred, np.float32)
    middle = float(values.mean())
    values = (values - middle) * rng.uniform(0.6, 1.4) + middle + rng.uniform(-25, 25)
    return np.asarray(values.clip(0, 255), np.uint8)


def _loss(network: Any, batch: list[Sample]) -> torch.Tensor:
    inputs = stacked([crop for crop, _ in batch]).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(inputs, "")
    chances = logits.float().log_softmax(2).permute(1, 0, 2)
    targets = [[CHARACTERS.index(char) + 1 for char in text] for _, text in batch]
    lengths = torch.tensor([len(target) for target in targets])
    steps = torch.full((len(batch),), chances.shape[0])
    flat = torch.tensor([index for target in targets for index in target])
    return nn.functional.ctc_loss(chances, flat, steps, lengths, zero_infinity=True)


if __name__ == "__main__":
    train(Path(sys.argv[1]))
