"""The `mediq admin` command: administrators are made here, no account exists by itself."""

import asyncio
import datetime
import json
import sys
from typing import Annotated

import typer
from mediq.audit.v1.audit_pb2 import AuditAct
from mediq.user.v1.user_service_pb2 import CreateUserRequest
from sqlalchemy.orm import Session

from mesh.audit import command_event
from mesh.crypto import FieldCipher
from mesh.errors import MeshError, not_found
from mesh.home import prepare
from mesh.migrations import upgrade
from mesh.storage import Database
from mesh.times import utc_now
from mesh.validation import validate
from user_svc import domain, passwords, second_factor
from user_svc.audit_chain import AuditChain
from user_svc.domain import Account, End, Role
from user_svc.session_store import Sessions
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

        def create(session: Session) -> Account:
            account = Accounts(cipher).create(session, person, hashed, utc_now())
            _record(session, settings, "admin create", account)
            return account

        return await write_again(database, create)
    finally:
        await database.close()
        await hasher.close()


async def reset_second_factor(settings: UserSettings, email: str) -> None:
    """Takes the second factor of a staff account away and ends its sessions.

    Raises:
        MeshError: NOT_FOUND with reason USER_NOT_FOUND, or the database does not answer.
    """
    cipher = FieldCipher.load(settings.keys, settings.service)
    accounts = Accounts(cipher)
    sessions = Sessions(
        cipher,
        life=datetime.timedelta(seconds=settings.session_seconds),
        grace=datetime.timedelta(seconds=settings.refresh_grace_seconds),
    )
    database = Database(settings.database, 1)

    def reset(session: Session) -> None:
        known = accounts.credentials(session, email)
        if known is None:
            raise not_found("user", "")
        second_factor.remove(session, known[0].id)
        sessions.end_all(session, known[0].id, End.TOTP_RESET, utc_now())
        _record(session, settings, "admin reset-totp", known[0])

    try:
        await database.write(reset)
    finally:
        await database.close()


def _record(session: Session, settings: UserSettings, command: str, account: Account) -> None:
    """Puts into the audit trail, with its effect, what a command did."""
    change = AuditAct.AUDIT_ACT_CHANGE
    event = command_event(
        settings.service,
        command,
        change,
        persons=[account.id],
        institution_id=account.institution_id,
    )
    AuditChain.load(settings.keys, settings.service).append(session, [event], utc_now())


def _ready() -> UserSettings:
    """The service's settings, once its keys and its tables are there."""
    settings = UserSettings()
    if settings.keys_folder is None:
        prepare(settings.home)
    if settings.migrate_at_start:
        upgrade(settings.service, settings.database)
    return settings


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
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else passwords.generate()
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
