"""Gives each label of a card its text, also where labels or lines were lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from ocr_engine.parsing.fields.text import Row, join
from ocr_engine.parsing.fields.values import find_date
from ocr_engine.parsing.labels import Anchor, Form, Label

MULTI_LINE = frozenset(
    {
        Label.NAME,
        Label.BIRTH,
        Label.BIRTHPLACE,
        Label.ADDRESS,
        Label.RELIGION,
        Label.OCCUPATION,
        Label.ISSUER,
    }
)
"""Values that may go on in the next line."""
OFF_GRID_MAX = 0.3
"""How far a line may be from where it should be, in row distances."""
COLUMN_SLACK = 1.5
"""How far left of their column values may begin, in heights: a lost colon moves them."""

Texts = dict[Label, Row]


@dataclass(frozen=True)
class _Grid:
    """Says where values begin and how far lines are from each other, in pixels."""

    column: float
    pitch: float
    """0 when it cannot be told."""


def texts_by_label(rows: list[Row], anchors: list[Anchor], form: Form) -> Texts:
    """Gives each label its text; lines between two labels go to where they belong."""
    grid = _Grid(_value_column(anchors, form), _row_pitch(anchors, form))
    texts = _above(rows, anchors[0], grid, form)
    for anchor, below in zip(anchors, [*anchors[1:], None], strict=True):
        end = below.row_index if below else len(rows)
        between = (from_column(row, grid.column) for row in rows[anchor.row_index + 1 : end])
        loose = [row for row in between if row.boxes]
        unread = _unread(anchor, below, form)
        shared = _by_place(anchor, below, loose, unread, grid, form)
        if shared is None:
            shared = _by_count(anchor, below, loose, unread[0])
        own = texts.get(anchor.label, Row(()))
        texts[anchor.label] = join(own, anchor.match.value, *shared.pop(anchor.label, ()))
        texts |= {label: join(*lines) for label, lines in shared.items()}
    return texts


def _above(rows: list[Row], first: Anchor, grid: _Grid, form: Form) -> Texts:
    """Gives the labels that were not read above all others the lines at their distance."""
    unread = form.order[: form.order.index(first.label)]
    if form.bare_number:
        unread = unread[unread.index(Label.NUMBER) + 1 :] if Label.NUMBER in unread else ()
    if not grid.pitch or not unread:
        return {}
    ups = {
        round((first.middle - row.middle) / grid.pitch): from_column(row, grid.column)
        for row in rows[: first.row_index]
    }
    lines = len(unread)
    if not form.bare_number:
        # Nothing but titles stands above, so all lines are values, and one may have gone on.
        lines = next((up - 1 for up in range(1, len(rows) + 2) if up not in ups), 0)
    ends = {lines - up: row.right for up, row in ups.items() if row.boxes}
    owners = _stretched(unread, lines, ends) or unread
    texts: Texts = {}
    for up, row in sorted(ups.items(), reverse=True):
        if 1 <= up <= len(owners):
            label = owners[len(owners) - up]
            texts[label] = join(texts.get(label, Row(())), row)
    return texts


def _value_column(anchors: list[Anchor], form: Form) -> float:
    """Tells where values begin; a bare number's own is elsewhere."""
    lefts = [
        anchor.match.value.left
        for anchor in anchors
        if anchor.match.value.boxes and not (form.bare_number and anchor.label is Label.NUMBER)
    ]
    return median(lefts) if lefts else 0.0


def _row_pitch(anchors: list[Anchor], form: Form) -> float:
    distances = [
        below.middle - above.middle
        for above, below in pairwise(anchors)
        if below.row_index == above.row_index + 1
        and not (form.number_lead and above.label is Label.NUMBER)
    ]
    return median(distances) if distances else 0.0


