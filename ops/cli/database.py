"""mediq db: migrations of the services' databases."""

from collections.abc import Sequence
from typing import Annotated

import typer
from alembic import command

from mesh import data_dir
from mesh.persistence.migrations import config_for
from mesh.persistence.migrations import upgrade as upgrade_database
from mesh.registry import databases_of, services_with_database
from mesh.settings import home_folder
from ops.cli.audit_trail import record_command

app = typer.Typer(no_args_is_help=True, help="Migrations of the services' databases.")
Service = Annotated[str, typer.Argument(help="Name of one service; all of them without it.")]


def _chosen_services(service: str) -> Sequence[str]:
    names = services_with_database()
    if service and service not in names:
        raise SystemExit(f"mediq: {service} has no database; choose one of {', '.join(names)}")
    return [service] if service else names


@app.command()
def upgrade(service: Service = "") -> None:
    """Bring databases up to date."""
    data_dir.prepare(home_folder())
    recorded = []
    for name in _chosen_services(service):
        for database in databases_of(name):
            upgrade_database(name, database.url)
        typer.echo(f"{name}: up to date")
        recorded.append(record_command(name, "db upgrade"))
    if not all(recorded):
        raise typer.Exit(1)


@app.command()
def current(service: Service = "") -> None:
    """Show the revision of databases."""
    for name in _chosen_services(service):
        typer.echo(f"{name}:")
        for database in databases_of(name):
            command.current(config_for(name, database.url))
