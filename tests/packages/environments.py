"""Environments that hold a distribution, what it declares, what that declares, and nothing else.

Installing takes half a minute a service and an index; this links what is installed already. Nothing
is blocked in the interpreter: what is not declared is not there, be it a module or an entry point.
"""

import csv
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packages.workspace import Wheel


@dataclass(frozen=True)
class Environment:
    """Holds what Python programs find in it."""

    path: tuple[Path, ...]
    """The folders that are searched for modules, beside the standard library."""
    data_dir: Path
    """The data folder of commands."""

    def run(self, program: str, *arguments: str) -> str:
        """Runs a program text and returns what it printed.

        Raises:
            AssertionError: It failed, or took two minutes.
        """
        done = subprocess.run(
            [sys.executable, "-S", "-P", "-c", program, *arguments],
            check=False,
            env={
                "PATH": os.defpath,
                "PYTHONPATH": os.pathsep.join(map(str, self.path)),
                "MEDIQ_HOME": str(self.data_dir),
                "NO_COLOR": "1",
                "COLUMNS": "100",
            },
            cwd=self.data_dir.parent,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def environment(folder: Path, wheels: Mapping[str, Wheel], *wanted: str) -> Environment:
    """Makes an environment.

    Args:
        folder: An empty folder that becomes the environment.
        wheels: The distributions of this project.
        wanted: Names of those that are to be installed.

    Raises:
        importlib.metadata.PackageNotFoundError: Something that they declare is not installed here.
    """
    needed = _closure(wanted, wheels)
    foreign = folder / "foreign"
    foreign.mkdir()
    for name, one in needed.items():
        if name not in wheels:
            _link(one, foreign)
    ours = (wheel.unpacked for name, wheel in wheels.items() if name in needed)
    return Environment((*ours, foreign), folder / "data")


def _closure(names: Iterable[str], wheels: Mapping[str, Wheel]) -> Mapping[str, Distribution]:
    found: dict[str, Distribution] = {}
    seen = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if (name, *sorted(wanted.extras)) in seen:
            continue
        seen.add((name, *sorted(wanted.extras)))
        if name in wheels:
            (found[name],) = distributions(path=[str(wheels[name].unpacked)])
        else:
            found[name] = distribution(name)
        for text in found[name].requires or ():
            more = Requirement(text)
            extras = ("", *wanted.extras)
            if more.marker is None or any(more.marker.evaluate({"extra": one}) for one in extras):
                waiting.append(more)
    return found


@cache
def _files(one: Distribution) -> Mapping[str, int]:
    """Returns the files of an installed distribution on the path of imports, with their bytes."""
    record = one.read_text("RECORD")
    assert record is not None
    rows = csv.reader(record.splitlines())
    return {
        path: int(size or -1)
        for path, _, size in rows
        if not path.startswith("../") and "__pycache__" not in path
    }


def _parts(place: str) -> list[str]:
    """Returns the folders that a file is in, from the outermost, and the file."""
    return [place[: one.start()] for one in re.finditer("/|$", place)]


@cache
def _owners() -> Mapping[str, set[str]]:
    """Returns the distributions that have something at each place of this environment."""
    owners = defaultdict(set)
    for one in distributions():
        name = one.name
        for place in _files(one):
            for part in _parts(place):
                owners[part].add(name)
    return owners


def _link(one: Distribution, folder: Path) -> None:
    """Links the outermost folders that only this distribution has something in.

    A package that several share, such as google, becomes a folder with what is linked into it. Some
    carry files of the same name: one of them is there, as after an installation. An empty one can
    lie below that of a distribution which is not wanted, so it is made rather than linked.
    """
    owners = _owners()
    for file, size in _files(one).items():
        place = next((part for part in _parts(file) if len(owners[part]) == 1), file)
        link = folder / place
        if link.exists():
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        if size == 0 and len(owners[place]) > 1:
            link.touch()
        else:
            link.symlink_to(str(one.locate_file(place)))
