"""Lists the files of the repository."""

import subprocess
from pathlib import Path


def versioned(root: Path) -> list[str]:
    """Returns the files of the repository at `root`, new ones too, but none that git ignores."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    return sorted(name for name in set(listed.split("\0")) if name and (root / name).is_file())
