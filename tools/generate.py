"""Regenerates everything that is derived from the contracts, or checks that it is up to date.

`python -m tools.generate` writes gen/; `--check` exits 1 when a committed file differs.
"""

import filecmp
import importlib.resources
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
THIRD_PARTY = Path(sys.prefix) / "share" / "protos"


def stubs(target: Path) -> None:
    """Compiles the contracts and buf/validate to typed Python stubs and one descriptor set.

    Raises:
        subprocess.CalledProcessError: A contract does not compile.
    """
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    own = sorted(str(path) for path in (ROOT / "protos").rglob("*.proto"))
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc"),
        *(f"--proto_path={path}" for path in (ROOT / "protos", THIRD_PARTY, well_known)),
        *(f"--python_out={target}", f"--mypy_out=quiet:{target}"),
        *(f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}"),
        f"--plugin=protoc-gen-mypy={Path(sys.prefix) / 'bin' / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={Path(sys.prefix) / 'bin' / 'protoc-gen-mypy_grpc'}",
        "--include_imports",
        "--include_source_info",
        f"--descriptor_set_out={target / 'mediq.binpb'}",
        *own,
        str(THIRD_PARTY / "buf" / "validate" / "validate.proto"),
    ]
    subprocess.run(command, check=True)
    for pointless in [*target.rglob("*_grpc.py"), *target.rglob("*_grpc.pyi")]:
        if "class " not in pointless.read_text():
            pointless.unlink()


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
        fresh = Path(scratch) / "gen"
        fresh.mkdir()
        stubs(fresh)
        if "--check" in sys.argv:
            if stale := differences(ROOT / "gen", fresh):
                raise SystemExit("not up to date, run make gen:\n  " + "\n  ".join(stale))
            return
        shutil.rmtree(ROOT / "gen", ignore_errors=True)
        shutil.copytree(fresh, ROOT / "gen")


if __name__ == "__main__":
    main()
