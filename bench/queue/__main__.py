"""The queue under load: python -m bench.queue [--strict] [--quick].

Envoy with one worker, queue_svc on MariaDB with a write to the disk at each commit, and
institution_svc, against plain SQL with the same statements in the same run.
docs/explanation/queue-bench.md explains the table; bench.queue_sim measures order and estimates.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.databases import database, require_durable
from bench.processes import clean_up_on_sigterm
from bench.queue import live, numbers
from bench.queue.raw import Raw
from bench.queue.sizes import sizes
from bench.queue.stack import Stack
from bench.table import Row, show


@dataclass(frozen=True)
class Load:
    """How much of everything."""

    issue_rounds: int = 4
    issued: int = 8_000
    """Tickets of a round, 500 for each of 16 writers: 2,000 for each in all rounds."""
    call_rounds: int = 3
    called: int = 1_200
    """Tickets of a round, for 16 operators."""
    waiting: int = 10_000
    """Of the long queue."""
    repeats: int = 100
    watchers: int = 200
    calls: int = 60
    """That the watchers see."""
    hall: int = 500
    """Watchers of one process."""
    hall_calls: int = 25


QUICK = Load(2, 1_600, 1, 480, 1_600, 15, 60, 15, 100, 8)
"""About a tenth, to see that everything runs. The goals are not meant for it."""


def measure(folder: Path, load: Load) -> list[Row]:
    """All figures.

    Args:
        folder: An empty data folder.
        load: How much of everything.
    """
    rows = [require_durable()]
    began = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {what}", file=sys.stderr, flush=True)

    with (
        database("queue_svc") as plain,
        database("queue_svc") as ours,
        Stack(folder, ours) as stack,
    ):
        raw = Raw(plain)
        tell("issuing")
        found, place = numbers.issue(stack, raw, load.issue_rounds, load.issued)
        rows += found
        rows += numbers.throughput(stack, raw, load.issue_rounds, load.issued)
        tell("a long queue")
        rows += sizes(stack, place, load.issued, load.waiting, load.repeats)
        tell("calling")
        rows += numbers.call(stack, raw, load.call_rounds, load.called)
        tell("watching")
        rows += live.boards(stack, load.watchers, load.calls)
        rows += live.tickets(stack, load.watchers, load.calls // 2)
        rows += live.hall(stack, load.hall, load.hall_calls)
        tell("done")
    return rows


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.queue")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a goal is missed")
    parser.add_argument("--quick", action="store_true", help="a tenth of the load")
    options = parser.parse_args()
    clean_up_on_sigterm()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), QUICK if options.quick else Load())
    show(rows, strict=options.strict)


if __name__ == "__main__":
    main()
