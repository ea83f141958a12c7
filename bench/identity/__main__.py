"""Logins and profiles under load: python -m bench.identity [--strict] [--quick].

Real Envoy and user_svc, on SQLite and on MariaDB, against a bare echo behind the same Envoy, in
turns. What is lifted for the load are the limits of the edge; the service's throttle of each NIK
stays. docs/explanation/identity.md explains the table.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.databases import database, require_durable, url_of
from bench.identity import checks
from bench.identity.stack import CONNECTIONS, IdentityStack, Load
from bench.processes import clean_up_on_sigterm
from bench.table import Row, show
from mesh import data_dir

MIN_LOGINS = 400.0
MIN_READS = 1_500.0
MIN_READ_SHARE = 40.0
"""Of the echo's calls a second, in percent."""
MAX_READ_P99 = 30.0
"""Milliseconds."""
NOISE = 10.0
"""Microseconds of processor time a call below which a server had nothing to do with it."""


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    rounds: int = 5
    seconds: int = 3
    """Of one round."""
    patients: int = 3_000
    strangers: int = 20_000


QUICK = Size(1, 1, 300, 5_000)
"""To see that everything runs. The goals are not meant for it."""


def _rounds(kinds: dict[str, Callable[[int], Load]], size: Size) -> dict[str, list[Load]]:
    """Alternates rounds of all kinds, after one of each that does not count."""
    for load in kinds.values():
        load(size.seconds)
    found: dict[str, list[Load]] = {kind: [] for kind in kinds}
    for _ in range(size.rounds):
        for kind, load in kinds.items():
            found[kind].append(load(size.seconds))
    return found


def _spread(loads: list[Load]) -> str:
    rates = [one.rate for one in loads]
    cpu = {name: statistics.median(one.cpu[name] for one in loads) for name in loads[0].cpu}
    used = ", ".join(f"{name} {value:.0f}" for name, value in cpu.items() if value >= NOISE)
    return f"rounds {min(rates):.0f} to {max(rates):.0f}; us of CPU a call: {used}"


def _rows(
    name: str,
    loads: list[Load],
    echoes: list[Load],
    goals: tuple[float | None, float | None, float | None],
) -> list[Row]:
    """Rate, share of the echo's rate, and tail, each with its goal."""
    rate, share, p99 = goals
    shares = [one.rate / base.rate * 100 for one, base in zip(loads, echoes, strict=True)]
    tail = statistics.median(one.p99 for one in loads)
    median = statistics.median(one.rate for one in loads)
    return [
        Row(name, median, "/s", rate, True, _spread(loads)),
        Row(f"{name} / echo", statistics.median(shares), "%", share, True),
        Row(f"{name}, p99", tail, "ms", p99, False),
    ]


def _measure_on(where: str, stack: IdentityStack, size: Size) -> list[Row]:
    found = _rounds({"login": stack.logins, "read": stack.reads, "echo": stack.echoes}, size)
    # Apart: unknown tokens drive those of the other reads out of the service's memory.
    unknown = _rounds({"read": stack.first_reads, "echo": stack.echoes}, size)
    reads = (MIN_READS, MIN_READ_SHARE, MAX_READ_P99)
    none = (None, None, None)
    echo = found["echo"]
    rate = statistics.median(one.rate for one in echo)
    tail = statistics.median(one.p99 for one in echo)
    name = f"{where}: echo through the same Envoy"
    return [
        *_rows(f"{where}: patient logins", found["login"], echo, (MIN_LOGINS, None, None)),
        *_rows(f"{where}: profile reads", found["read"], echo, reads),
        *_rows(f"{where}: reads, token unknown", unknown["read"], unknown["echo"], none),
        Row(name, rate, "/s", note=f"p99 {tail:.0f} ms; {_spread(echo)}"),
    ]


def measure(size: Size) -> list[Row]:
    """All figures."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: install it (Debian: apt install wrk)")
    rows = [require_durable()]
    with tempfile.TemporaryDirectory() as folder:
        data_dir.prepare(Path(folder))
        rows += checks.measure(Path(folder))
    for where in ("SQLite", "MariaDB"):
        print(f"{where}, load average {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
        with ExitStack() as held:
            folder = held.enter_context(tempfile.TemporaryDirectory())
            url = url_of(held.enter_context(database("user_svc"))) if where == "MariaDB" else ""
            stack = held.enter_context(
                IdentityStack(Path(folder), url, size.patients, size.strangers)
            )
            rows += _measure_on(where, stack, size)
    print(f"done, load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return rows


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.identity")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a goal is missed")
    parser.add_argument("--quick", action="store_true", help="short rounds of few patients")
    options = parser.parse_args()
    clean_up_on_sigterm()
    print(f"{CONNECTIONS} connections", file=sys.stderr)
    show(measure(QUICK if options.quick else Size()), strict=options.strict)


if __name__ == "__main__":
    main()
