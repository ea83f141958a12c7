"""Resolves what each use of the project needs: python -m tools.lock [--upgrade].

Writes requirements/USE.lock, every release with its hashes, from the dependencies that the
distributions and the groups of pyproject.toml state. Releases that are locked stay as they are,
unless --upgrade is given; the uses share one version of each package.
"""

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
RUN_TIME = (
    *("gen", "mesh", "edge", "ops"),
    *("gateway", "user_svc", "ocr_svc", "ocr_engine", "queue_svc", "institution_svc"),
)
"""The folders of the distributions that a running mesh is made of."""
BUILD = ("hatchling", "hatch-vcs", "editables")
"""What installs the distributions from this folder."""
INSTALLER = ("uv",)
"""What installs all the rest, of which the tools have it too."""
OURS = "mediq-"
USES: Mapping[str, Sequence[str]] = {
    "bench": ("dev", "draw", "train", "bench"),
    "train": ("dev", "draw", "train"),
    "dev": ("dev", "draw"),
    "run": (),
}
"""What each use has beside the run-time: groups of pyproject.toml, and what training says. The
largest comes first, and the others take its versions."""


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def requirements_of(*folders: str) -> set[str]:
    """Returns what distributions need from outside."""
    stated = (_toml(ROOT / folder / "pyproject.toml")["project"] for folder in folders)
    found = {one for project in stated for one in project["dependencies"]}
    return {one for one in found if not one.startswith(OURS)}


def group_requirements(group: str) -> set[str]:
    """Returns what a group needs beside the run-time."""
    training = _toml(ROOT / "training" / "pyproject.toml")["project"]["optional-dependencies"]
    if group == "draw":
        return requirements_of("training") | {*training["fonts"]}
    if group == "train":
        return {*training["train"]}
    return {*_toml(ROOT / "pyproject.toml")["dependency-groups"][group]}


def releases(lock: Path) -> list[str]:
    """Returns the releases of a lock file, as `name==version`; none where there is no file."""
    lines = lock.read_text().splitlines() if lock.exists() else []
    return [line.split(" ")[0] for line in lines if "==" in line and line[0] not in " #"]


def resolve(use: str, wanted: Sequence[str], constraints: Sequence[str]) -> None:
    """Writes the lock of one use.

    Raises:
        subprocess.CalledProcessError: The requirements contradict each other.
    """
    with tempfile.TemporaryDirectory() as scratch:
        needs, pins = Path(scratch, "needs.in"), Path(scratch, "pins.txt")
        needs.write_text("\n".join(wanted) + "\n")
        pins.write_text("\n".join(constraints) + "\n")
        command = [
            *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
            *("--generate-hashes", "--no-annotate", "--no-header"),
            *("--constraint", str(pins), "--output-file", str(LOCKS / f"{use}.lock"), str(needs)),
        ]
        subprocess.run(command, check=True, cwd=scratch)


def main() -> None:
    """Resolves all uses."""
    LOCKS.mkdir(exist_ok=True)
    constraints = [] if "--upgrade" in sys.argv else releases(LOCKS / "bench.lock")
    for use, groups in USES.items():
        wanted = requirements_of(*RUN_TIME).union(BUILD, *map(group_requirements, groups))
        resolve(use, sorted(wanted), constraints)
        constraints = releases(LOCKS / "bench.lock")
    resolve("install", INSTALLER, constraints)


if __name__ == "__main__":
    main()
