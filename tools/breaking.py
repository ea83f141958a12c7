"""Checks that the contracts break no client of the main branch: `python -m tools.breaking`.

Works offline: buf compares this checkout with the contracts of git's main branch, put beside the
same third-party protos.
"""

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUF = Path(sys.prefix) / "bin" / "buf"
THIRD_PARTY = Path(sys.prefix) / "share" / "protos"
BASELINES = ("main", "origin/main", "HEAD")
"""Commits to compare with; the first that exists. A detached checkout has no branch main."""

EXIT_FINDINGS = 100
"""buf's exit code when it found something; others but 0 mean that it could not compare."""


class NoBaselineError(Exception):
    """Raised when there is nothing to compare with."""


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)  # nosec B607 # the developer's git


def baseline(root: Path, target: Path) -> str:
    """Puts the contracts of the main branch into `target`, as a workspace of their own.

    Returns:
        The name of the commit that they are from.

    Raises:
        NoBaselineError: `root` is no git checkout with contracts in its history.
    """
    for name in BASELINES:
        archive = _git(root, "archive", "--format=tar", name, "protos")
        if archive.returncode == 0:
            with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as contents:
                contents.extractall(target, filter="data")
            workspace(root, target)
            return name
    raise NoBaselineError(f"none of {', '.join(BASELINES)} has contracts to compare with")


def workspace(root: Path, target: Path) -> None:
    """Completes a folder that has `protos` to what buf.yaml expects."""
    shutil.copy(root / "buf.yaml", target)
    only_protos = shutil.ignore_patterns("*.py", "*.pyi", "__pycache__")
    third_party = target / ".venv" / "share" / "protos"
    shutil.copytree(THIRD_PARTY, third_party, ignore=only_protos)


def compare(current: Path, against: Path) -> list[str]:
    """Returns what a client of `against` would meet in `current`, or why it does not compile.

    Raises:
        RuntimeError: buf could not compare.
    """
    command = [str(BUF), "breaking", str(current), "--against", str(against)]
    found = subprocess.run(command, cwd=current, capture_output=True, text=True, check=False)
    if found.returncode not in (0, EXIT_FINDINGS):
        raise RuntimeError(found.stderr.strip() or found.stdout.strip())
    return found.stdout.splitlines()


def main(root: Path = ROOT) -> None:
    """Compares, and exits with a list of the breaks.

    Raises:
        SystemExit: A client would break, or there is nothing to compare with.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            name = baseline(root, Path(scratch))
        except NoBaselineError as error:
            raise SystemExit(f"breaking: {error}: fetch the branch main") from error
        if breaks := compare(root, Path(scratch)):
            lines = "\n  ".join(breaks)
            raise SystemExit(f"the contracts are not compatible with {name}:\n  {lines}")
        print(f"the contracts are compatible with {name}")


if __name__ == "__main__":
    main()
