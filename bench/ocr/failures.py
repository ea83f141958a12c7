"""What the report says of the fields and cards that were read wrongly."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rapidfuzz.distance import Levenshtein

from bench.ocr import pictures, scores
from bench.ocr.goals import Results
from bench.ocr.judging import Judged, Value
from bench.ocr.photos import NO_CARD

WORST_CARDS: Final = 6
CONFUSIONS: Final = 10
CONFUSED_SHARE: Final = 0.34
"""Share of wrong characters up to which a value counts as misread, not as another text."""
LIMITING_FIELDS: Final = 4


def limits(results: Results) -> str:
    """Says which fields and which characters fail most, in the three levels."""
    values = scores.printed_values(results.upright)
    wrong = [value for value in values if not value.right]
    if not wrong:
        return "No field of the three levels was read wrongly.\n"
    missing = [value for value in wrong if value.read is None]
    names = Counter(value.name for value in wrong).most_common(LIMITING_FIELDS)
    confused = ", ".join(f"{pair} ({count})" for pair, count in _confusions(wrong))
    return (
        f"Of {len(values)} fields in the three levels {len(wrong)} are not exact; {len(missing)} "
        f"of these were not found at all. Most often it is "
        f"{', '.join(f'`{name}` ({count})' for name, count in names)}.\n\n"
        f"The most frequent confusions, printed > read: {confused or 'none'}.\n\n"
        f"{_by_circumstance(results)}"
    )


def worst(results: Results, folder: Path) -> str:
    """Shows the worst photo of each of the worst groups, so that one group does not fill all.

    Args:
        results: What was measured.
        folder: Where the pictures go.
    """
    cards = [max(group, key=_wrong) for name, group in results.groups.items() if name != NO_CARD]
    cards = [card for card in cards if _wrong(card)]
    cards = sorted(cards, key=lambda card: -_wrong(card) / len(card.values))[:WORST_CARDS]
    parts = [
        "The worst photo of each of the worst kinds. Left the photo with the outline as drawn "
        "(green) and as found (red), a dot at the card's own top left; right the card rectified "
        "by the true corners; below what was read, with its confidence, and what is printed.\n"
    ]
    for number, card in enumerate(cards, 1):
        pictures.worst(card, folder / f"worst-{number}.jpg")
        parts.append(f"![{card.plan.group}](ocr-report/worst-{number}.jpg)\n")
    return "\n".join(parts)


def _confusions(wrong: Iterable[Value]) -> list[tuple[str, int]]:
    """Counts what became of characters in fields that were read, but not quite."""
    counts: Counter[str] = Counter()
    for value in wrong:
        read = value.read
        if read is None or value.errors > max(1, len(value.printed) * CONFUSED_SHARE):
            continue
        for edit in Levenshtein.editops(value.printed, read):
            before = "" if edit.tag == "insert" else value.printed[edit.src_pos]
            after = "" if edit.tag == "delete" else read[edit.dest_pos]
            counts[f"{_shown(before)} > {_shown(after)}"] += 1
    return counts.most_common(CONFUSIONS)


def _shown(char: str) -> str:
    return f"`{char}`" if char.strip() else "a blank" if char else "nothing"


def _by_circumstance(results: Results) -> str:
    """Compares the failing cards with the others by what happened to their photos."""
    missed = [card for card in results.upright if not card.outline]
    flipped = [card for card in results.upright if (card.corner_error or 0) > 0.2]
    failed = [card for card in results.upright if not card.all_right]
    in_worst = sum(sorted((_wrong(card) for card in failed), reverse=True)[: len(failed) // 5 or 1])
    whole = sum(_wrong(card) for card in failed)
    return (
        f"{len(failed)} of {len(results.upright)} cards have at least one such field; the worst "
        f"fifth of these holds {in_worst} of all {whole}. No outline was found on {len(missed)} "
        f"photos, and one that is off by more than a fifth of the card's width on {len(flipped)}.\n"
    )


def _wrong(card: Judged) -> int:
    return sum(not value.right for value in card.values)
