"""A change of the contracts that breaks clients is found."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools import breaking

PROTO = Path("protos", "mediq", "queue", "v1", "queue.proto")
REMOVED = "  string counter_name = 14;\n"
ADDED = "  // Note.\n  string note = 900;\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the contracts with what buf needs, without history."""
    root = tmp_path / "checkout"
    shutil.copytree(breaking.ROOT / "protos", root / "protos")
    breaking.workspace(breaking.ROOT, root)
    return root


def commit(root: Path, branch: str) -> None:
    """Commits the contracts in a new repository that only this test sees."""
    author = {
        f"GIT_{who}_{what}": "test@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    environment = {**os.environ, **author, "GIT_CONFIG_GLOBAL": os.devnull}
    for command in (
        ["init", "--quiet", "--initial-branch", branch],
        ["add", "protos"],
        ["commit", "--quiet", "--message", "Contracts"],
    ):
        subprocess.run(["git", *command], cwd=root, env=environment, check=True)


def change(root: Path, old: str, new: str) -> None:
    """Replaces text in one contract."""
    text = (root / PROTO).read_text()
    assert old in text
    (root / PROTO).write_text(text.replace(old, new))


def test_unchanged_contracts_pass(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit(checkout, "main")
    breaking.main(checkout)
    assert capsys.readouterr().out == "the contracts are compatible with main\n"


def test_a_removed_field_is_found(checkout: Path) -> None:
    commit(checkout, "main")
    change(checkout, REMOVED, "")
    with pytest.raises(
        SystemExit, match=r'not compatible with main:\n.*field "14".*"counter_name"'
    ):
        breaking.main(checkout)


def test_an_added_field_is_no_break(checkout: Path) -> None:
    commit(checkout, "main")
    change(checkout, REMOVED, REMOVED + ADDED)
    breaking.main(checkout)


def test_without_main_the_checked_out_commit_counts(checkout: Path) -> None:
    commit(checkout, "topic")
    change(checkout, REMOVED, "")
    with pytest.raises(SystemExit, match="not compatible with HEAD"):
        breaking.main(checkout)


def test_without_history_the_message_says_what_to_do(checkout: Path) -> None:
    with pytest.raises(SystemExit, match="fetch the branch main"):
        breaking.main(checkout)


def test_contracts_that_do_not_compile_are_no_pass(checkout: Path) -> None:
    commit(checkout, "main")
    change(checkout, "message Ticket {", "message Ticket")
    with pytest.raises(SystemExit, match=r"queue\.proto"):
        breaking.main(checkout)
