"""Order and waiting times under load: python -m bench.queue_sim [--days N] [--seed N] [--strict].

Runs the production pick, line and rolling mean over simulated days with a morning peak, then
checks the simulator itself against queueing theory.
docs/explanation/queue-simulation.md explains the table.
"""

import argparse
import statistics
from collections.abc import Callable, Mapping

from bench.queue_sim.clinic import (
    STRICT,
    Clinic,
    by_rates,
    day,
    first_come,
    simulate,
)
from bench.queue_sim.estimates import Teller, Told
from bench.queue_sim.theory import check, waits_of
from bench.table import Row, show
from queue_svc.domain.order import Rates
from queue_svc.domain.states import Priority

SEED = 5000
"""Days of the reported figures. Constants were chosen on the days from seed 1000."""
DAYS = 60
LONG_RUN = 400_000
"""Patients of a run that is compared with theory."""

RATES = Rates()
DISCIPLINES = {
    "FIFO": first_come,
    "strict": STRICT,
    "URGENT strict + 4:2:1": by_rates(RATES),
    "URGENT strict + 2:1:.7": by_rates(Rates(2.0, 1.0, 0.7)),
}
OURS = "URGENT strict + 4:2:1"

Waits = Mapping[Priority, list[float]]


def percentile(values: list[float], share: float) -> float:
    """The value that a share of all do not pass."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def disciplines(clinic: Clinic, days: int, seed: int) -> list[Row]:
    """Mean, p95 and longest wait by priority, for the same days under each discipline."""
    rows = []
    for name, choose in DISCIPLINES.items():
        waits: dict[Priority, list[float]] = {}
        for number in range(days):
            patients = day(clinic, seed + number)
            calls = simulate(patients, clinic.counters, choose).calls
            for kind, some in waits_of(patients, calls).items():
                waits.setdefault(kind, []).extend(wait / 60 for wait in some)
        rows += [_class_row(name, kind, some) for kind, some in waits.items()]
    return rows


def _class_row(name: str, kind: Priority, waits: list[float]) -> Row:
    mean, high = statistics.fmean(waits), percentile(waits, 0.95)
    note = f"mean {mean:.1f}, p95 {high:.1f}, longest {max(waits):.1f}"
    label = f"{name}: {kind.name}"
    if name == OURS and kind is Priority.URGENT:
        return Row(f"{label}, mean", mean, "min", 3, False, note)
    if name == OURS and kind is Priority.LOW:
        return Row(f"{label}, p95", high, "min", 190, False, note)
    return Row(f"{label}, mean", mean, "min", note=note)


def estimates(clinic: Clinic, days: int, seed: int) -> list[Row]:
    """Error of what patients are told when they take a number."""
    told: list[tuple[Told, float]] = []
    for number in range(days):
        patients = day(clinic, seed + number)
        teller = Teller(clinic, RATES)
        calls = simulate(patients, clinic.counters, DISCIPLINES[OURS], teller).calls
        came = {one.waiting.id: one.waiting.queue_time for one in patients}
        told += [(one, calls[one.id] - came[one.id]) for one in teller.told]
    rows = [
        _error_row("10 min x people waiting", told, lambda one: one.fixed),
        _error_row("people waiting x service / counters", told, lambda one: one.plain),
        _error_row("production", told, lambda one: one.wait.expected_seconds, 5),
    ]
    for kind in sorted(Priority, reverse=True):
        some = [pair for pair in told if pair[0].priority is kind]
        rows.append(
            _error_row(f"production, {kind.name}", some, lambda one: one.wait.expected_seconds)
        )
        rows.append(_covered_row(f"waits within the shown bound, {kind.name}", some))
    return [*rows, _covered_row("waits within the shown bound", told, 95)]


def _error_row(
    name: str,
    told: list[tuple[Told, float]],
    guess: Callable[[Told], float],
    goal: float | None = None,
) -> Row:
    errors = [abs(guess(one) - wait) / 60 for one, wait in told]
    close = 100 * statistics.fmean(error <= 10 for error in errors)
    note = f"{close:.0f} % within 10 min, {len(told)} patients"
    return Row(f"median error: {name}", statistics.median(errors), "min", goal, False, note)


def _covered_row(name: str, told: list[tuple[Told, float]], goal: float | None = None) -> Row:
    covered = statistics.fmean(wait <= one.wait.high_seconds for one, wait in told)
    return Row(name, 100 * covered, "%", goal)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.queue_sim")
    parser.add_argument("--days", type=int, default=DAYS, help="simulated days")
    parser.add_argument("--seed", type=int, default=SEED, help="of the first day")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a goal is missed")
    options = parser.parse_args()
    clinic = Clinic()
    rows = disciplines(clinic, options.days, options.seed)
    rows += estimates(clinic, options.days, options.seed)
    rows += check(LONG_RUN, options.seed)
    show(rows, strict=options.strict)


if __name__ == "__main__":
    main()
