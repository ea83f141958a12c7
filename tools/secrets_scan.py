"""Looks for secrets in the repository: python -m tools.secrets_scan [--accept | FILE...].

`.secrets.baseline` holds what was reviewed and is no secret: passwords of tests, addresses in help
texts. It is known by file and hash, not by line: moving a line is no finding. Generated files are
left out, a secret in them would stand in their sources too.
"""

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from detect_secrets.core import baseline as format_of
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

from tools.versioned import versioned

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ".secrets.baseline"
ADVICE = """
Take it out. What was committed counts as known to others: change it where it is used.
If it is no secret: python -m tools.secrets_scan --accept, and say why in the commit."""


def new_secrets(root: Path, files: Sequence[str], *, accept: bool = False) -> list[str]:
    """Returns what the baseline of `root` lacks, as file:line: kind. Never the secret itself.

    Args:
        root: Folder of the repository.
        files: What to scan, relative to the root.
        accept: Writes the baseline again, with what these files hold and nothing else.
    """
    settings = json.loads((root / BASELINE).read_bytes())
    known, found = SecretsCollection.load_from_baseline(settings), SecretsCollection()
    # Names in the baseline, and its patterns, are relative to the root.
    with contextlib.chdir(root), transient_settings(settings):
        found.scan_files(*files)
        if accept:
            format_of.save_to_file(found, BASELINE)
    return [f"{name}:{one.line_number}: {one.type}" for name, one in found - known]


def main() -> None:
    """Prints the new secrets of the named files, or of all; fails when there is one."""
    if sys.argv[1:] == ["--accept"]:
        print(*new_secrets(ROOT, versioned(ROOT), accept=True), sep="\n")
        return
    new = new_secrets(ROOT, sys.argv[1:] or versioned(ROOT))
    if new:
        sys.exit("\n".join(new) + ADVICE)


if __name__ == "__main__":
    main()
