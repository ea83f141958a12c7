"""Comparing how long two kinds of a thing take, on a machine that does other things as well.

Each pair is measured one right after the other, so what else the machine does meets both alike, and
in turns, because the second profits from what the first has warmed up.
"""

import statistics
from collections.abc import Sequence

ROUNDS = 3
"""A busy machine moves the median of one round by 4 %, seldom by 10; it does not do so thrice."""
BAND = 1.1
"""How many times as long one kind may take."""


def alike(ratios: Sequence[float]) -> bool:
    """Whether the two kinds take equally long: the median of the pairs' ratios is within BAND."""
    return 1 / BAND < statistics.median(ratios) < BAND
