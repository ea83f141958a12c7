"""mediq keys: the keys that sign access tokens."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from mesh.identity import key_set, signing_keys
from mesh.settings import settings_of
from ops.cli.audit_trail import record_command

app = typer.Typer(no_args_is_help=True, help="Keys that sign access tokens.")
OWNER = "user_svc"
"""The service that signs."""


@contextmanager
def explain_key_errors() -> Iterator[None]:
    """Turns errors of the key folder into one line that says what to do."""
    try:
        yield
    except FileNotFoundError as error:
        raise SystemExit(
            f"mediq: {error.filename} does not exist: start the mesh first (mediq up), or set "
            "MEDIQ_HOME or MEDIQ_KEYS_FOLDER"
        ) from error
    except key_set.KeyFolderError as error:
        raise SystemExit(f"mediq: {error}. Restore it from a backup.") from error
    except OSError as error:
        raise SystemExit(f"mediq: {error}") from error


def utc_text(seconds: float) -> str:
    """Formats a time for people, from seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


@app.command()
def rotate(
    after: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds until the new key signs. Services know it after one second, Envoy after "
            "half a minute at most: what is signed earlier may be refused.",
        ),
    ] = signing_keys.ANNOUNCE_SECONDS,
) -> None:
    """Add a key that takes over, and remove those whose time is over."""
    with explain_key_errors():
        added = signing_keys.rotate(settings_of(OWNER).keys, after)
    typer.echo(f"{added.key_id} verifies now and signs from {utc_text(added.signs_from)}")
    _record(f"keys rotate {added.key_id}")


@app.command()
def prune() -> None:
    """Remove the keys whose every token has ended."""
    with explain_key_errors():
        removed = signing_keys.prune(settings_of(OWNER).keys)
    for key_id in removed:
        typer.echo(f"{key_id} removed")
    if not removed:
        typer.echo("nothing to remove")
    _record(*(f"keys prune {key_id}" for key_id in removed))


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="Identifier of the key, as `mediq keys list` shows.")],
) -> None:
    """Take a stolen key out at once. Whoever signed in with it must sign in again."""
    try:
        with explain_key_errors():
            signing = signing_keys.revoke(settings_of(OWNER).keys, key)
    except LookupError as error:
        raise SystemExit(f"mediq: {error}: see mediq keys list") from error
    typer.echo(f"{key} verifies no more, {signing.key_id} signs")
    _record(f"keys revoke {key}")


@app.command("list")
def list_keys() -> None:
    """Show each key, what it does, and until when."""
    now = time.time()
    with explain_key_errors():
        found = key_set.read_key_set(settings_of(OWNER).keys / key_set.KEY_SET)
    for listed in key_set.listed(found, now):
        since = utc_text(listed.key.signs_from) if listed.key.signs_from else "the start"
        until = (
            f", can be removed from {utc_text(listed.removed_from)}" if listed.removed_from else ""
        )
        typer.echo(f"{listed.key.key_id}  {listed.state:<10} signs from {since}{until}")


def _record(*commands: str) -> None:
    done = [record_command(OWNER, command) for command in commands]
    if not all(done):
        raise typer.Exit(1)
