"""The checks for secrets and unsafe code find what they are there for."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.secrets_scan import BASELINE, ROOT, new_secrets
from tools.versioned import versioned

KEY = "-----BEGIN " + "EC PRIVATE KEY-----"
PASSWORD = "AMQP_URL = 'amqp://mediq:" + "Zx81kQ0vTr" + "@broker/'"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Makes a repository with our baseline, and a file of ours that the baseline knows."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for name in (BASELINE, "queue_svc/settings.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("line", [KEY, PASSWORD])
def test_a_planted_secret_is_found_and_not_shown(repository: Path, line: str) -> None:
    (repository / "planted.py").write_text(f"\n{line}\n")
    found = new_secrets(repository, versioned(repository))
    assert [one.split(": ")[0] for one in found] == ["planted.py:2"]
    assert "Zx81" not in found[0]


def test_what_the_baseline_knows_may_move_within_its_file(repository: Path) -> None:
    file = repository / "queue_svc/settings.py"
    file.write_text("\n\n" + file.read_text())
    assert new_secrets(repository, versioned(repository)) == []


def test_what_the_baseline_knows_counts_elsewhere(repository: Path) -> None:
    shutil.copyfile(repository / "queue_svc/settings.py", repository / "other.py")
    found = new_secrets(repository, versioned(repository))
    assert [one.partition(":")[0] for one in found] == ["other.py"]


def test_every_entry_of_the_baseline_is_of_a_file_that_exists() -> None:
    known = json.loads((ROOT / BASELINE).read_bytes())["results"]
    assert [name for name in known if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("import subprocess; subprocess.run(input(), shell=True)", 1),
        ("import hashlib; hashlib.md5(b'')", 1),
        ("import tarfile; tarfile.open('a.tar').extractall()", 1),
        ("assert True", 0),
    ],
)
def test_unsafe_code_fails_the_check(tmp_path: Path, line: str, code: int) -> None:
    (tmp_path / "planted.py").write_text(line + "\n")
    command = ["-m", "bandit", "-q", "-c", str(ROOT / "pyproject.toml"), "-r", str(tmp_path)]
    done = subprocess.run([sys.executable, *command], check=False, capture_output=True)
    assert done.returncode == code


def test_what_is_accepted_is_known_and_what_is_gone_is_dropped(repository: Path) -> None:
    (repository / "planted.py").write_text(PASSWORD)
    new_secrets(repository, versioned(repository), accept=True)
    assert new_secrets(repository, versioned(repository)) == []
    known = json.loads((repository / BASELINE).read_bytes())
    assert sorted(known["results"]) == ["planted.py", "queue_svc/settings.py"]
    before = json.loads((ROOT / BASELINE).read_bytes())
    assert known["plugins_used"] == before["plugins_used"]
