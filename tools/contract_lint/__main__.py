"""Lints the contracts: `python -m tools.contract_lint`.

Prints a line for each finding and exits with 1 when there is one.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError

from tools.contract_lint import RULES, lint, read
from tools.protoc import PROTOS, write_descriptor_set


def _compiled(sources: Path) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "contracts.binpb"
        write_descriptor_set(target, sources)
        return target.read_bytes()


def main(arguments: Sequence[str] | None = None) -> int:
    """Lints the contracts as they are written, or a descriptor set; returns the exit code.

    Raises:
        SystemExit: There is no such file, or it is no descriptor set with all its imports (code 2).
    """
    parser = argparse.ArgumentParser(prog="python -m tools.contract_lint", description=__doc__)
    parser.add_argument(
        "--descriptor-set",
        metavar="FILE",
        type=Path,
        help="compiled contracts with imports and source info (default: compiles the sources)",
    )
    parser.add_argument(
        "--protos", metavar="FOLDER", type=Path, default=PROTOS, help="sources of the contracts"
    )
    chosen = parser.parse_args(arguments)
    path: Path | None = chosen.descriptor_set
    try:
        compiled = path.read_bytes() if path else _compiled(chosen.protos)
        contracts = read(FileDescriptorSet.FromString(compiled))
    except subprocess.CalledProcessError as error:
        return error.returncode  # protoc has said what is wrong.
    except (OSError, DecodeError, TypeError, KeyError) as error:
        parser.error(f"{path} is no descriptor set with all its imports: {error}")
    findings = lint(contracts)
    for finding in findings:
        print(finding)
    if not findings:
        print(f"{len(RULES)} rules hold for {len(contracts.elements)} elements of the contracts")
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
