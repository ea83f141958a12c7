"""The `mediq audit` command: is the trail whole, where does it end, what does it say.

`verify` and `head` change nothing. `list` and `touched` show personal data, so each puts itself on
record before it shows anything.
"""

import asyncio
import datetime
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated
from uuid import UUID

import grpc
import typer
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from mediq.audit.v1.audit_pb2 import AuditAct, AuditEntry, AuditEvent
from mediq.audit.v1.audit_service_pb2 import AuditHead, GetAuditHeadRequest, TouchedPerson
from mediq.audit.v1.audit_service_pb2_grpc import AuditServiceStub
from mediq.policy.v1.policy_pb2 import Role, Scope
from sqlalchemy import inspect, make_url
from sqlalchemy.exc import SQLAlchemyError

from mesh import logs
from mesh.audit import command_event
from mesh.client import Channels
from mesh.contracts import role_name, scope_name
from mesh.errors import Kind, MeshError
from mesh.identity import IdentityError
from mesh.keys import KeyFolderError
from mesh.status import from_rpc_error
from mesh.storage import Database
from mesh.times import utc_now
from mesh.validation import validate
from user_svc import audit_queries
from user_svc.audit_anchors import (
    Anchor,
    anchor_text,
    append_anchor,
    has_anchor,
    parse_head,
    show_mac,
)
from user_svc.audit_chain import AuditChain, Head
from user_svc.audit_queries import Filter, require_order
from user_svc.audit_servicer import touched_message
from user_svc.audit_tables import AUDIT_ENTRIES
from user_svc.audit_verify import Report, verify
from user_svc.settings import UserSettings

