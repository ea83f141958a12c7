"""The photos that the card reader is measured on.

All show drawn specimens in styles (fonts, layouts, backgrounds, tables) that training never saw,
from seeds that it never used: the same plan is the same photo on every run.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from types import MappingProxyType, TracebackType
from typing import Final, Self

import cv2
import numpy as np

from ocr_engine.parsing import DocumentType
from training.synth import (
    CARD_HEIGHT,
    CARD_WIDTH,
    SHOOTINGS,
    CardRecord,
    Degradation,
    Level,
    Shooting,
    Shot,
    SimLayout,
    SimRecord,
    Split,
    photograph,
    sample,
)
from training.synth.camera import with_certain
from training.synth.light import Corners
from training.synth.styles import choose_style
from training.synth.tables import Pixels, add_things, make_table

FIRST_SEEDS: Final = {Level.CLEAN: 700_000, Level.MEDIUM: 710_000, Level.HARD: 720_000}
FIRST_EMPTY_SEED: Final = 730_000
SIM_PLACES: Final = {3: SimLayout.LABELLED, 6: SimLayout.NUMBERED, 9: SimLayout.BILINGUAL}
"""Of ten cards these are licences, the others identity cards."""
TURNS: Final = (90, 180, 270)
ANY_ANGLE: Final = "any angle"
NO_CARD: Final = "no card"
MEDIUM: Final = SHOOTINGS[Level.MEDIUM]
SPOILED: Final[Mapping[str, Shooting]] = MappingProxyType(
    {
        **{kind.value.lower(): with_certain(MEDIUM, kind) for kind in Degradation},
        "noise": replace(with_certain(MEDIUM), noise=(14.0, 18.0)),
        "jpeg": replace(with_certain(MEDIUM), jpeg=(30, 35)),
    }
)
"""Medium photos on which one thing happens and no other. Noise and JPEG are parts of every
shooting; the levels have at most 9 of the one and a quality of at least 45."""


@dataclass(frozen=True)
class Plan:
    """All that a photo is made from."""

    group: str
    seed: int
    shooting: Shooting | None
    """None: there is no card on the photo."""
    sim: SimLayout | None = None
    """None: an identity card."""
    turn_degrees: float = 0.0

    @property
    def kind(self) -> DocumentType:
        """What the reader should say that it is."""
        if self.shooting is None:
            return DocumentType.UNKNOWN
        return DocumentType.KTP if self.sim is None else DocumentType.SIM


@dataclass(frozen=True)
class Photo:
    """A photo with the truth about it."""

    plan: Plan
    jpeg: bytes
    width: int
    height: int
    record: CardRecord | SimRecord | None
    corners: Corners


def plan_level(level: Level, count: int) -> list[Plan]:
    """Plans upright photos of one level."""
    return _plan(level.value.lower(), level, count, SHOOTINGS[level])


def turned_name(degrees: int) -> str:
    """Names the group of photos that are turned."""
    return f"turned {degrees}"


def plan_turned(degrees: int, count: int) -> list[Plan]:
    """Plans the first medium photos again, turned."""
    plans = _plan(turned_name(degrees), Level.MEDIUM, count, MEDIUM)
    return [replace(plan, turn_degrees=degrees) for plan in plans]


def plan_any_angle(count: int) -> list[Plan]:
    """Plans the first medium photos again, each at an angle of its own."""
    angles = np.random.default_rng(1).uniform(0, 360, count)
    plans = _plan(ANY_ANGLE, Level.MEDIUM, count, MEDIUM)
    return [
        replace(plan, turn_degrees=float(angle)) for plan, angle in zip(plans, angles, strict=True)
    ]


def plan_spoiled(name: str, count: int) -> list[Plan]:
    """Plans the first medium photos again, spoilt by an entry of SPOILED."""
    return _plan(name, Level.MEDIUM, count, SPOILED[name])


def plan_empty(count: int) -> list[Plan]:
    """Plans photos without a card."""
    return [Plan(NO_CARD, FIRST_EMPTY_SEED + index, None) for index in range(count)]


def take(plan: Plan) -> Photo:
    """Draws the card and photographs it."""
    if plan.shooting is None:
        shot, record = _empty(plan.seed), None
    else:
        drawn = sample(
            plan.seed,
            plan.shooting,
            split=Split.TEST,
            sim=plan.sim,
            turn_degrees=plan.turn_degrees,
        )
        shot, record = drawn.shot, drawn.record
    height, width = shot.pixels.shape[:2]
    return Photo(plan, shot.jpeg(), width, height, record, shot.corners)


class Studio:
    """Takes photos on both cores. Its processes sleep between the calls."""

    def __init__(self) -> None:
        # A fork would copy the threads' locks of the networks that were loaded before.
        self._pool = ProcessPoolExecutor(
            2, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def take(self, plans: Iterable[Plan]) -> list[Photo]:
        """Takes all photos before it returns, so that nothing runs while they are read."""
        return list(self._pool.map(take, plans, chunksize=4))


def _plan(group: str, level: Level, count: int, shooting: Shooting) -> list[Plan]:
    first = FIRST_SEEDS[level]
    return [
        Plan(group, first + index, shooting, SIM_PLACES.get(index % 10)) for index in range(count)
    ]


def _empty(seed: int) -> Shot:
    """A table with things on it; every second time one of them has a card's shape."""
    rng = np.random.default_rng((seed, 4))
    table = choose_style(Split.TEST, rng).table
    if seed % 2:
        blank: Pixels = np.empty((CARD_HEIGHT, CARD_WIDTH, 3), np.uint8)
        blank[:] = rng.uniform(20, 250, 3)
        add_things(blank, int(rng.integers(1, 6)), rng)
        return photograph(blank, MEDIUM, table, rng)
    width, height = (int(side) for side in rng.integers(600, 1400, 2))
    scene = make_table(table, width, height, rng)
    add_things(scene, int(rng.integers(0, 8)), rng)
    return Shot(scene, np.zeros((4, 2), np.float32))
