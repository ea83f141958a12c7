"""The tutorial's commands do what it says, in its order, in one shell."""

import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import Running

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-ticket.md"


def test_the_tutorial_ends_with_a_served_patient(running: Running) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    script = "".join(blocks)
    assert "http://127.0.0.1:8601" in script
    script = script.replace("http://127.0.0.1:8601", running.url)
    script = script.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=running.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "A-001" in lines
    assert "Loket 1" in lines
    assert lines[lines.index("TICKET_STATUS_CALLED") :][1:4] == [
        "TICKET_STATUS_SERVING",
        "TICKET_STATUS_DONE",
        "1",
    ]