BROKEN = 1
"""Exit code: the trail is not what was written."""
FAILED = 2
"""Exit code: nothing can be said, because something is missing or does not answer."""
MOST_PERSONS = 1000
"""Persons of one event, by the contract; a page of the persons that were touched."""
app = typer.Typer(help="The audit trail: who did what to whose data.")
Work = Callable[[Database, AuditChain], Awaitable[None]]
Since = Annotated[
    str, typer.Option("--from", help="Not before this time, such as 2026-03-01T08:00+07:00.")
]
Until = Annotated[str, typer.Option("--to", help="Before this time. Without it: until now.")]
Actor = Annotated[UUID | None, typer.Option(help="Only what this account did.")]
Institution = Annotated[UUID | None, typer.Option(help="Only what belongs to this facility.")]
Reason = Annotated[str, typer.Option(help="Why you look; it is kept in the trail.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


@app.callback()
def audit() -> None:
    """The audit trail: who did what to whose data."""
    # Standard output is for what was asked; what the kit would warn of is said by the error.
    logs.configure("mediq", "ERROR")


@app.command("verify")
def verify_command(
    anchors: Annotated[
        list[Path] | None,
        typer.Option(
            help="File of anchors, or a folder of them; may be repeated. Without it: the folder "
            "that the service writes to."
        ),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(help="POSITION:MAC that was noted elsewhere; may be repeated."),
    ] = None,
) -> None:
    """Verify the trail. Exit 0: it is whole; 1: it is not; 2: that cannot be said."""
    settings = UserSettings()
    heads = [_head_option(text) for text in head or ()]
    own = [settings.anchors] if settings.anchors.is_dir() else []
    with _clear_errors():
        chain = AuditChain.load(settings.keys, settings.service)
        database = _open(settings)
        try:
            report = verify(database.engine, chain, own if anchors is None else anchors, heads)
        finally:
            asyncio.run(database.close())
        empty = [path for path in anchors or () if not has_anchor(path)]
    _show(report)
    if not report.whole:
        raise typer.Exit(BROKEN)
    for path in empty:
        # A volume that is not mounted looks like this, and a cut end would not be found.
        typer.echo(f"mediq: there is no anchor in {path}", err=True)
    if empty:
        raise typer.Exit(FAILED)
    typer.echo("the trail is whole")


@app.command("head")
def head_command(
    append: Annotated[
        Path | None, typer.Option(help="Add it as a line to this file of anchors.")
    ] = None,
) -> None:
    """Fetch the end of the trail from the service, with the operations certificate."""
    with _clear_errors():
        found = asyncio.run(_fetch(UserSettings()))
        if not found.position:
            typer.echo("the trail is empty", err=True)
            return
        head, now = Head(found.position, found.mac), utc_now()
        typer.echo(anchor_text(Anchor(head, now)))
        if append is not None:
            append_anchor(append, head, now)


@app.command("list")
def list_command(
    person: Annotated[UUID | None, typer.Option(help="Whose data were seen or changed.")] = None,
    actor: Actor = None,
    institution: Institution = None,
    since: Since = "",
    until: Until = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most entries.")] = 50,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """List what happened, newest first. That you looked is put into the trail."""
    wanted = Filter(
        _text(person),
        _text(actor),
        _text(institution),
        _time(since, "--from"),
        _time(until, "--to"),
    )

    async def show(database: Database, chain: AuditChain) -> None:
        require_order(wanted.start, wanted.end)

        found = await database.read(
            lambda session: [
                chain.entry(row) for row in audit_queries.entries(session, wanted, None, limit)
            ]
        )
        seen = {one.lower() for entry in found for one in entry.event.person_ids}
        seen |= {wanted.person_id} - {""}
        await _record(database, chain, "audit list", seen, wanted.institution_id, reason)
        for entry in found:
            _print(entry, _entry_line(entry), as_json=as_json)

    _run(show)


@app.command("touched")
def touched_command(
    since: Since,
    until: Until = "",
    actor: Actor = None,
    institution: Institution = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """List everyone whose data were seen or changed. That you looked is put into the trail."""
    start, end = _time(since, "--from"), _time(until, "--to") or utc_now()
    if start is None:
        raise typer.BadParameter("say from when", param_hint="--from")

    async def show(database: Database, chain: AuditChain) -> None:
        require_order(start, end)
        after, more = "", True
        while more:
            page = await database.read(
                lambda session: audit_queries.touched(
                    *(session, start, end, after, MOST_PERSONS),  # noqa: B023 - awaited at once
                    _text(actor),
                    _text(institution),
                )
            )
            persons = [one.person_id for one in page]
            if page or not after:
                await _record(database, chain, "audit touched", persons, _text(institution), reason)
            for one in page:
                message = touched_message(one)
                _print(message, _person_line(message), as_json=as_json)
            more = len(page) == MOST_PERSONS
            after = persons[-1] if more else ""

    _run(show)


async def _record(
    database: Database,
    chain: AuditChain,
    method: str,
    persons: Iterable[str],
    institution_id: str,
    reason: str,
) -> None:
    """Puts into the trail that a command shows the data of persons.

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
                persons=piece,
                institution_id=institution_id,
                reason=reason,
            )
        )
        validate(events[-1])
    await database.write(lambda session: chain.append(session, events, utc_now()))


async def _fetch(settings: UserSettings) -> AuditHead:
    address = os.environ.get("MEDIQ_USER_SVC_ADDRESS", f"127.0.0.1:{settings.listen_port}")
    channels = Channels(settings.tls, "ops", lambda _: address)
    try:
        stub = AuditServiceStub(channels.to(settings.service))
        return await stub.GetAuditHead(GetAuditHeadRequest())
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
    except MeshError as error:
        if error.kind is Kind.UNAVAILABLE:
            error.message = f"user_svc does not answer at {address}"
        raise
    finally:
        await channels.close()


def _open(settings: UserSettings) -> Database:
    """The service's database. Nothing is made: what reads a trail must not begin one.

    Raises:
        MeshError: FAILED_PRECONDITION with reason NO_AUDIT_TRAIL.
    """
    url = make_url(settings.database)
    missing = MeshError(
        f"{url.render_as_string()} has no audit trail: set MEDIQ_HOME or "
        "MEDIQ_USER_SVC_DATABASE_URL, or bring it up to date (mediq db upgrade)",
        Kind.FAILED_PRECONDITION,
        "NO_AUDIT_TRAIL",
    )
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise missing
    database = Database(settings.database, 1)
    try:
        if inspect(database.engine).has_table(AUDIT_ENTRIES.name):
            return database
    except SQLAlchemyError:
        database.engine.dispose()
        raise
    database.engine.dispose()
    raise missing


def _run(work: Work) -> None:
    """Runs work on the service's database."""
    settings = UserSettings()

    async def whole() -> None:
        chain, database = AuditChain.load(settings.keys, settings.service), _open(settings)
        try:
            await work(database, chain)
        finally:
            await database.close()

    with _clear_errors():
        asyncio.run(whole())


@contextmanager
def _clear_errors() -> Iterator[None]:
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


def _show(report: Report) -> None:
    typer.echo(f"entries: {report.entries}, the last one {_head_text(report.last)}")
    newest = report.newest_anchor
    when = "" if newest is None else f", the newest one {newest.head.position} of {newest.time}"
    typer.echo(f"anchors: {report.anchors}{when}")
    for warning in report.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if not report.anchors:
        text = "without anchors a cut end, or a trail that was written anew, is not found"
        typer.echo(f"warning: {text}", err=True)
    if report.first is None:
        return
    where = "" if report.first.position is None else f", the first one at {report.first.position}"
    typer.echo(f"NOT WHOLE: {report.counts.total()} findings{where}")
    for one in report.shown:
        position = "-" if one.position is None else one.position
        typer.echo(f"  {position}  {one.fault}  {one.detail}")
    for fault, count in sorted(report.counts.items()):
        typer.echo(f"{fault}: {count}")


def _head_text(head: Head) -> str:
    return f"{head.position}:{show_mac(head.mac)}"


def _entry_line(entry: AuditEntry) -> str:
    event, actor = entry.event, entry.event.actor
    what = role_name(actor.role) if actor.role != Role.ROLE_UNSPECIFIED else ""
    what = what or (scope_name(actor.scope) if actor.scope != Scope.SCOPE_UNSPECIFIED else "-")
    words = (
        str(entry.position),
        event.occur_time.ToJsonString(),
        AuditAct.Name(event.act).removeprefix("AUDIT_ACT_"),
        _plain(f"{event.service}/{event.method}"),
        what,
        _plain(actor.id or actor.login or actor.peer or "-"),
        f"persons={','.join(event.person_ids)}",
        *([f"refused={_plain(event.refusal)}"] if event.refusal else []),
        *([f"reason={_plain(event.reason)}"] if event.reason else []),
    )
    return "  ".join(words)


def _person_line(person: TouchedPerson) -> str:
    times = f"{person.first_time.ToJsonString()}  {person.last_time.ToJsonString()}"
    return f"{person.user_id}  accesses={person.accesses}  changes={person.changes}  {times}"


def _plain(text: str) -> str:
    """The text without what a terminal would obey."""
    return json.dumps(text)[1:-1]


def _print(message: Message, line: str, *, as_json: bool) -> None:
    typer.echo(MessageToJson(message, indent=None) if as_json else line)


def _text(identifier: UUID | None) -> str:
    return "" if identifier is None else str(identifier)


def _time(text: str, option: str) -> datetime.datetime | None:
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


def _head_option(text: str) -> Head:
    try:
        return parse_head(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--head") from error


import user_svc.audit_recipients  # noqa: E402, F401 # a command more of this application
