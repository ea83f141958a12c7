"""The command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from ocr_engine.cli import app
from ocr_engine.serving import engine
from ocr_engine.vision import imaging
from tests.ocr_engine.fakes import FakeEngine
from training.synth import Level, random_record, sample


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An engine that knows photos by their first bytes, in the place of the real one."""
    made = FakeEngine()
    monkeypatch.setattr(engine, "CardEngine", lambda: made)
    return made


def scanned(*contents: bytes, folder: Path) -> tuple[Result, list[dict[str, Any]]]:
    paths = [folder / f"{number}.jpg" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    result = run("scan", *paths)
    return result, [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.usefixtures("fake")
class TestScan:
    def test_a_card(self, tmp_path: Path) -> None:
        result, (card,) = scanned(b"ktp", folder=tmp_path)

        assert result.exit_code == 0
        assert list(card) == [
            "file", "documentType", "fields", "quality", "warnings", "elapsedMs",
        ]  # fmt: skip
        assert card["file"] == str(tmp_path / "0.jpg")
        assert card["documentType"] == "KTP"
        assert card["fields"]["nik"] == {
            "value": "3175036009500008",
            "rawValue": "317503600950000B",
            "confidence": 0.75,
            "reason": "REPAIRED",
            "polygon": [[0.125, 0.25], [0.875, 0.25], [0.875, 0.75], [-0.125, 0.75]],
        }
        assert card["fields"]["tanggalTerbit"]["polygon"] == []
        assert card["warnings"] == [
            {"code": "NIK_REPAIRED", "field": "nik", "message": "Periksa.",
             "messageEn": "Check it."}
        ]  # fmt: skip

    def test_what_the_photo_is_like(self, tmp_path: Path) -> None:
        _, (card,) = scanned(b"ktp", folder=tmp_path)
        quality = card["quality"]
        advice = quality.pop("advice")

        assert quality == {
            "sharpness": 150.0, "brightness": 90.5, "glareShare": 0.25, "saturation": 40.0,
            "moire": 0.5, "cardWidthPx": 812.0,
        }  # fmt: skip
        assert [one["reason"] for one in advice] == ["GLARE"]
        assert "pantulan" in advice[0]["message"]
        assert "reflected" in advice[0]["messageEn"]

    def test_a_licence(self, tmp_path: Path) -> None:
        _, (card,) = scanned(b"sim", folder=tmp_path)

        assert card["documentType"] == "SIM"
        assert card["fields"]["nomorSim"]["value"] == "1234-5678-901234"

    def test_no_card_comes_with_advice(self, tmp_path: Path) -> None:
        result, (card,) = scanned(b"nothing", folder=tmp_path)

        assert result.exit_code == 1
        assert (card["documentType"], card["fields"]) == ("UNKNOWN", {})
        assert card["error"]["reason"] == "NO_CARD"
        assert [one["reason"] for one in card["quality"]["advice"]] == ["BLURRED", "NO_CARD"]

    def test_one_line_a_photo_whatever_happens(self, tmp_path: Path) -> None:
        result, found = scanned(b"two", b"broken", b"ktp", folder=tmp_path)

        reasons = [one.get("error", {}).get("reason") for one in found]
        assert reasons == ["SEVERAL_CARDS", "CORRUPT_IMAGE", None]
        assert all(isinstance(one["elapsedMs"], int) for one in found)
        assert result.exit_code == 1

    def test_files_that_cannot_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret = tmp_path / "secret.jpg"
        opened = Path.open

        def open_unless_secret(path: Path, mode: str) -> Any:
            if path == secret:
                raise PermissionError(13, "Permission denied")
            return opened(path, mode)

        monkeypatch.setattr(Path, "open", open_unless_secret)
        result = run("scan", tmp_path, tmp_path / "gone.jpg", secret)
        errors = [json.loads(line)["error"] for line in result.stdout.splitlines()]

        assert {error["reason"] for error in errors} == {"FILE_UNREADABLE"}
        assert [error["message"] for error in errors] == [
            "Is a directory", "No such file or directory", "Permission denied",
        ]  # fmt: skip
        assert result.exit_code == 1

    def test_names_that_are_no_text(self, tmp_path: Path) -> None:
        result = run("scan", tmp_path / "foto \udcff é.jpg")

        assert json.loads(result.stdout)["file"].endswith("foto \ufffd é.jpg")

    def test_no_more_is_read_than_tells_that_a_file_is_too_large(
        self, tmp_path: Path, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[int] = []

        def refuse(data: bytes) -> None:
            read.append(len(data))
            raise imaging.ImageTooLarge("too large")

        monkeypatch.setattr(fake, "read_card", refuse)

        _, (card,) = scanned(b"\0" * 11 * 2**20, folder=tmp_path)

        assert read == [imaging.MAX_BYTES + 1]
        assert card["error"]["reason"] == "IMAGE_TOO_LARGE"


def test_scan_needs_a_photo() -> None:
    assert run("scan").exit_code == 2


@pytest.mark.model
def test_scan_reads_a_drawn_card(tmp_path: Path) -> None:
    photo = tmp_path / "card.png"
    Image.fromarray(sample(4, Level.CLEAN).shot.pixels).save(photo)

    result = run("scan", photo)

    card = json.loads(result.stdout)
    assert result.exit_code == 0
    nik = card["fields"]["nik"]
    assert (nik["value"], nik["rawValue"]) == (random_record(4).nik, random_record(4).nik)
    assert 0.5 < nik["confidence"] <= 1
    assert card["quality"]["advice"] == []
