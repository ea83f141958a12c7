"""mediq certificates: the identities of the services."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from mesh.identity.certificates import IdentityError, read_identity
from mesh.identity.tls import PEERS, renew_identities
from mesh.settings import settings_of
from ops.cli.audit_trail import record_command

app = typer.Typer(no_args_is_help=True, help="Identities of the services.")
Name = Annotated[str, typer.Option(help="One identity, such as queue_svc; all without it.")]


def _certificates_folder() -> Path:
    folder = settings_of("gateway").tls
    if not (folder / "ca.crt").exists():
        raise SystemExit(
            f"mediq: {folder} has no certificates: start the mesh first (mediq up), or set "
            "MEDIQ_HOME or MEDIQ_TLS_FOLDER"
        )
    return folder


@app.command()
def renew(name: Name = "") -> None:
    """Make new keys and certificates. A running mesh takes them by itself."""
    if name and name not in PEERS:
        raise SystemExit(f"mediq: {name} is no identity; choose one of {', '.join(PEERS)}")
    folder = _certificates_folder()
    if not (folder / "ca.key").exists():
        raise SystemExit(
            f"mediq: {folder} has no ca.key: renew where the certificates are made (in Kubernetes, "
            "cert-manager)"
        )
    names = [name] if name else list(PEERS)
    try:
        renew_identities(folder, names)
    except OSError as error:
        raise SystemExit(f"mediq: {folder} cannot be written ({error.strerror})") from error
    except ValueError as error:
        raise SystemExit(f"mediq: the authority is damaged ({error})") from error
    for one in names:
        typer.echo(_identity_row(folder, one))
    # They belong to no database of a service; the trail is kept in this one.
    if not record_command("user_svc", f"certificates renew {name}".rstrip()):
        raise typer.Exit(1)


@app.command("list")
def show() -> None:
    """Show each identity's serial number and last day, and the trusted authorities."""
    folder = _certificates_folder()
    for name in PEERS:
        typer.echo(_identity_row(folder, name))
    try:
        authorities = x509.load_pem_x509_certificates((folder / "ca.crt").read_bytes())
    except ValueError as error:
        raise SystemExit(f"mediq: {folder / 'ca.crt'} is damaged ({error})") from error
    for one in authorities:
        typer.echo(_row("authority", one.serial_number, one.not_valid_after_utc))


def _identity_row(folder: Path, name: str) -> str:
    try:
        leaf = read_identity(folder, name).leaf
    except FileNotFoundError:
        return f"{name:<16} missing"
    except (OSError, IdentityError) as error:
        return f"{name:<16} {error}"
    return _row(name, leaf.serial_number, leaf.not_valid_after_utc)


def _row(name: str, serial: int, end: datetime) -> str:
    days = (end - datetime.now(UTC)).days
    return f"{name:<16} {serial:040x}  {end:%Y-%m-%d %H:%M}Z  {days} days"
