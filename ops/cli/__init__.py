"""The `mediq` command line.

Commands of services come through the entry point group mediq.commands, so that the kit imports no
service: a function becomes a command, a typer application a group of commands.
"""

import sys
from importlib.metadata import entry_points

import typer

from ops.cli import certificates, data_keys, database, demo, keys, status, up

GROUP = "mediq.commands"


def application(wanted: str | None = None) -> typer.Typer:
    """Builds the command line.

    Args:
        wanted: Only load the service command of this name; None loads all of them.
    """
    app = typer.Typer(no_args_is_help=True, add_completion=False, help="Run and look after MediQ.")
    app.command()(up.up)
    app.command()(demo.demo)
    app.command()(status.status)
    app.add_typer(keys.app, name="keys", help="Keys that sign access tokens.")
    app.add_typer(data_keys.app, name="data-keys", help="Keys that encrypt stored data.")
    app.add_typer(database.app, name="db", help="Migrations of the services' databases.")
    app.add_typer(certificates.app, name="certificates", help="Identities of the services.")
    for entry in entry_points(group=GROUP):
        if wanted is None or entry.name == wanted:
            loaded = entry.load()
            if isinstance(loaded, typer.Typer):
                app.add_typer(loaded, name=entry.name)
            else:
                app.command(entry.name)(loaded)
    return app


def main() -> None:
    """Runs the command line."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    application(words[0] if words else None)()
