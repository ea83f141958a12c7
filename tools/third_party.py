"""Puts the third-party .proto files that generation needs beside the environment.

google/api and google/rpc come from the installed googleapis-common-protos.
buf/validate/validate.proto is only in the source distribution of protovalidate 1.2.0; later wheels
carry it compiled.
"""

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VALIDATE_SOURCE = "protovalidate==1.2.0"
"""The last release whose source distribution holds the .proto file."""


GOOGLE_FILES = (
    "api/annotations.proto",
    "api/http.proto",
    "api/httpbody.proto",
    "rpc/error_details.proto",
)


def install(target: Path) -> None:
    """Fills `target` with google/api and buf/validate.

    Raises:
        subprocess.CalledProcessError: The package index cannot be reached.
    """
    spec = importlib.util.find_spec("google.api")
    if spec is None or spec.submodule_search_locations is None:
        raise SystemExit("googleapis-common-protos is not installed: run make again")
    google = Path(next(iter(spec.submodule_search_locations))).parent
    for name in GOOGLE_FILES:
        destination = target / "google" / name
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(google / name, destination)
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run(
            [*command, "--no-binary", ":all:", "--dest", scratch, VALIDATE_SOURCE], check=True
        )
        archive = next(Path(scratch).glob("*.tar.gz"))
        with tarfile.open(archive) as source:
            source.extractall(scratch, filter="data")
        validate = next(Path(scratch).glob("*/upstream/proto/buf/validate"))
        shutil.copytree(validate, target / "buf" / "validate", dirs_exist_ok=True)


if __name__ == "__main__":
    install(Path(sys.argv[1]))
