"""The command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ocr_engine.commands import app
from ocr_engine.imaging import decode
from ocr_engine.synth import random_record


def test_sample_card_writes_a_photo(tmp_path: Path) -> None:
    output = tmp_path / "card.jpg"

    result = CliRunner().invoke(app, ["sample-card", str(output), "--seed", "4"])

    assert result.exit_code == 0, result.output
    assert decode(output.read_bytes()).shape[1] > 1000


@pytest.mark.model
def test_scan_prints_one_object_a_photo(tmp_path: Path) -> None:
    good, bad, gone = tmp_path / "card.png", tmp_path / "bad.jpg", tmp_path / "gone.jpg"
    CliRunner().invoke(app, ["sample-card", str(good), "--seed", "4"])
    bad.write_text("hello")

    result = CliRunner().invoke(app, ["scan", str(good), str(bad), str(gone)])

    first, second, third = (json.loads(line) for line in result.stdout.splitlines())
    assert result.exit_code == 1
    assert first["file"] == str(good)
    assert first["documentType"] == "KTP"
    nik = first["fields"]["nik"]
    assert (nik["value"], nik["rawValue"]) == (random_record(4).nik, random_record(4).nik)
    assert 0.5 < nik["confidence"] <= 1
    assert first["quality"]["advice"] == []
    assert first["elapsedMs"] > 0
    assert "error" not in first
    assert second["error"]["reason"] == "NOT_AN_IMAGE"
    assert third["error"]["reason"] == "FILE_UNREADABLE"
