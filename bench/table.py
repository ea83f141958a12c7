"""The table that every measurement prints."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure, mostly with a goal."""

    name: str
    value: float
    """NaN where it could not be measured, which is always a miss."""
    unit: str
    goal: float | None = None
    """None: shown for comparison only."""
    at_least: bool = True
    """Whether the goal is a lower bound."""
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the goal is reached."""
        if self.goal is None:
            return not math.isnan(self.value)
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    @property
    def aim(self) -> str:
        """The goal in words; empty without one."""
        if self.goal is None:
            return ""
        return f"{'>=' if self.at_least else '<='} {self.goal:8.2f}"

    @property
    def verdict(self) -> str:
        """PASS or MISS; empty for what has no goal and was measured."""
        if not self.passed:
            return "MISS"
        return "" if self.goal is None else "PASS"


def show(rows: list[Row], *, strict: bool) -> None:
    """Prints the table.

    Raises:
        SystemExit: With 1 when `strict` and a goal is missed.
    """
    for row in rows:
        print(
            f"{row.name:<52} {row.value:>10.2f} {row.unit:<4} {row.aim:<11}  {row.verdict:<4}"
            f"  {row.note}"
        )
    if strict and not all(row.passed for row in rows):
        raise SystemExit(1)
