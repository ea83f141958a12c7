"""Lints the contracts: `python -m tools.contract_lint`.

Prints a line for each finding and exits with 1 when there is one.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError

from mesh.contract.methods import DESCRIPTOR_SET
from tools.contract_lint import RULES, lint, read


def main(arguments: Sequence[str] | None = None) -> int:
    """Lints a descriptor set and returns the exit code.

    Raises:
        SystemExit: There is no such file, or it is no descriptor set with all its imports (code 2).
    """
    parser = argparse.ArgumentParser(prog="python -m tools.contract_lint", description=__doc__)
    parser.add_argument(
        "--descriptor-set",
        metavar="FILE",
        type=Path,
        default=DESCRIPTOR_SET,
        help="compiled contracts with imports and source info (default: the generated ones)",
    )
    path = parser.parse_args(arguments).descriptor_set
    try:
        contracts = read(FileDescriptorSet.FromString(path.read_bytes()))
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
