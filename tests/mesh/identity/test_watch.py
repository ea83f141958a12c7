"""A file that threads follow."""

import threading
from pathlib import Path
from unittest.mock import Mock

import pytest

from mesh.identity.watched_file import NOW, WatchedFile
from tests.support.waiting import PATIENCE_SECONDS


def test_a_slow_reader_does_not_bring_an_older_content_back(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    started, go_on = threading.Event(), threading.Event()

    def read(path: Path) -> str:
        content = path.read_text()
        if content == "the second":
            started.set()
            assert go_on.wait(PATIENCE_SECONDS)
        return content

    watched = WatchedFile(file, read)
    assert watched.content(3600) == "one"
    file.write_text("the second")
    slow = threading.Thread(target=watched.content, args=(NOW,))
    slow.start()
    assert started.wait(PATIENCE_SECONDS)
    # Whoever does not insist is not held up.
    assert watched.content(3600) == "one"
    file.write_text("and the third")
    found: list[str] = []
    quick = threading.Thread(target=lambda: found.append(watched.content(NOW)))
    quick.start()
    # On a slow machine it comes when the other has read; that proves less, and is no fault.
    quick.join(0.2)
    go_on.set()
    slow.join()
    quick.join()
    assert found == ["and the third"]
    assert watched.content(3600) == "and the third"


def test_a_file_that_becomes_readable_without_a_change_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Mock()
    monkeypatch.setattr("mesh.identity.watched_file.logger", lambda: log)
    file = tmp_path / "file"
    file.write_text("one")
    allowed = True

    def read(path: Path) -> str:
        if not allowed:
            raise PermissionError(13, "Permission denied")
        return path.read_text()

    watched = WatchedFile(file, read)
    allowed = False
    file.write_text("another")
    for _ in range(3):
        assert watched.content(NOW) == "one"
    assert log.error.call_count == 1
    allowed = True
    assert watched.content(NOW) == "another"
