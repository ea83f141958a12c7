"""A wheel holds what its folder holds."""

import subprocess
from collections.abc import Mapping
from pathlib import PurePath
from zipfile import ZipFile

import pytest

from tests.packages.workspace import FOLDERS, ROOT, Wheel
from tools.lock import RUN_TIME

UNSHIPPED = ("pyproject.toml", "README.md")
"""What a folder of a distribution has for those who build it."""


def sources(folder: str) -> set[PurePath]:
    """Returns the files of a folder that are, or may be, in the repository."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder)
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    found = {PurePath(one) for one in done.stdout.split("\0") if one}
    return {one for one in found if (ROOT / one).exists()}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_wheel_holds_the_files_of_its_folder_and_no_others(
    name: str, wheels: Mapping[str, Wheel]
) -> None:
    folder = FOLDERS[name]
    expected = sources(folder) - {PurePath(folder, one) for one in UNSHIPPED}
    # The folder of the contracts is a root of imports, the others are packages themselves.
    if folder == "gen":
        expected = {one.relative_to(folder) for one in expected}
    with ZipFile(wheels[name].file) as archive:
        held = {PurePath(one) for one in archive.namelist()}
    assert expected
    assert {one for one in held if not one.parts[0].endswith(".dist-info")} == expected


def test_the_distributions_have_one_version(wheels: Mapping[str, Wheel]) -> None:
    assert len({wheel.version for wheel in wheels.values()}) == 1


def test_the_locks_know_each_distribution() -> None:
    assert {*RUN_TIME, "training"} == {*FOLDERS.values()}
