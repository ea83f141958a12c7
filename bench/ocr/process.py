"""The engine in a process of its own: how soon it is ready, and how much memory it takes.

Run as a program it is that process: it loads the engine, says READY, reads the photos of a folder,
and prints the most memory that it ever took, in bytes.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bench.ocr.photos import Photo

STARTS: Final = 3
READY: Final = "READY"


@dataclass(frozen=True)
class Footprint:
    """What the engine's process needs."""

    start_seconds: float
    """From the start of Python until the engine can read, median of STARTS."""
    peak_bytes: int


def measure(photos: "Sequence[Photo]") -> Footprint:
    """Starts the engine several times, and lets it read all photos once."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [_run(folder) for _ in range(STARTS - 1)]
        for index, photo in enumerate(photos):
            Path(folder, f"{index:03d}.jpg").write_bytes(photo.jpeg)
        runs.append(_run(folder))
    return Footprint(median(start for start, _ in runs), runs[-1][1])


def _run(folder: str) -> tuple[float, int]:
    started = time.monotonic()
    command = [sys.executable, "-m", "bench.ocr.process", folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = process.stdout.readline().strip() == READY
        seconds = time.monotonic() - started
        peak = process.stdout.read().strip()
    if not ready or process.returncode:
        raise RuntimeError("the engine did not start; its own error is above")
    return seconds, int(peak)


def _peak_bytes() -> int:
    """Asks the kernel; `getrusage` would count what the parent took before it started this."""
    status = Path("/proc/self/status").read_text("ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Is the engine's process."""
    from bench.ocr.peers import THREADS, Own
    from ocr_engine.serving.engine import CardEngine

    reader = Own(CardEngine(threads=THREADS))
    print(READY, flush=True)
    for path in sorted(Path(sys.argv[1]).iterdir()):
        # Crashes are counted elsewhere.
        with suppress(Exception):
            reader.read(path.read_bytes())
    print(_peak_bytes())


if __name__ == "__main__":
    main()
