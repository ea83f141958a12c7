"""What one run found, and what it says about the goals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.ocr import scores
from bench.ocr.judging import Judged
from bench.ocr.peers import PEERS
from bench.ocr.photos import NO_CARD, SPOILED, turned_name
from bench.ocr.process import Footprint
from bench.table import Row
from ocr_engine.parsing import DocumentType
from training.synth import Level

OWN: Final = "this engine"
FIELD_GOALS: Final = {Level.CLEAN: 99.0, Level.MEDIUM: 98.0, Level.HARD: 90.0}
NIK_GOALS: Final = {Level.CLEAN: 100.0, Level.MEDIUM: 99.5, Level.HARD: 95.0}
"""Per cent of the fields, and of the identity cards."""
TURNED_POINTS: Final = 0.5
KIND_GOAL: Final = 99.9
SURE_GOAL: Final = 99.5
SECONDS_GOAL: Final = 0.5
RATIO_GOALS: Final = {"EasyOCR": 100 / 10, "RapidOCR": 100 / 3}
"""Per cent of the other reader's time."""
MEMORY_GOAL_GB: Final = 1.2
START_GOAL_SECONDS: Final = 10.0

Groups = dict[str, list[Judged]]


@dataclass(frozen=True)
class Results:
    """All that was measured in one run."""

    groups: Groups
    """Readings by group of photos."""
    side_by_side: dict[str, Groups]
    """Readings of the same few photos by each reader, by level."""
    missing: dict[str, str]
    """Readers that could not be compared, and what they lack."""
    footprint: Footprint

    def level(self, level: Level) -> list[Judged]:
        """Gives the upright photos of a level."""
        return self.groups[level.value.lower()]

    @property
    def upright(self) -> list[Judged]:
        """The photos of all levels."""
        return [card for level in Level for card in self.level(level)]

    @property
    def all_cards(self) -> list[Judged]:
        """The photos of all levels and turns, but not those with one thing that spoils them."""
        others = {NO_CARD, *SPOILED}
        return [card for name, group in self.groups.items() if name not in others for card in group]


def rows(results: Results) -> list[Row]:
    """Gives the table, goals first."""
    return [
        *(_fields_row(level, results.level(level)) for level in Level),
        *(_nik_row(level, results.level(level)) for level in Level),
        _turned_row(results, "upside down", (180,)),
        _turned_row(results, "turned by 90 degrees", (90, 270)),
        *_kind_rows(results),
        _crash_row(results),
        _sure_row(results),
        *_time_rows(results),
        *_footprint_rows(results),
        *_other_rows(results),
        *_peer_rows(results),
    ]


def _fields_row(level: Level, cards: list[Judged]) -> Row:
    value = scores.fields_exact(cards) * 100
    note = _interval(cards, scores.fields_interval(cards))
    return Row(f"fields exact, {level.lower()}", value, "%", FIELD_GOALS[level], True, note)


def _nik_row(level: Level, cards: list[Judged]) -> Row:
    value = scores.nik_exact(cards) * 100
    cards = scores.kinds(cards, DocumentType.KTP)
    right = sum(value.right for value in scores.printed_values(cards) if value.name == "nik")
    note = _interval(cards, scores.wilson(right, len(cards)))
    return Row(f"NIK exact, {level.lower()}", value, "%", NIK_GOALS[level], True, note)


def _interval(cards: Sequence[Judged], bounds: tuple[float, float]) -> str:
    return f"95 %: {bounds[0] * 100:.1f} to {bounds[1] * 100:.1f}, {len(cards)} cards"


def _turned_row(results: Results, name: str, turns: Iterable[int]) -> Row:
    """Compares turned photos with the upright ones of the same cards."""
    turned = [card for degrees in turns for card in results.groups[turned_name(degrees)]]
    seeds = {card.plan.seed for card in turned}
    upright = [card for card in results.level(Level.MEDIUM) if card.plan.seed in seeds]
    values = [scores.fields_exact(cards) * 100 for cards in (upright, turned)]
    name, note = f"{name}: points below upright", f"{values[1]:.1f} %, upright {values[0]:.1f} %"
    return Row(name, values[0] - values[1], "pts", TURNED_POINTS, False, note)


