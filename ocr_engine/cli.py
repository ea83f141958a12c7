"""Reading cards from the command line."""

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.errors import MeshError, StatusCode

if TYPE_CHECKING:
    from ocr_engine.parsing import CardReading, Quality
    from ocr_engine.serving.engine import CardEngine

app = typer.Typer(no_args_is_help=True)


@app.callback()
def commands() -> None:
    """Read identity cards."""


class FileUnreadable(MeshError):
    """Reports a file that is not there, is a folder, or may not be read."""

    def __init__(self, message: str) -> None:
        """Keeps what the system says."""
        super().__init__(message, StatusCode.INVALID_ARGUMENT, "FILE_UNREADABLE")


@app.command()
def scan(images: Annotated[list[Path], typer.Argument(help="Photos: JPEG, PNG or WebP.")]) -> None:
    """Read identity cards; prints one JSON object a photo, exits 1 when one cannot be read."""
    # The networks' libraries take seconds to import: not for `mediq --help`.
    from ocr_engine.serving.engine import CardEngine

    engine = CardEngine()
    failed = False
    for image in images:
        outcome = _scan_one(engine, image)
        failed = failed or "error" in outcome
        sys.stdout.write(json.dumps(outcome) + "\n")
        sys.stdout.flush()
    if failed:
        raise typer.Exit(code=1)


def _scan_one(engine: "CardEngine", image: Path) -> dict[str, Any]:
    started = time.monotonic()
    # A name need not be text on every system; JSON must be.
    outcome: dict[str, Any] = {"file": os.fsencode(image).decode(errors="replace")}
    try:
        reading = engine.read_card(_read_file(image))
        outcome |= _as_json(reading)
        reading.require_card()
    except MeshError as error:
        outcome["error"] = {"reason": error.reason, "message": error.message}
    return outcome | {"elapsedMs": round((time.monotonic() - started) * 1000)}


def _read_file(path: Path) -> bytes:
    """Reads no more than what tells that a file is too large."""
    from ocr_engine.vision.imaging import MAX_BYTES

    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileUnreadable(error.strerror or str(error)) from error


def _as_json(reading: "CardReading") -> dict[str, Any]:
    return {
        "documentType": reading.document_type.value,
        "fields": {
            _camel(name): {
                "value": field.value,
                "rawValue": field.raw_value,
                "confidence": round(field.confidence, 3),
                "reason": field.reason.value,
                "polygon": [[round(x, 4), round(y, 4)] for x, y in field.polygon],
            }
            for name, field in reading.fields.found()
        },
        "quality": _quality_json(reading.quality),
        "warnings": [
            {
                "code": warning.code.value,
                "field": _camel(warning.field),
                "message": warning.message,
                "messageEn": warning.message_en,
            }
            for warning in reading.warnings
        ],
    }


def _quality_json(quality: "Quality") -> dict[str, Any]:
    from ocr_engine.parsing import ADVICE_MESSAGES, ADVICE_MESSAGES_EN

    measures = {name: value for name, value in vars(quality).items() if name != "advice"}
    return {_camel(name): round(value, 4) for name, value in measures.items()} | {
        "advice": [
            {
                "reason": one.value,
                "message": ADVICE_MESSAGES[one],
                "messageEn": ADVICE_MESSAGES_EN[one],
            }
            for one in quality.advice
        ]
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
