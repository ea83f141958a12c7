"""The exported networks answer as the trained ones do."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ocr_engine.serving.engine import CardEngine
from ocr_engine.vision.detector import find_cards
from ocr_engine.vision.networks import OnnxNetworks
from training.synth import Level, SimLayout, sample

if TYPE_CHECKING:
    from training.reference import TorchNetworks

pytestmark = [pytest.mark.model, pytest.mark.torch]


@pytest.fixture(scope="module")
def networks() -> tuple[OnnxNetworks, "TorchNetworks"]:
    from training.reference import TorchNetworks

    return OnnxNetworks(), TorchNetworks()


def test_each_network(networks: tuple[OnnxNetworks, "TorchNetworks"]) -> None:
    exported, trained = networks
    rng = np.random.default_rng(1)
    photo = rng.random((1, 3, 320, 320), dtype=np.float32)
    card = rng.random((1, 1, 400, 640), dtype=np.float32)
    crops = rng.random((3, 1, 32, 160), dtype=np.float32) * 2 - 1

    assert exported.detect(photo) == pytest.approx(trained.detect(photo), abs=2e-2, rel=1e-3)
    assert exported.find_lines(card) == pytest.approx(trained.find_lines(card), abs=1e-3)
    assert exported.recognize(crops) == pytest.approx(trained.recognize(crops), abs=5e-3)


@pytest.mark.parametrize("seed", range(510_000, 510_004))
def test_whole_readings(networks: tuple[OnnxNetworks, "TorchNetworks"], seed: int) -> None:
    sim = SimLayout.NUMBERED if seed % 2 else None
    photo = sample(seed, Level.MEDIUM, sim=sim, turn_degrees=seed % 4 * 90).shot.pixels
    first, second = (CardEngine(networks=each).read_pixels(photo) for each in networks)

    assert {name: field.value for name, field in first.fields.found()} == {
        name: field.value for name, field in second.fields.found()
    }
    assert np.asarray(first.outline) == pytest.approx(np.asarray(second.outline), abs=1e-3)
    for (_, one), (_, other) in zip(first.fields.found(), second.fields.found(), strict=True):
        assert dataclasses.replace(one, confidence=0, polygon=(), chars=()) == dataclasses.replace(
            other, confidence=0, polygon=(), chars=()
        )
        assert one.confidence == pytest.approx(other.confidence, abs=0.1)
    assert len(find_cards(photo, networks[0])) == len(find_cards(photo, networks[1]))
