"""mediq data-keys: the keys that encrypt personal data in the databases."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar

import typer
from sqlalchemy import inspect, make_url
from sqlalchemy.orm import Session

from mesh.encryption import data_keys
from mesh.encryption.data_keys import DataKeys, Listed, State
from mesh.encryption.encrypted_columns import (
    EncryptedColumn,
    Usage,
    usage,
)
from mesh.encryption.field_cipher import FieldCipher
from mesh.encryption.reencryption import Reencryptor, Tally
from mesh.errors import MeshError, failed_precondition
from mesh.identity.signing_keys import ANNOUNCE_SECONDS
from mesh.observability import logs
from mesh.persistence.database import Database
from mesh.registry import ServiceDatabase, databases_of, services_with_encrypted_columns
from mesh.settings import settings_of
from ops.cli.audit_trail import record_command
from ops.cli.keys import explain_key_errors, utc_text

app = typer.Typer(no_args_is_help=True)
Service = Annotated[str, typer.Argument(help="Name of one service; all of them without it.")]
Columns = Sequence[EncryptedColumn]
Result = TypeVar("Result")
MAX_WALKS = 5
"""How often `re-encrypt` tries ciphertexts that others change or hold."""
WAIT_SECONDS = 2.0
"""Pause between these tries."""
REST_SHARE = 0.5
"""Seconds of rest for each second of work: a person waits."""


@app.command()
def rotate(
    service: Service = "",
    after: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds until the new key encrypts. A service reads it within a second; give it "
            "more where files are handed out more slowly, as in Kubernetes.",
        ),
    ] = ANNOUNCE_SECONDS,
) -> None:
    """Add a key that takes over. Services then re-encrypt what they have stored."""
    done = []
    for name in _chosen_services(service):
        with explain_key_errors():
            added = data_keys.rotate(settings_of(name).keys, name, after)
        begins = utc_text(added.encrypts_from)
        typer.echo(f"{name}: {added.key_id} decrypts now and encrypts from {begins}")
        done.append(record_command(name, f"data-keys rotate {added.key_id}"))
    _exit_unless_all(done)


@app.command("list")
def list_keys(service: Service = "") -> None:
    """Show each key, what it does, and how many ciphertexts need it."""
    for name in _chosen_services(service):
        keys = _read_keys(name)
        used = _count_usage(name, [key.key_id for key in keys.keys])
        urls = [
            make_url(one.url).render_as_string(hide_password=True) for one in databases_of(name)
        ]
        typer.echo(f"{name}  {', '.join(urls)}")
        for one in keys.listed(time.time()):
            begins = one.key.encrypts_from
            since = utc_text(begins) if begins else "the start"
            count = used.by_key[one.key.key_id]
            typer.echo(
                f"  {one.key.key_id}  {one.state:<10}  from {since:<20}  {count} ciphertexts"
            )
        if used.unknown:
            typer.echo(f"  {used.unknown} values have none of these keys")


@app.command("re-encrypt")
def reencrypt(service: Service = "") -> None:
    """Re-encrypt now what older keys have encrypted. Fails when something had to stay."""
    # Standard output is for progress; fields that do not decrypt are logged by their place.
    logs.configure("mediq", "WARNING")
    _exit_unless_all([_reencrypt(name) for name in _chosen_services(service)])


@app.command()
def prune(service: Service = "") -> None:
    """Remove the keys that no ciphertext needs. Fails when an older key has to stay."""
    _exit_unless_all([_prune(name) for name in _chosen_services(service)])


def _exit_unless_all(done: Sequence[bool]) -> None:
    if not all(done):
        raise typer.Exit(1)


def _chosen_services(service: str) -> Sequence[str]:
    names = services_with_encrypted_columns()
    if service and service not in names:
        raise SystemExit(
            f"mediq: {service} has no encrypted data; choose one of {', '.join(names)}"
        )
    return [service] if service else names


def _read_keys(service: str) -> DataKeys:
    with explain_key_errors():
        return data_keys.read_data_keys(data_keys.file_of(settings_of(service).keys, service))


def _require_tables(session: Session, columns: Columns) -> None:
    """Keeps a database that is empty, or that of another service, from looking like one at rest.

    Raises:
        MeshError: FAILED_PRECONDITION with reason TABLE_MISSING.
    """
    found = inspect(session.connection())
    for column in columns:
        if not found.has_table(str(column.table)):
            raise failed_precondition(
                f"its database lacks the table {column.table}", "TABLE_MISSING"
            )


async def _on_database(
    found: ServiceDatabase, work: Callable[[Database, Columns], Awaitable[Result]]
) -> Result:
    columns, database = found.encrypted_columns, Database(found.url, 1)
    try:
        await database.read(lambda session: _require_tables(session, columns))
        return await work(database, columns)
    finally:
        await database.close()


def _on_databases(
    service: str, work: Callable[[Database, Columns], Awaitable[Result]]
) -> Sequence[Result]:
    """Runs work on each database of a service in turn."""

    async def run() -> Sequence[Result]:
        return [await _on_database(found, work) for found in databases_of(service)]

    try:
        return asyncio.run(run())
    except MeshError as error:
        raise SystemExit(
            f"mediq: {service}: {error.message} ({error.reason}): check "
            f"MEDIQ_{service.upper()}_DATABASE_URL, and that the mesh was started or `mediq db "
            "upgrade` was run"
        ) from error


def _count_usage(service: str, key_ids: Sequence[str]) -> Usage:
    async def count(database: Database, columns: Columns) -> Usage:
        return await database.read(lambda session: usage(session, columns, key_ids))

    found = _on_databases(service, count)
    by_key = {key_id: sum(one.by_key[key_id] for one in found) for key_id in key_ids}
    return Usage(by_key, sum(one.unknown for one in found))


def _reencrypt(service: str) -> bool:
    """Re-encrypts; tells whether everything has the newest key, and that is recorded."""
    with explain_key_errors():
        cipher = FieldCipher.load(settings_of(service).keys, service)

    def show_progress(table: str, tally: Tally) -> None:
        typer.echo(f"{service}: {table}: {tally.reencrypted} re-encrypted so far")

    async def walk(database: Database, columns: Columns) -> Tally:
        reencryptor = Reencryptor(columns, cipher, database, REST_SHARE)
        found = await reencryptor.walk(show_progress)
        reencrypted = found.reencrypted
        for _ in range(MAX_WALKS - 1):
            if not found.busy:
                break
            await asyncio.sleep(WAIT_SECONDS)
            found = await reencryptor.walk(show_progress)
            reencrypted += found.reencrypted
        return Tally(reencrypted, found.busy, found.damaged)

    walked = _on_databases(service, walk)
    tally = Tally(
        sum(one.reencrypted for one in walked),
        sum(one.busy for one in walked),
        sum(one.damaged for one in walked),
    )
    now = time.time()
    keys = cipher.keys()
    typer.echo(f"{service}: {tally.reencrypted} re-encrypted with {keys.encrypting(now).key_id}")
    if tally.busy:
        typer.echo(f"{service}: {tally.busy} were in use, try again", err=True)
    if tally.damaged:
        typer.echo(f"{service}: {tally.damaged} do not decrypt and stay as they are", err=True)
    for one in keys.listed(now):
        if one.state is State.LEAVING:
            typer.echo(
                f"{service}: a replica may encrypt with {one.key.key_id} until {_last_use(one)}, "
                "then the service looks once more"
            )
    return record_command(service, "data-keys re-encrypt") and not tally.busy and not tally.damaged


def _prune(service: str) -> bool:
    """Removes keys; tells whether no older one is left, and what was removed is recorded."""
    listed = _read_keys(service).listed(time.time())
    leaving = [one for one in listed if one.state is State.LEAVING]
    # Counted when nobody encrypts with them any more.
    idle = [one.key.key_id for one in listed if one.state is State.DECRYPTING]
    used = _count_usage(service, idle).by_key if idle else {}
    with explain_key_errors():
        folder = settings_of(service).keys
        unused = [key_id for key_id in idle if not used[key_id]]
        removed = data_keys.remove(folder, service, unused) if unused else []
    for key_id in removed:
        typer.echo(f"{service}: {key_id} removed")
    needed = [key_id for key_id in idle if used[key_id]]
    for key_id in needed:
        typer.echo(
            f"{service}: {key_id} stays, {used[key_id]} ciphertexts need it: wait for the service, "
            f"or run `mediq data-keys re-encrypt {service}`",
            err=True,
        )
    for one in leaving:
        typer.echo(
            f"{service}: {one.key.key_id} stays, a replica may encrypt with it until "
            f"{_last_use(one)}",
            err=True,
        )
    if not removed and not needed and not leaving:
        typer.echo(f"{service}: nothing to remove")
    recorded = [record_command(service, f"data-keys prune {key_id}") for key_id in removed]
    return all(recorded) and not needed and not leaving


def _last_use(one: Listed) -> str:
    assert one.quiet_from is not None
    return utc_text(one.quiet_from)
