"""The `mediq audit` command: is the trail whole, where does it end, what does it say.

`verify` and `head` change nothing. `list`, `touched` and `recipients` show personal data, so each
puts itself on record before it shows anything.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated
from uuid import UUID

import grpc
import typer
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from mediq.audit.v1.audit_pb2 import AuditAct, AuditEntry
from mediq.audit.v1.audit_service_pb2 import AuditHead, GetAuditHeadRequest, TouchedPerson
from mediq.audit.v1.audit_service_pb2_grpc import AuditServiceStub
from mediq.policy.v1.policy_pb2 import Role, Scope

from mesh.clock import utc_now
from mesh.contract.methods import role_name, scope_name
from mesh.contract.status import from_rpc_error
from mesh.errors import MeshError, StatusCode
from mesh.observability import logs
from mesh.persistence.database import Database
from mesh.rpc.client import Channels
from user_svc.audit import queries
from user_svc.audit.anchors import (
    Anchor,
    anchor_text,
    append_anchor,
    has_anchor,
    parse_head,
    show_mac,
)
from user_svc.audit.chain import AuditChain
from user_svc.audit.report import Report
from user_svc.audit.verification import verify
from user_svc.cli import audit_recipients
from user_svc.cli.audit_support import (
    FAILED,
    Actor,
    Institution,
    Reason,
    Since,
    Until,
    clear_errors,
    on_trail,
    open_trail,
    put_on_record,
    text_of,
    time_of,
    touched_pages,
)
from user_svc.domain.audit_trail import Filter, Head, TouchedFilter, require_order
from user_svc.messages.audit import touched_message
from user_svc.settings import UserSettings

BROKEN = 1
"""Exit code: the trail is not what was written."""
app = typer.Typer(help="The audit trail: who did what to whose data.")
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


app.command("recipients")(audit_recipients.recipients)


@app.callback()
def audit() -> None:
    """Read the audit trail: who did what to whose data."""
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
    with clear_errors():
        chain = AuditChain.load(settings.keys, settings.service)
        database = open_trail(settings)
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
    with clear_errors():
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
        text_of(person),
        text_of(actor),
        text_of(institution),
        time_of(since, "--from"),
        time_of(until, "--to"),
    )

    async def show(database: Database, chain: AuditChain) -> None:
        require_order(wanted.start, wanted.end)
        found = await database.read(
            lambda session: [
                chain.entry(row) for row in queries.entries(session, wanted, None, limit)
            ]
        )
        seen = {one.lower() for entry in found for one in entry.event.person_ids}
        seen |= {wanted.person_id} - {""}
        await put_on_record(database, chain, "audit list", seen, wanted.institution_id, reason)
        for entry in found:
            _print(entry, _entry_line(entry), as_json=as_json)

    on_trail(show)


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
    start, end = time_of(since, "--from"), time_of(until, "--to") or utc_now()
    if start is None:
        raise typer.BadParameter("say from when", param_hint="--from")
    wanted = TouchedFilter(start, end, text_of(actor), text_of(institution))

    async def show(database: Database, chain: AuditChain) -> None:
        async for page in touched_pages(database, wanted):
            persons = [one.person_id for one in page]
            await put_on_record(
                database, chain, "audit touched", persons, wanted.institution_id, reason
            )
            for one in page:
                message = touched_message(one)
                _print(message, _person_line(message), as_json=as_json)

    on_trail(show)


async def _fetch(settings: UserSettings) -> AuditHead:
    address = os.environ.get("MEDIQ_USER_SVC_ADDRESS", f"127.0.0.1:{settings.listen_port}")
    channels = Channels(settings.tls, "ops", lambda _: address)
    try:
        stub = AuditServiceStub(channels.to(settings.service))
        return await stub.GetAuditHead(GetAuditHeadRequest())
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
    except MeshError as error:
        if error.kind is StatusCode.UNAVAILABLE:
            error.message = f"user_svc does not answer at {address}"
        raise
    finally:
        await channels.close()


def _show(report: Report) -> None:
    typer.echo(f"entries: {report.entries}, the last one {_head_text(report.last)}")
    newest = report.newest_anchor
    when = "" if newest is None else f", the newest one {newest.head.position} of {newest.time}"
    typer.echo(f"anchors: {report.anchors}{when}")
    for warning in report.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if not report.anchors:
        text = "without anchors a cut end, or a trail that was written again, is not found"
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
    """Returns the text without what a terminal would obey."""
    return json.dumps(text)[1:-1]


def _print(message: Message, line: str, *, as_json: bool) -> None:
    typer.echo(MessageToJson(message, indent=None) if as_json else line)


def _head_option(text: str) -> Head:
    try:
        return parse_head(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--head") from error
