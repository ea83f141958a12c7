"""Files of anchors, and the service that writes them."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from mesh.clock import utc_now
from mesh.persistence.database import Database
from tests.support.mesh import Mesh
from tests.support.waiting import eventually
from tests.user_svc.audit.audit_trail import NOW, AuditTrail, event
from user_svc.__main__ import build
from user_svc.audit.anchors import (
    Anchor,
    AnchorFile,
    Anchors,
    Damaged,
    anchor_text,
    append_anchor,
    find_files,
    parse_head,
    show_mac,
)
from user_svc.domain.audit_trail import Head
from user_svc.settings import UserSettings

MAC = "0123456789abcdef" * 4
DIGITS = "1234567890123456" * 4
"""An HMAC that logs would hide as a long number."""


def read(file: Path) -> list[Anchor | Damaged]:
    (found,) = find_files([file])
    return list(found.lines())


def head(position: int) -> Head:
    return Head(position, MAC)


class TestFiles:
    def test_a_line_is_what_the_documentation_says(self, tmp_path: Path) -> None:
        file = tmp_path / "new" / "host.jsonl"
        append_anchor(file, head(17), NOW)
        (line,) = file.read_text().splitlines(keepends=True)
        assert line.endswith("\n")
        assert json.loads(line) == {
            "position": 17,
            "mac": MAC,
            "time": "2026-03-01T08:00:00.123456+00:00",
        }
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    def test_lines_are_added(self, tmp_path: Path) -> None:
        file = tmp_path / "host.jsonl"
        for position in (1, 2, 3):
            append_anchor(file, head(position), NOW)
        assert read(file) == [Anchor(head(position), NOW) for position in (1, 2, 3)]

    @pytest.mark.parametrize("kept", [0, 1, 20, 112, 113])
    def test_a_line_that_a_crash_tore(self, tmp_path: Path, kept: int) -> None:
        file = tmp_path / "host.jsonl"
        append_anchor(file, head(1), NOW)
        whole = anchor_text(Anchor(head(2), NOW))
        with file.open("a") as content:
            content.write(whole[:kept])
        torn = [Damaged(2, crash=True)] if 0 < kept < len(whole) else []
        if kept >= len(whole):
            torn = [Anchor(head(2), NOW)]  # type: ignore[list-item]
        assert read(file) == [Anchor(head(1), NOW), *torn]
        append_anchor(file, head(3), NOW)
        after = Anchor(head(3), NOW, torn=min(kept, len(whole)))
        assert read(file) == [Anchor(head(1), NOW), *torn, after]

    @pytest.mark.parametrize(
        "line",
        [
            "{}",
            "[]",
            "17",
            "null",
            "not JSON",
            '{"position": 1, "mac": 5, "time": "2026-03-01T08:00:00+00:00"}',
            '{"position": 0, "mac": "MAC", "time": "2026-03-01T08:00:00+00:00"}',
            '{"position": "x", "mac": "MAC", "time": "2026-03-01T08:00:00+00:00"}',
            '{"position": 9223372036854775808, "mac": "MAC", "time": "2026-03-01T08:00:00+00:00"}',
            '{"position": 1, "mac": "MAC0", "time": "2026-03-01T08:00:00+00:00"}',
            '{"position": 1, "mac": "MAC", "time": "now"}',
            '{"position": 1, "mac": "MAC", "time": 5}',
            "x" * 3000,
        ],
    )
    def test_a_damaged_line_in_the_middle(self, tmp_path: Path, line: str) -> None:
        file = tmp_path / "host.jsonl"
        file.write_text(f"{line.replace('MAC', MAC)}\n")
        append_anchor(file, head(2), NOW)
        *damaged, last = read(file)
        assert damaged
        assert last == Anchor(head(2), NOW)
        for number, one in enumerate(damaged, 1):
            assert one == Damaged(number, crash=False)

    def test_a_line_that_does_not_fit_on_the_disk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file, write = tmp_path / "host.jsonl", os.write
        append_anchor(file, head(1), NOW)
        with monkeypatch.context() as full:
            full.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:20]))
            with pytest.raises(OSError, match="only 20 of"):
                append_anchor(file, head(2), NOW)
        append_anchor(file, head(2), NOW)
        assert [one.head for one in read(file) if isinstance(one, Anchor)] == [head(1), head(2)]

    def test_what_calls_itself_torn_must_fit(self, tmp_path: Path) -> None:
        file = tmp_path / "host.jsonl"
        file.write_text("torn\n" + anchor_text(Anchor(head(2), NOW, torn=5)) + "\n")
        assert read(file) == [Damaged(1, crash=False), Anchor(head(2), NOW, torn=5)]

    def test_empty_lines_say_nothing(self, tmp_path: Path) -> None:
        file = tmp_path / "host.jsonl"
        file.write_text("\n" + anchor_text(Anchor(head(2), NOW)) + "\n\n")
        assert read(file) == [Anchor(head(2), NOW)]

    def test_what_is_added_later_is_not_read(self, tmp_path: Path) -> None:
        file = tmp_path / "host.jsonl"
        append_anchor(file, head(1), NOW)
        found = AnchorFile(file, file.stat().st_size)
        append_anchor(file, head(2), NOW)
        assert list(found.lines()) == [Anchor(head(1), NOW)]
        half = AnchorFile(file, file.stat().st_size - 10)
        assert list(half.lines()) == [Anchor(head(1), NOW), Damaged(2, crash=True)]

    def test_folders_and_files(self, tmp_path: Path) -> None:
        for name in ("a.jsonl", "b.jsonl", "c.txt"):
            append_anchor(tmp_path / name, head(1), NOW)
        found = find_files([tmp_path, tmp_path / "c.txt"])
        assert [one.path.name for one in found] == ["a.jsonl", "b.jsonl", "c.txt"]
        with pytest.raises(FileNotFoundError):
            find_files([tmp_path / "d"])


@pytest.mark.parametrize("text", [f"17:{MAC}", f"17:{show_mac(MAC)}", f"17:{MAC.upper()}"])
def test_a_head_as_it_is_shown(text: str) -> None:
    assert parse_head(text) == head(17)


@pytest.mark.parametrize(
    "text", ["", "17", f":{MAC}", f"x:{MAC}", f"0:{MAC}", f"{2**63}:{MAC}", "1:abc", f"-1:{MAC}"]
)
def test_what_is_no_head(text: str) -> None:
    with pytest.raises(ValueError, match=r"position|POSITION"):
        parse_head(text)


class TestWriter:
    @pytest.fixture
    async def database(self, trail: AuditTrail) -> AsyncIterator[Database]:
        database = Database(trail.url)
        yield database
        await database.close()

    async def test_an_anchor_whenever_the_head_has_moved(
        self, trail: AuditTrail, database: Database, tmp_path: Path
    ) -> None:
        anchors = Anchors(database, tmp_path / "anchors", utc_now)
        assert anchors.file.name == f"{socket.gethostname()}.jsonl"
        await anchors.write()
        assert not anchors.file.exists()
        expected = []
        for _ in range(2):
            trail.fill(3)
            with structlog.testing.capture_logs() as logs:
                await anchors.write()
                await anchors.write()
            expected.append(trail.head())
            (line,) = logs
            assert (line["event"], line["log_level"]) == ("audit head", "info")
            assert (line["position"], line["mac"]) == (
                expected[-1].position,
                show_mac(expected[-1].mac),
            )
        assert [one.head for one in read(anchors.file) if isinstance(one, Anchor)] == expected
        assert trail.faults(tmp_path / "anchors") == {}

    async def test_a_trail_that_goes_back_is_logged_at_once(
        self, trail: AuditTrail, database: Database, tmp_path: Path
    ) -> None:
        anchors = Anchors(database, tmp_path, utc_now)
        trail.fill(3)
        before = trail.head()
        await anchors.write()
        trail.sql("UPDATE audit_head SET position = 2, mac = :mac", mac=MAC)
        with structlog.testing.capture_logs() as logs:
            await anchors.write()
        assert [line["event"] for line in logs] == ["the audit trail went back", "audit head"]
        assert parse_head(f"{logs[0]['position_before']}:{logs[0]['mac_before']}") == before
        assert trail.faults(tmp_path)["ANCHOR"] == 1

    async def test_a_folder_that_cannot_be_written(
        self, trail: AuditTrail, database: Database, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        anchors = Anchors(database, tmp_path / "file" / "anchors", utc_now)
        trail.fill(1)
        with structlog.testing.capture_logs() as logs:
            await anchors.write()
            await anchors.write()
        levels = [line["log_level"] for line in logs]
        assert levels == ["info", "error", "info", "error"]
        (tmp_path / "file").unlink()
        await anchors.write()
        assert len(read(anchors.file)) == 1


def test_logs_do_not_hide_an_hmac() -> None:
    from mesh.contract.redaction import redact_text

    assert redact_text(DIGITS) != DIGITS
    assert redact_text(show_mac(DIGITS)) == show_mac(DIGITS)


async def test_the_service_anchors_what_it_has(
    mesh: Mesh, settings: UserSettings, trail: AuditTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings.anchors
    quick = settings.model_copy(update={"audit_anchor_seconds": 0.05})
    async with mesh.serve(quick, build):
        await asyncio.to_thread(trail.append, event())
        await eventually(lambda: bool(folder.is_dir() and read(next(folder.iterdir()))))
    # What the background work has not seen is written at the end.
    slow = settings.model_copy(update={"audit_anchor_seconds": 3600.0})
    written, write = asyncio.Event(), Anchors.write

    async def noted(anchors: Anchors) -> None:
        await write(anchors)
        written.set()

    monkeypatch.setattr(Anchors, "write", noted)
    async with mesh.serve(slow, build):
        await written.wait()
        await asyncio.to_thread(trail.append, event())
    lines = read(next(folder.iterdir()))
    heads = [one.head for one in lines if isinstance(one, Anchor)]
    assert (heads[0].position, heads[-1]) == (1, trail.head())
    times = [one.time for one in lines if isinstance(one, Anchor)]
    assert datetime.datetime.now(datetime.UTC) - times[-1] < datetime.timedelta(seconds=60)


def test_the_folder_is_in_the_data_folder_by_default(tmp_path: Path) -> None:
    settings = UserSettings(home=tmp_path)
    assert settings.anchors == tmp_path / "anchors"
    assert settings.audit_anchor_seconds == 10