def _kind_rows(results: Results) -> list[Row]:
    cards, empty = results.all_cards, results.groups[NO_CARD]
    wrong = sum(not card.kind_right for card in cards)
    taken = sum(not card.kind_right for card in empty)
    return [
        Row("card type right", scores.share(card.kind_right for card in cards) * 100, "%",
            KIND_GOAL, True, f"{wrong} of {len(cards)} wrong"),
        Row("no card told", scores.share(card.kind_right for card in empty) * 100, "%",
            KIND_GOAL, True, f"{taken} of {len(empty)} taken for a card"),
    ]  # fmt: skip


def _crash_row(results: Results) -> Row:
    crashes = [card.crash for group in results.groups.values() for card in group if card.crash]
    return Row("readings that crashed", len(crashes), "", 0, False, "; ".join(sorted({*crashes})))


def _sure_row(results: Results) -> Row:
    right, count = scores.sure_right(results.upright)
    of = len(scores.given(results.upright))
    name = f"right among fields with confidence >= {scores.SURE_FROM}"
    return Row(name, right * 100, "%", SURE_GOAL, True, f"{count} of {of} fields")


def _time_rows(results: Results) -> list[Row]:
    seconds = [card.seconds for card in results.upright]
    note = f"p95 {scores.quantile(seconds, 0.95):.2f} s"
    p50 = scores.quantile(seconds, 0.5)
    found = [Row("p50 of a card from JPEG bytes", p50, "s", SECONDS_GOAL, False, note)]
    own = _median_seconds(results, OWN)
    for peer in PEERS:
        name, other = f"time / time of {peer}", _median_seconds(results, peer)
        note = results.missing.get(peer, f"{own:.2f} s against {other:.2f} s")
        found.append(Row(name, own / other * 100, "%", RATIO_GOALS.get(peer), False, note))
    return found


def _median_seconds(results: Results, reader: str) -> float:
    groups = results.side_by_side.get(reader, {})
    return scores.quantile((card.seconds for group in groups.values() for card in group), 0.5)


def _footprint_rows(results: Results) -> list[Row]:
    footprint = results.footprint
    return [
        Row("most memory of the engine's process", footprint.peak_bytes / 1e9, "GB",
            MEMORY_GOAL_GB, False),
        Row("start until it can read", footprint.start_seconds, "s", START_GOAL_SECONDS, False),
    ]  # fmt: skip


def _other_rows(results: Results) -> list[Row]:
    found = []
    for level in Level:
        cards, name = results.level(level), level.lower()
        for kind in (DocumentType.KTP, DocumentType.SIM):
            value = scores.fields_exact(scores.kinds(cards, kind)) * 100
            found.append(Row(f"fields exact, {name}, {kind} alone", value, "%"))
        found.append(Row(f"character errors, {name}", scores.character_errors(cards) * 100, "%"))
        errors = scores.corner_errors(cards)
        mean = sum(errors) / len(errors) * 100 if errors else float("nan")
        note = f"of the card's width; median {scores.quantile(errors, 0.5) * 100:.2f}"
        found.append(Row(f"corner error, {name}", mean, "%", note=note))
    return found


def _peer_rows(results: Results) -> list[Row]:
    found = []
    for level in Level:
        for reader in (OWN, *PEERS):
            cards = results.side_by_side.get(reader, {}).get(level.value.lower(), [])
            note = results.missing.get(reader, f"the same {len(cards)} photos")
            for name, score in (("fields", scores.fields_exact), ("NIK", scores.nik_exact)):
                value = score(cards) * 100
                found.append(Row(f"{reader}: {name} exact, {level.lower()}", value, "%", note=note))
    return found
