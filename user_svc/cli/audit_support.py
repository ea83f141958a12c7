"""What the commands of the audit trail do alike: open it, and put themselves on record."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from mediq.audit.v1.audit_pb2 import AuditAct, AuditEvent
from sqlalchemy import inspect, make_url
from sqlalchemy.exc import SQLAlchemyError

from mesh.audit_trail.events import command_event
from mesh.clock import utc_now
from mesh.contract.validation import validate
from mesh.errors import MeshError, StatusCode
from mesh.identity.certificates import IdentityError
from mesh.identity.key_set import KeyFolderError
from mesh.persistence.database import Database
from user_svc.audit import queries
from user_svc.audit.chain import AuditChain
from user_svc.domain.audit_trail import Touched, TouchedFilter, require_order
from user_svc.persistence.audit_models import AUDIT_ENTRIES
from user_svc.settings import UserSettings

FAILED = 2
"""Exit code: nothing can be said, because something is missing or does not answer."""
MOST_PERSONS = 1000
"""Persons of one event, by the contract; a page of the persons that were touched."""
Work = Callable[[Database, AuditChain], Awaitable[None]]
Since = Annotated[
    str, typer.Option("--from", help="Not before this time, such as 2026-03-01T08:00+07:00.")
]
Until = Annotated[str, typer.Option("--to", help="Before this time. Without it: until now.")]
Actor = Annotated[UUID | None, typer.Option(help="Only what this account did.")]
Institution = Annotated[UUID | None, typer.Option(help="Only what belongs to this facility.")]
Reason = Annotated[str, typer.Option(help="Why you look; it is kept in the trail.")]


def on_trail(work: Work) -> None:
    """Runs work on the database of the trail.

    Raises:
        typer.Exit: FAILED, when it cannot be done; standard error says why.
    """
    settings = UserSettings()

    async def whole() -> None:
        chain, database = AuditChain.load(settings.keys, settings.service), open_trail(settings)
        try:
            await work(database, chain)
        finally:
            await database.close()

    with clear_errors():
        asyncio.run(whole())


@contextmanager
def clear_errors() -> Iterator[None]:
    """Says in one line why a command cannot do its work."""
    try:
        yield
    except MeshError as error:
        text = f"{error.message} ({error.reason})"
    except SQLAlchemyError as error:
        text = f"the database does not answer: {error}"
    except (OSError, KeyFolderError, IdentityError) as error:
        text = str(error)
    else:
        return
    typer.echo(f"mediq: {text}", err=True)
    raise typer.Exit(FAILED)


def open_trail(settings: UserSettings) -> Database:
    """Opens the database of the trail. Nothing is made: what reads a trail must not begin one.

    Raises:
        MeshError: FAILED_PRECONDITION with reason NO_AUDIT_TRAIL.
    """
    url = make_url(settings.audit_database)
    missing = MeshError(
        f"{url.render_as_string()} has no audit trail: set MEDIQ_HOME, "
        "MEDIQ_USER_SVC_DATABASE_URL or MEDIQ_USER_SVC_AUDIT_DATABASE_URL, or bring it up to date "
        "(mediq db upgrade)",
        StatusCode.FAILED_PRECONDITION,
        "NO_AUDIT_TRAIL",
    )
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise missing
    database = Database(settings.audit_database, 1)
    try:
        if inspect(database.engine).has_table(AUDIT_ENTRIES.name):
            return database
    except SQLAlchemyError:
        database.engine.dispose()
        raise
    database.engine.dispose()
    raise missing


async def put_on_record(
    database: Database,
    chain: AuditChain,
    method: str,
    persons: Iterable[str],
    institution_id: str,
    reason: str,
) -> None:
    """Records in the trail that a command shows the data of persons.

    Raises:
        MeshError: INVALID_REQUEST: the reason is too long. Or the trail cannot be written.
    """
    left = iter(sorted(persons))
    events: list[AuditEvent] = []
    while (piece := list(islice(left, MOST_PERSONS))) or not events:
        events.append(
            command_event(
                UserSettings.service,
                method,
                AuditAct.AUDIT_ACT_ACCESS,
                utc_now,
                persons=piece,
                institution_id=institution_id,
                reason=reason,
            )
        )
        validate(events[-1])
    await database.write(lambda session: chain.append(session, events, utc_now()))


async def touched_pages(
    database: Database, wanted: TouchedFilter
) -> AsyncIterator[Sequence[Touched]]:
    """Yields the persons who were touched, page by page; one empty page when there is nobody.

    Raises:
        MeshError: TIME_RANGE_INVALID, or the database does not answer.
    """
    require_order(wanted.start, wanted.end)
    after = ""
    while True:
        page = await database.read(
            partial(queries.touched, wanted=wanted, after=after, limit=MOST_PERSONS)
        )
        if page or not after:
            yield page
        if len(page) < MOST_PERSONS:
            return
        after = page[-1].person_id


def text_of(identifier: UUID | None) -> str:
    """Returns the identifier that an option gives; empty without one."""
    return "" if identifier is None else str(identifier)


def time_of(text: str, option: str) -> datetime.datetime | None:
    """Returns the time that an option gives; None without one.

    Raises:
        typer.BadParameter: It is no time, or says no zone.
    """
    if not text:
        return None
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("not a time of ISO 8601", param_hint=option) from error
    if found.tzinfo is None:
        # Whoever must tell patients of a break-in cannot be seven hours wrong.
        raise typer.BadParameter("say the zone too, such as +07:00", param_hint=option)
    return found
