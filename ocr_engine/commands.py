"""Reading and drawing cards from the command line."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.errors import MeshError

if TYPE_CHECKING:
    from ocr_engine.domain import CardReading
    from ocr_engine.engine import CardEngine

app = typer.Typer(no_args_is_help=True)


@app.command()
def scan(images: Annotated[list[Path], typer.Argument(help="Photos: JPEG, PNG or WebP.")]) -> None:
    """Read identity cards; prints one JSON object a photo, exits 1 when one cannot be read."""
    # The networks' libraries take seconds to import: not for `mediq --help`.
    from ocr_engine.engine import CardEngine

    engine = CardEngine()
    failed = False
    for image in images:
        outcome = _scan_one(engine, image)
        failed = failed or "error" in outcome
        sys.stdout.write(json.dumps(outcome, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    if failed:
        raise typer.Exit(code=1)


@app.command("sample-card")
def sample_card(
    output: Annotated[Path, typer.Argument(help="File to write: .jpg, .png or .webp.")],
    seed: Annotated[int, typer.Option(help="The same seed draws the same card.")] = 1,
) -> None:
    """Draw a specimen card of an invented person, photographed on a table."""
    from ocr_engine.synth import draw_card, photograph, random_record

    photograph(draw_card(random_record(seed), seed), seed).save(output)


def _scan_one(engine: "CardEngine", image: Path) -> dict[str, Any]:
    started = time.monotonic()
    outcome: dict[str, Any] = {"file": str(image)}
    try:
        reading = engine.read_card(image.read_bytes())
        outcome |= _as_json(reading)
        reading.require_card()
    except MeshError as error:
        outcome["error"] = {"reason": error.reason, "message": error.message}
    except OSError as error:
        outcome["error"] = {"reason": "FILE_UNREADABLE", "message": error.strerror or str(error)}
    return outcome | {"elapsedMs": round((time.monotonic() - started) * 1000)}


def _as_json(reading: "CardReading") -> dict[str, Any]:
    return {
        "documentType": reading.document_type.value,
        "fields": {
            _camel(name): {
                "value": field.value,
                "rawValue": field.raw_value,
                "confidence": round(field.confidence, 3),
            }
            for name, field in reading.fields.found()
        },
        "quality": {
            "sharpness": round(reading.quality.sharpness, 1),
            "brightness": round(reading.quality.brightness, 1),
            "glareShare": round(reading.quality.glare_share, 4),
            "advice": list(reading.quality.advice),
        },
        "warnings": [asdict(warning) for warning in reading.warnings],
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
