"""Drawn specimen cards and photos of them. Nobody's real card is ever used."""

from dataclasses import dataclass

import numpy as np

from training.synth.camera import SHOOTINGS, Level, Shooting, Shot, photograph
from training.synth.drawing import Drawing, PlacedText, Role
from training.synth.ktp import draw_ktp
from training.synth.light import Degradation
from training.synth.records import (
    CardRecord,
    SimLayout,
    SimRecord,
    random_record,
    random_sim_record,
)
from training.synth.sim import draw_sim
from training.synth.styles import CARD_HEIGHT, CARD_WIDTH, CardStyle, Split, choose_style

__all__ = [
    "CARD_HEIGHT",
    "CARD_WIDTH",
    "SHOOTINGS",
    "CardRecord",
    "CardStyle",
    "Degradation",
    "Drawing",
    "Level",
    "PlacedText",
    "Role",
    "Sample",
    "Shooting",
    "Shot",
    "SimLayout",
    "SimRecord",
    "Split",
    "draw_card",
    "draw_ktp",
    "draw_sim",
    "photograph",
    "random_record",
    "random_sim_record",
    "sample",
]


@dataclass(frozen=True)
class Sample:
    """Holds a record, its card, and a photo of it."""

    record: CardRecord | SimRecord
    drawing: Drawing
    shot: Shot


def draw_card(record: CardRecord | SimRecord, seed: int, split: Split = Split.TEST) -> Drawing:
    """Draws a card in one of a split's styles; the same seed gives the same one."""
    rng = np.random.default_rng((seed, 1))
    style = choose_style(split, rng)
    return (
        draw_ktp(record, style, rng)
        if isinstance(record, CardRecord)
        else draw_sim(record, style, rng)
    )


def sample(
    seed: int,
    level: Level | Shooting = Level.CLEAN,
    *,
    split: Split = Split.TEST,
    sim: SimLayout | None = None,
    turn_degrees: float = 0.0,
) -> Sample:
    """Invents a holder, draws the card and photographs it; the same arguments give the same.

    Args:
        seed: Chooses holder, style and photo.
        level: How hard the photo is, or how exactly it is taken.
        split: Whose styles are used.
        sim: A driving licence of this layout; a KTP when absent.
        turn_degrees: Turn of the card in the photo.
    """
    record = random_record(seed) if sim is None else random_sim_record(seed, sim)
    drawing = draw_card(record, seed, split)
    shooting = SHOOTINGS[level] if isinstance(level, Level) else level
    rng = np.random.default_rng((seed, 2))
    shot = photograph(drawing.pixels, shooting, drawing.style.table, rng, turn_degrees=turn_degrees)
    return Sample(record, drawing, shot)
