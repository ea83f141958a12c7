"""The command that draws cards."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ocr_engine.vision.imaging import Pixels, decode
from training.cli import app
from training.synth import Level, SimLayout, random_record, random_sim_record, sample


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@cache
def clean(seed: int) -> Pixels:
    """The photo that the command is to draw."""
    return sample(seed, Level.CLEAN).shot.pixels


class TestSampleCard:
    @pytest.mark.parametrize("ending", ["jpg", "JPEG", "png", "webp"])
    def test_draws_an_upright_clean_photo(self, tmp_path: Path, ending: str) -> None:
        output = tmp_path / f"card.{ending}"

        result = run("sample-card", output, "--seed", 4)

        assert result.exit_code == 0, result.output
        assert result.stdout == ""
        drawn = clean(4).astype(int)
        assert np.abs(decode(output.read_bytes()).astype(int) - drawn).mean() < 4

    def test_says_what_is_printed_and_where(self, tmp_path: Path) -> None:
        output, record, labels = (tmp_path / name for name in ("a.png", "r.json", "l.json"))

        result = run("sample-card", output, "--kind", "sim2", "--level", "hard", "--turn", 90,
                     "--record", record, "--labels", labels)  # fmt: skip

        assert result.exit_code == 0, result.output
        holder = random_sim_record(1, SimLayout.NUMBERED)
        said, placed = json.loads(record.read_text()), json.loads(labels.read_text())
        assert said["documentType"] == "SIM"
        assert said["fields"]["nomorSim"] == holder.nomor_sim
        assert "layout" not in said["fields"]
        height, width = decode(output.read_bytes()).shape[:2]
        assert placed["photo"] == {"width": width, "height": height}
        top_left, top_right, *_ = placed["corners"]
        assert top_right[1] - top_left[1] > 300
        assert {text["role"] for text in placed["texts"]} == {"LABEL", "VALUE"}
        number = next(text for text in placed["texts"] if text["text"] == holder.nomor_sim)
        assert 0 < number["left"] < number["right"] < placed["card"]["width"]
        assert 0 < number["top"] < number["bottom"] < placed["card"]["height"]

    def test_a_ktp_says_all_its_fields(self, tmp_path: Path) -> None:
        record = tmp_path / "r.json"

        run("sample-card", tmp_path / "a.jpg", "--seed", 7, "--record", record)

        said = json.loads(record.read_text())
        assert said["documentType"] == "KTP"
        assert said["fields"]["statusPerkawinan"] == random_record(7).status_perkawinan

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["card.gif"], ".jpg, .jpeg, .png, .webp"),
            (["card"], ".jpg"),
            (["card.jpg", "--kind", "passport"], "passport"),
            (["card.jpg", "--level", "easy"], "easy"),
            (["card.jpg", "--seed", "-1"], "--seed"),
            (["card.jpg", "--turn", "far"], "--turn"),
        ],
    )
    def test_wrong_use(self, tmp_path: Path, arguments: list[str], said: str) -> None:
        name, *options = arguments
        result = run("sample-card", tmp_path / name, *options)

        assert result.exit_code == 2
        assert said in result.stderr
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("option", [[], ["--record"], ["--labels"]])
    def test_a_folder_that_is_not_there(self, tmp_path: Path, option: list[str]) -> None:
        gone = tmp_path / "gone" / "card.jpg"
        arguments = [tmp_path / "card.jpg", *option, gone] if option else [gone]

        result = run("sample-card", *arguments)

        assert result.exit_code == 1
        assert "gone/card.jpg cannot be written: No such file" in result.stderr
