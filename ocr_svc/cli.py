"""The `mediq data-rights` command: what was erased is erased again after a restore."""

import asyncio
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from sqlalchemy import inspect, make_url
from sqlalchemy.exc import SQLAlchemyError

from mesh.audit_trail.recorder import AuditRecorder, relayed_by_the_service
from mesh.clock import utc_now
from mesh.encryption.field_cipher import FieldCipher
from mesh.errors import MeshError, failed_precondition
from mesh.identity.key_set import KeyFolderError
from mesh.observability import logs
from mesh.persistence.database import Database
from ocr_svc.application.replay_erasures import replay_erasures
from ocr_svc.application.unit_of_work import UnitsOfWork
from ocr_svc.persistence.models import AUDIT, ErasureRow
from ocr_svc.settings import OcrSettings

INCOMPLETE = 1
"""Exit code: the accounts of some erasures are not known any more."""
FAILED = 2
"""Exit code: something is missing or does not answer."""
app = typer.Typer(no_args_is_help=True, help="Rights of persons over their data.")


@app.callback()
def data_rights() -> None:
    """Look after the rights of persons over their data."""


@app.command("replay")
def replay_command(
    since: Annotated[
        str,
        typer.Option(help="When the backup was made that was restored: 2026-03-01T08:00+07:00."),
    ],
    reason: Annotated[str, typer.Option(help="Why; it is kept in the audit trail.")] = "",
) -> None:
    """Erase again what was erased since a backup was made, after it was restored.

    A running ocr_svc does it, at once or when it is started. Exit 0: all of it; 1: the accounts of
    some erasures are not known, they are named; 2: nothing can be done.
    """
    # Standard output is for what was done; what the kit would warn of is said by the error.
    logs.configure("mediq", "ERROR")
    start = _time(since)
    try:
        again, lost = asyncio.run(replay(OcrSettings(), start, reason))
    except MeshError as error:
        _fail(f"{error.message} ({error.reason})", error)
    except SQLAlchemyError as error:
        _fail(f"the database does not answer: {error}", error)
    except (OSError, KeyFolderError) as error:
        _fail(str(error), error)
    typer.echo(f"erased again: {again}")
    for erasure_id in lost:
        typer.echo(f"mediq: the account of erasure {erasure_id} is not known any more", err=True)
    if lost:
        raise typer.Exit(INCOMPLETE)


async def replay(
    settings: OcrSettings, since: datetime.datetime, reason: str
) -> tuple[int, Sequence[str]]:
    """Opens the service's database and begins erasures again; see `replay_erasures`.

    Raises:
        MeshError: As `replay_erasures`, or NO_ERASURES: there is no such database.
        SQLAlchemyError: The database does not answer.
        FileNotFoundError: The data key does not exist.
    """
    cipher = FieldCipher.load(settings.keys, settings.service)
    database = _open(settings)
    try:
        recorder = AuditRecorder(AUDIT, database, cipher, relayed_by_the_service, utc_now)
        units = UnitsOfWork(database, cipher, recorder)
        return await replay_erasures(units, settings.service, since, reason, utc_now)
    finally:
        await database.close()


def _open(settings: OcrSettings) -> Database:
    """Returns the service's database. Nothing is made.

    Raises:
        MeshError: FAILED_PRECONDITION with reason NO_ERASURES.
    """
    url = make_url(settings.database)
    missing = failed_precondition(
        f"{url.render_as_string()} has no erasures: set MEDIQ_HOME or MEDIQ_OCR_SVC_DATABASE_URL, "
        "or bring it up to date (mediq db upgrade)",
        "NO_ERASURES",
    )
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise missing
    database = Database(settings.database, 1)
    try:
        tables = inspect(database.engine)
        name = ErasureRow.__tablename__
        if tables.has_table(name) and "round" in {one["name"] for one in tables.get_columns(name)}:
            return database
    except SQLAlchemyError:
        database.engine.dispose()
        raise
    database.engine.dispose()
    raise missing


def _time(text: str) -> datetime.datetime:
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("not a time of ISO 8601", param_hint="--since") from error
    if found.tzinfo is None:
        raise typer.BadParameter("say the zone too, such as +07:00", param_hint="--since")
    return found


def _fail(text: str, error: Exception) -> NoReturn:
    typer.echo(f"mediq: {text}", err=True)
    raise typer.Exit(FAILED) from error