def from_column(row: Row, left: float) -> Row:
    """Gives what stands in the column of the values, when a line's label was not read."""
    boxes = tuple(box for box in row.boxes if box.left > left - COLUMN_SLACK * box.height)
    if boxes:
        return Row(boxes).tail(0)
    if ":" in row.text:
        return row.tail(row.text.index(":") + 1)
    first = row.boxes[0]
    if first.right <= left + first.height:
        return Row(())
    # Label and value in one box: the value begins at the blank that is nearest to the column.
    guess = len(first.text) * (left - first.left) / (first.right - first.left)
    blanks = [index for index, char in enumerate(first.text) if char == " "]
    return row.tail(min(blanks, key=lambda index: abs(index - guess), default=0)).tail(0)


def _unread(anchor: Anchor, below: Anchor | None, form: Form) -> list[Sequence[Label]]:
    """Returns the labels not read between two others: all, and without the optional ones."""
    after = form.order.index(anchor.label) + 1
    before = form.order.index(below.label) if below else len(form.order)
    between = form.order[after:before]
    return [between, [label for label in between if label not in form.optional]]


def _by_place(
    anchor: Anchor,
    below: Anchor | None,
    loose: list[Row],
    unread: list[Sequence[Label]],
    grid: _Grid,
    form: Form,
) -> dict[Label, list[Row]] | None:
    """Shares lines out by how far below the upper label they are; None when that fails."""
    if not grid.pitch:
        return None
    lead = form.number_lead if anchor.label is Label.NUMBER else 0.0

    def steps(middle: float) -> float:
        return (middle - anchor.middle) / grid.pitch - lead

    for labels in unread:
        slots: Sequence[Label] | None = labels
        if below:
            total = round(steps(below.middle))
            if abs(steps(below.middle) - total) > OFF_GRID_MAX:
                return None
            ends = {round(steps(row.middle)): row.right for row in loose}
            if anchor.match.value.boxes and not _is_complete(anchor):
                ends[0] = anchor.match.value.right
            stretched = _stretched([anchor.label, *labels], total, ends)
            slots = stretched[1:] if stretched else None
        if slots is None:
            continue
        # A value that stands a little off its label's line is in the first or the last slot.
        owners = [_if_empty(anchor), *slots, _if_empty(below)]
        shared: dict[Label, list[Row]] = {}
        for row in loose:
            slot = round(steps(row.middle))
            owner = owners[slot] if 0 <= slot < len(owners) else None
            if owner:
                shared.setdefault(owner, []).append(row)
        return shared
    return None


def _if_empty(anchor: Anchor | None) -> Label | None:
    return anchor.label if anchor and not anchor.match.value.boxes else None


def _is_complete(anchor: Anchor) -> bool:
    """Says whether a birthplace is complete: it goes on until the date."""
    return anchor.label is Label.BIRTH and find_date(anchor.match.value.text) is not None


def _stretched(
    labels: Sequence[Label], lines: int, ends: Mapping[int, float]
) -> Sequence[Label] | None:
    """Tells whose each line is, when there are as many as labels or one of them goes on.

    Args:
        labels: The labels, from top to bottom.
        lines: How many lines there are.
        ends: Where each line ends, in pixels: lines that go on are long.
    """
    spare = lines - len(labels)
    if spare == 0:
        return labels
    able = [index for index, one in enumerate(labels) if one in MULTI_LINE and index in ends]
    if spare < 0 or not able:
        return None
    place = max(able, key=lambda one: min(ends.get(one + more, 0.0) for more in range(spare)))
    return [*labels[:place], *[labels[place]] * spare, *labels[place:]]


def _by_count(
    anchor: Anchor, below: Anchor | None, loose: list[Row], unread: Sequence[Label]
) -> dict[Label, list[Row]]:
    """Shares lines out in turn; below the last label there is nothing to count against."""
    spare = len(loose) - len(unread)
    goes_on = anchor.label in MULTI_LINE or (spare == 1 and not anchor.match.value.boxes)
    if below is None or spare < 0 or (spare > 0 and not goes_on):
        return {}
    shared = {label: [row] for label, row in zip(unread, loose[spare:], strict=True)}
    return {anchor.label: loose[:spare], **shared}
