"""The key of the audit trail's chain."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from mesh import data_dir
from mesh.audit_trail.key import AUDIT_KEY, ensure_audit_key, load_audit_key
from mesh.identity.key_set import KeyFolderError


def test_it_is_made_once_and_private(tmp_path: Path) -> None:
    ensure_audit_key(tmp_path)
    key = load_audit_key(tmp_path)
    assert len(key) == 32
    assert stat.S_IMODE((tmp_path / AUDIT_KEY).stat().st_mode) == 0o600
    ensure_audit_key(tmp_path)
    assert load_audit_key(tmp_path) == key


def test_two_folders_have_two_keys(tmp_path: Path) -> None:
    for name in ("one", "two"):
        data_dir.prepare(tmp_path / name)
    one, two = (load_audit_key(tmp_path / name / "keys") for name in ("one", "two"))
    assert one != two


def test_a_missing_key(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=AUDIT_KEY):
        load_audit_key(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"key": 5}',
        '{"key": "%%%"}',
        json.dumps({"key": base64.b64encode(bytes(16)).decode()}),
    ],
)
def test_a_damaged_key(tmp_path: Path, content: str) -> None:
    (tmp_path / AUDIT_KEY).write_text(content)
    with pytest.raises(KeyFolderError, match=AUDIT_KEY):
        load_audit_key(tmp_path)
