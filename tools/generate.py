"""Regenerates what is derived from the contracts and the code, or checks that it is up to date.

`python -m tools.generate` writes them; `--check` exits 1 when a committed file differs.
"""

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.protoc import PROTOC, THIRD_PARTY, contracts, write_descriptor_set

ROOT = Path(__file__).resolve().parent.parent
DERIVED = {
    "gen/mediq/asyncapi.json": "tools.generation.asyncapi",
    "gen/mediq/openapi.json": "tools.generation.openapi",
    "gen/mediq/service_config.json": "tools.generation.service_config",
    "docs/reference/access.md": "tools.generation.access",
    "docs/reference/commands.md": "tools.generation.commands_page",
    "docs/reference/metrics.md": "tools.generation.metrics_page",
    "docs/reference/settings.md": "tools.generation.settings_page",
    "envoy/envoy.yaml": "edge",
    "envoy/edge_certificate.yaml": "edge default edge_certificate.yaml",
    "envoy/trusted_authorities.yaml": "edge default trusted_authorities.yaml",
}
"""Files by the module that prints them, with its arguments."""
PACKAGES = ("buf", "mediq")
"""The generated packages of gen/; what else is there is written by hand."""


def stubs(target: Path) -> None:
    """Compiles the contracts and buf/validate to typed Python stubs.

    Raises:
        subprocess.CalledProcessError: A contract does not compile.
    """
    command = [
        *PROTOC,
        *(f"--python_out={target}", f"--mypy_out=quiet:{target}"),
        *(f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}"),
        f"--plugin=protoc-gen-mypy={Path(sys.prefix) / 'bin' / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={Path(sys.prefix) / 'bin' / 'protoc-gen-mypy_grpc'}",
        *contracts(),
        str(THIRD_PARTY / "buf" / "validate" / "validate.proto"),
    ]
    subprocess.run(command, check=True)
    for pointless in [*target.rglob("*_grpc.py"), *target.rglob("*_grpc.pyi")]:
        if "class " not in pointless.read_text():
            pointless.unlink()
    for package in PACKAGES:
        (target / package / "py.typed").touch()


def derive(target: Path) -> None:
    """Writes what modules print from the fresh stubs, in processes that see only those.

    Args:
        target: A folder that stands for the project's; gen/ below it is complete.
    """
    environment = {**os.environ, "PYTHONPATH": str(target / "gen")}
    for name, module in DERIVED.items():
        command = [sys.executable, "-m", *module.split()]
        printed = subprocess.run(
            command, check=True, capture_output=True, cwd=ROOT, env=environment
        ).stdout
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(printed)


def differences(old: Path, new: Path) -> list[str]:
    """Names the files that differ between two folders, recursively."""
    compared = filecmp.dircmp(old, new, ignore=["__pycache__"])
    names = [*compared.left_only, *compared.right_only]
    names += filecmp.cmpfiles(old, new, compared.common_files, shallow=False)[1]
    found = [str(old / name) for name in names]
    for folder in compared.common_dirs:
        found += differences(old / folder, new / folder)
    return found


def main() -> None:
    """Regenerates, or with --check compares."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        (fresh / "gen").mkdir()
        stubs(fresh / "gen")
        write_descriptor_set(fresh / "gen" / "mediq" / "mediq.binpb")
        derive(fresh)
        if "--check" in sys.argv:
            stale = [
                name
                for package in PACKAGES
                for name in differences(ROOT / "gen" / package, fresh / "gen" / package)
            ]
            stale += [name for name in DERIVED if not filecmp.cmp(ROOT / name, fresh / name, False)]
            if stale:
                raise SystemExit("not up to date, run make gen:\n  " + "\n  ".join(stale))
            return
        for package in PACKAGES:
            shutil.rmtree(ROOT / "gen" / package, ignore_errors=True)
            shutil.copytree(fresh / "gen" / package, ROOT / "gen" / package)
        for name in DERIVED:
            shutil.copy(fresh / name, ROOT / name)


if __name__ == "__main__":
    main()
