"""The table that every measurement prints."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure with its goal."""

    name: str
    value: float
    unit: str
    goal: float
    at_least: bool
    """Whether the goal is a lower bound."""
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the goal is reached."""
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def show(rows: list[Row], *, strict: bool) -> None:
    """Prints the table.

    Raises:
        SystemExit: With 1 when `strict` and a goal is missed.
    """
    for row in rows:
        sign = ">=" if row.at_least else "<="
        verdict = "PASS" if row.passed else "MISS"
        print(
            f"{row.name:<52} {row.value:>10.2f} {row.unit:<4} {sign} {row.goal:>8.2f}  {verdict}"
            f"  {row.note}"
        )
    if strict and not all(row.passed for row in rows):
        raise SystemExit(1)
