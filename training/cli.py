"""Drawing specimen cards from the command line."""

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

if TYPE_CHECKING:
    from training.synth import Sample

app = typer.Typer(no_args_is_help=True)


@app.callback()
def commands() -> None:
    """Draw specimen cards."""


PHOTO_FORMATS: Final = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
PHOTO_QUALITY: Final = 95


class CardKind(StrEnum):
    """Lists the cards that can be drawn."""

    KTP = "ktp"
    SIM1 = "sim1"
    """The licence before September 2019."""
    SIM2 = "sim2"
    """The licence until July 2024, with numbered rows."""
    SIM3 = "sim3"
    """The licence since July 2024, bilingual."""


class PhotoLevel(StrEnum):
    """Says how hard to read a drawn photo is."""

    CLEAN = "clean"
    MEDIUM = "medium"
    HARD = "hard"


@app.command("sample-card")
def sample_card(
    output: Annotated[Path, typer.Argument(help="File to write: .jpg, .png or .webp.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same card.")] = 1,
    kind: Annotated[
        CardKind, typer.Option(help="A KTP, or a SIM in its first, second or third layout.")
    ] = CardKind.KTP,
    level: Annotated[
        PhotoLevel, typer.Option(help="How hard to read the photo is.")
    ] = PhotoLevel.CLEAN,
    turn: Annotated[
        float, typer.Option(min=-360, max=360, help="Turn of the card, in degrees clockwise.")
    ] = 0.0,
    record: Annotated[
        Path | None, typer.Option(help="JSON file to write: what the card says.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="JSON file to write: where the card and its texts are.")
    ] = None,
) -> None:
    """Draw a specimen card of an invented person, photographed on a table."""
    form = PHOTO_FORMATS.get(output.suffix.lower())
    if form is None:
        raise typer.BadParameter(
            f"{output.name!r} must end in {', '.join(PHOTO_FORMATS)}", param_hint="OUTPUT"
        )
    # Drawing libraries take a second to import.
    from PIL import Image

    from training.synth import Level, SimLayout, sample

    sim = None if kind is CardKind.KTP else SimLayout(int(kind.value[-1]))
    drawn = sample(seed, Level[level.name], sim=sim, turn_degrees=turn)
    try:
        Image.fromarray(drawn.shot.pixels).save(output, form, quality=PHOTO_QUALITY)
        if record is not None:
            _write_json(record, _record_json(drawn))
        if labels is not None:
            _write_json(labels, _labels_json(drawn))
    except OSError as error:
        _fail(f"{error.filename or output} cannot be written: {error.strerror or error}")


def _record_json(drawn: "Sample") -> dict[str, Any]:
    """Returns what the card says, under the names that `scan` uses."""
    texts = asdict(drawn.record)
    layout = texts.pop("layout", None)
    return {
        "documentType": "KTP" if layout is None else "SIM",
        "fields": {_camel(name): value for name, value in texts.items() if value},
    }


def _labels_json(drawn: "Sample") -> dict[str, Any]:
    """Returns where the card lies on the photo, and its texts on the card; all in pixels."""
    height, width = drawn.shot.pixels.shape[:2]
    card_height, card_width = drawn.drawing.pixels.shape[:2]
    return {
        "photo": {"width": width, "height": height},
        "corners": [[round(float(x), 2), round(float(y), 2)] for x, y in drawn.shot.corners],
        "card": {"width": card_width, "height": card_height},
        "texts": [
            {
                "text": text.text,
                "role": text.role.value,
                "left": round(text.left, 2),
                "top": round(text.top, 2),
                "right": round(text.right, 2),
                "bottom": round(text.bottom, 2),
            }
            for text in drawn.drawing.texts
        ],
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"mediq: {message}\n")
    raise typer.Exit(code=1)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
