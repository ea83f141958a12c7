"""The distributions of this project and their wheels."""

import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parent.parent.parent


_PROJECTS: Mapping[str, Mapping[str, Any]] = {
    one.parent.name: tomllib.loads(one.read_text())["project"]
    for one in sorted(ROOT.glob("*/pyproject.toml"))
}
FOLDERS: Mapping[str, str] = {project["name"]: name for name, project in _PROJECTS.items()}
"""The folder of each distribution."""
COMMANDS: Mapping[str, frozenset[str]] = {
    name: frozenset(project.get("entry-points", {}).get("mediq.commands", ()))
    for name, project in _PROJECTS.items()
}
"""The commands that the distribution of each folder adds to mediq."""


@dataclass(frozen=True)
class Wheel:
    """Holds a built distribution."""

    file: Path
    unpacked: Path
    """A folder that has what an installation of the wheel adds to the path of imports."""

    @property
    def version(self) -> str:
        """Returns its version."""
        return self.file.name.split("-")[1]


def build(target: Path) -> Mapping[str, Wheel]:
    """Builds the wheel of each distribution, with what is installed and without a network.

    Returns:
        The wheels by the names of their distributions.

    Raises:
        subprocess.CalledProcessError: One cannot be built.
    """
    command = (
        *(sys.executable, "-m", "pip", "wheel", "-qq", "--disable-pip-version-check"),
        *("--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(target / "built")),
    )
    subprocess.run(
        [*command, *(f"./{folder}" for folder in FOLDERS.values())], check=True, cwd=ROOT
    )
    wheels = {}
    for name in FOLDERS:
        (file,) = (target / "built").glob(f"{name.replace('-', '_')}-*.whl")
        wheels[name] = Wheel(file, target / "unpacked" / name)
        with ZipFile(file) as archive:
            archive.extractall(wheels[name].unpacked)
    return wheels
