"""The `mediq admin` command: administrators are made here, no account exists by itself."""

import asyncio
import json
import sys
from typing import Annotated

import typer
from mediq.user.v1.user_service_pb2 import CreateUserRequest

from mesh.crypto import FieldCipher
from mesh.errors import MeshError
from mesh.home import prepare
from mesh.migrations import upgrade
from mesh.storage import Database
from mesh.times import utc_now
from mesh.validation import validate
from user_svc import domain, passwords
from user_svc.domain import Account, Role
from user_svc.settings import UserSettings
from user_svc.store import Accounts, write_again
from user_svc.translate import role_message

app = typer.Typer(help="Administrators of facilities and of the network.")
DEFAULT_NAME = "Administrator"


@app.callback()
def admin() -> None:
    """Administrators of facilities and of the network."""


async def create_administrator(
    settings: UserSettings, nama: str, email: str, password: str, institution_id: str
) -> Account:
    """Adds an administrator to the service's database, by the rules of the service.

    Raises:
        MeshError: A field is wrong, the e-mail address is taken, or the database does not answer.
    """
    request = CreateUserRequest(
        nama=nama,
        role=role_message(Role.ADMIN_FASKES),
        email=email,
        password=password,
        institution_id=institution_id,
    )
    validate(request)
    person = domain.new_staff(Role.ADMIN_FASKES, nama, email, password, "", institution_id)
    cipher = FieldCipher.load(settings.keys, settings.service)
    hasher = passwords.Passwords(cipher, settings.bcrypt_cost, 1)
    database = Database(settings.database, 1)
    try:
        hashed = await hasher.hash(password)
        return await write_again(
            database, lambda session: Accounts(cipher).create(session, person, hashed, utc_now())
        )
    finally:
        await database.close()
        await hasher.close()


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
    settings = UserSettings()
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else passwords.generate()
    if settings.keys_folder is None:
        prepare(settings.home)
    if settings.migrate_at_start:
        upgrade(settings.service, settings.database)
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
