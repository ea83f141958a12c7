"""The `mediq admin` command: administrators are made here, no account exists by itself."""

import asyncio
import json
import sys
from typing import Annotated

import typer

from mesh.data_dir import prepare
from mesh.errors import MeshError
from mesh.persistence.migrations import upgrade
from user_svc.application.password_hashing import generate_password
from user_svc.cli.administration import (
    create_administrator,
    end_all_sessions,
    end_sessions,
    reset_password,
    reset_second_factor,
)
from user_svc.settings import UserSettings

app = typer.Typer(help="Administrators of facilities and of the network.")
DEFAULT_NAME = "Administrator"


@app.callback()
def admin() -> None:
    """Manage administrators of facilities and of the network."""


def _ready() -> UserSettings:
    """Returns the service's settings, once its keys and its tables are there."""
    settings = UserSettings()
    if settings.keys_folder is None:
        prepare(settings.home)
    if settings.migrate_at_start:
        upgrade(settings.service, settings.database)
    return settings


def _password(typed: bool) -> str:
    """Returns the password from standard input, or a new one."""
    return sys.stdin.readline().rstrip("\r\n") if typed else generate_password()


@app.command()
def create(
    email: Annotated[str, typer.Option(help="Login of the administrator.")],
    nama: Annotated[str, typer.Option(help="Full name.")] = DEFAULT_NAME,
    institution: Annotated[
        str, typer.Option(help="Facility (UUID). Without it: administrator of the whole network.")
    ] = "",
    password_stdin: Annotated[
        bool, typer.Option(help="Read the password from standard input, do not make one.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Create an administrator. A password that is made here is shown once."""
    settings = _ready()
    password = _password(password_stdin)
    try:
        account = asyncio.run(create_administrator(settings, nama, email, password, institution))
    except MeshError as error:
        typer.echo(f"not created: {error.message} ({error.reason})", err=True)
        raise typer.Exit(1) from error
    shown = {} if password_stdin else {"password": password}
    if as_json:
        typer.echo(json.dumps({"email": account.email, **shown, "id": account.id}))
    elif not password_stdin:
        typer.echo(password)


@app.command("reset-totp")
def reset_totp(
    email: Annotated[str, typer.Option(help="Login of the account, staff or administrator.")],
) -> None:
    """Take the one-time codes of an account away, and end its sessions."""
    try:
        asyncio.run(reset_second_factor(_ready(), email))
    except MeshError as error:
        typer.echo(f"not reset: {error.message} ({error.reason})", err=True)
        raise typer.Exit(1) from error
    typer.echo("one-time codes taken away, sessions ended")


@app.command("reset-password")
def new_password(
    email: Annotated[str, typer.Option(help="Login of the account, staff or administrator.")],
    password_stdin: Annotated[
        bool, typer.Option(help="Read the password from standard input, do not make one.")
    ] = False,
) -> None:
    """Give an account another password, and end its sessions. One that is made is shown once."""
    settings, password = _ready(), _password(password_stdin)
    try:
        asyncio.run(reset_password(settings, email, password))
    except MeshError as error:
        typer.echo(f"not reset: {error.message} ({error.reason})", err=True)
        raise typer.Exit(1) from error
    if not password_stdin:
        typer.echo(password)


@app.command("end-sessions")
def sign_out(
    email: Annotated[str, typer.Option(help="Login of one account, staff or administrator.")] = "",
    everybody: Annotated[
        bool, typer.Option("--all", help="Every open session of all staff and administrators.")
    ] = False,
) -> None:
    """End sessions: their tokens are refused everywhere within seconds."""
    if bool(email) == everybody:
        raise typer.BadParameter("say --email or --all")
    settings = _ready()
    try:
        if everybody:
            ended = asyncio.run(end_all_sessions(settings))
        else:
            asyncio.run(end_sessions(settings, email))
    except MeshError as error:
        typer.echo(f"not ended: {error.message} ({error.reason})", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"sessions of {ended} accounts ended" if everybody else "sessions ended")
