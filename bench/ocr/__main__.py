"""How well, how fast and how sparingly cards are read: python -m bench.ocr --help.

Drawn specimens in styles that training never saw go through the engine as JPEG bytes, and a few of
them, image by image in turn, through three other readers. Photos are taken before they are timed,
so that nothing else runs then. With --report also the things that spoil photos are measured one by
one, and docs/explanation/ocr-report.md is written.
"""

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bench.ocr import process
from bench.ocr.goals import OWN, Groups, Results, rows
from bench.ocr.judging import Judged, judge
from bench.ocr.peers import THREADS, Answer, Own, Reader, open_peers
from bench.ocr.photos import (
    SPOILED,
    TURNS,
    Photo,
    Plan,
    Studio,
    plan_any_angle,
    plan_empty,
    plan_level,
    plan_spoiled,
    plan_turned,
)
from bench.table import show
from ocr_engine.parsing import CardReading, DocumentType
from ocr_engine.serving.engine import CardEngine
from training.synth import Level

MEMORY_PHOTOS: Final = 40


@dataclass(frozen=True)
class Sizes:
    """How many photos are taken."""

    level: int
    """Of each level."""
    peers: int
    """Of each level, for all readers side by side."""
    report: bool
    """Whether the things that spoil a photo are measured one by one."""

    def plans(self) -> dict[str, list[Plan]]:
        """Plans the photos that only the engine reads, by group."""
        turned, spoiled = _part(self.level, 2), _part(self.level, 4)
        groups = [plan_level(level, self.level) for level in Level]
        groups += [plan_turned(degrees, turned) for degrees in TURNS]
        groups.append(plan_empty(turned))
        if self.report:
            groups.append(plan_any_angle(turned))
            groups += [plan_spoiled(name, spoiled) for name in SPOILED]
        return {group[0].group: group for group in groups}


def measure(engine: CardEngine, sizes: Sizes) -> Results:
    """Takes all photos, reads them and compares."""
    own, groups = Own(engine), Groups()
    with Studio() as studio:
        footprint = process.measure(studio.take(plan_level(Level.MEDIUM, MEMORY_PHOTOS)))
        for name, plans in sizes.plans().items():
            groups[name] = [_read(own, photo) for photo in studio.take(plans)]
            _tell(f"{name}: {len(plans)} photos")
        peers, missing = open_peers()
        readers = {OWN: own, **peers}
        side_by_side: dict[str, Groups] = {name: {} for name in readers}
        for level in Level:
            photos = studio.take(plan_level(level, sizes.peers))
            for name, cards in _in_turn(readers, photos).items():
                side_by_side[name][level.value.lower()] = cards
            _tell(f"{level.lower()}: {len(photos)} photos by {len(readers)} readers")
    return Results(groups, side_by_side, missing, footprint)


def _in_turn(readers: Mapping[str, Reader], photos: Sequence[Photo]) -> dict[str, list[Judged]]:
    """Lets all readers read each photo before the next one, another one first each time.

    A slow minute of the machine thus hits all of them.
    """
    cards: dict[str, list[Judged]] = {name: [] for name in readers}
    for reader in readers.values():
        # The first reading of a library is slow.
        reader.read(photos[0].jpeg)
    names = list(readers)
    for index, photo in enumerate(photos):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            cards[name].append(_read(readers[name], photo))
    return cards


def _read(reader: Reader, photo: Photo) -> Judged:
    """Reads one photo. A crash is a finding, not the end of the run: nothing was read then."""
    answer, error = Answer(CardReading(DocumentType.UNKNOWN), ()), ""
    started = time.perf_counter()
    try:
        answer = reader.read(photo.jpeg)
    except Exception as crash:
        error = repr(crash)
        plan = photo.plan
        _tell(f"{type(reader).__name__} crashed on {plan.group}, seed {plan.seed}: {error}")
    seconds = time.perf_counter() - started
    judged = judge(photo, answer.reading, answer.texts, seconds)
    return replace(judged, crash=error)


def _tell(text: str) -> None:
    print(f"... {text}", flush=True)


def _part(count: int, parts: int) -> int:
    return max(1, count // parts)


def main(arguments: Iterable[str] | None = None) -> None:
    """Prints the table, and writes the report when asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.ocr", description=__doc__)
    parser.add_argument("--images", type=int, default=200, help="photos a level")
    parser.add_argument("--peer-images", type=int, default=8, help="photos a level, all readers")
    parser.add_argument("--report", action="store_true", help="write the report in docs")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is missed")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if min(options.images, options.peer_images) < 1:
        parser.error("at least one photo is needed")
    results = measure(
        CardEngine(threads=THREADS), Sizes(options.images, options.peer_images, options.report)
    )
    if options.report:
        # matplotlib is only needed here.
        from bench.ocr import report

        report.write(results)
    show(rows(results), strict=options.strict)


if __name__ == "__main__":
    main()
