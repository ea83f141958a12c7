"""Runs both checks on the files that git knows."""

import sys
from pathlib import Path

from tools.versioned import versioned
from tools.words import banned, docstrings

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    """Prints what is wrong with the words of the project; returns 1 when there is something."""
    files = versioned(ROOT)
    problems = [*banned.check(ROOT, files), *docstrings.check(ROOT, files)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
