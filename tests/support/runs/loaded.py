"""Runs a command on a machine that is busy: `python -m tests.support.runs.loaded COMMAND ...`."""

import multiprocessing
import os
import subprocess
import sys

BUSY = int(os.environ.get("MEDIQ_TEST_BUSY", "20"))
"""Processes that compete with the command for the processors."""


def _spin() -> None:
    parent = os.getppid()
    # A parent that was killed has ended nothing; its children get another one.
    while os.getppid() == parent:
        for _ in range(1_000_000):
            pass


def main(command: list[str], busy: int = BUSY) -> int:
    """Runs a command beside busy processes, which end with it, however it ends.

    Returns:
        The exit code of the command.
    """
    context = multiprocessing.get_context("spawn")
    hogs = [context.Process(target=_spin, daemon=True) for _ in range(busy)]
    try:
        for hog in hogs:
            hog.start()
        return subprocess.run(command, check=False).returncode
    finally:
        for hog in hogs:
            if hog.pid is not None:
                hog.kill()
                hog.join()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
