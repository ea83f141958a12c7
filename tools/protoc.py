"""Runs protoc on the contracts."""

import importlib.resources
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
THIRD_PARTY = Path(sys.prefix) / "share" / "protos"
PROTOC = [
    *(sys.executable, "-m", "grpc_tools.protoc"),
    f"--proto_path={THIRD_PARTY}",
    f"--proto_path={importlib.resources.files('grpc_tools') / '_proto'}",
]


def contracts(sources: Path = PROTOS) -> list[str]:
    """Returns the arguments of protoc that name our own .proto files in a folder."""
    return [f"--proto_path={sources}", *sorted(str(path) for path in sources.rglob("*.proto"))]


def write_descriptor_set(target: Path, sources: Path = PROTOS) -> None:
    """Compiles the contracts, their imports and the error details into one file.

    Envoy prints the details of an error only when their types are in the set.

    Raises:
        subprocess.CalledProcessError: A contract does not compile.
    """
    command = [
        *PROTOC,
        "--include_imports",
        "--include_source_info",
        f"--descriptor_set_out={target}",
        *contracts(sources),
        str(THIRD_PARTY / "google" / "rpc" / "error_details.proto"),
    ]
    subprocess.run(command, check=True)
