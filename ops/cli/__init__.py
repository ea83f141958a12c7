"""The `mediq` command line.

Commands come through the entry point group mediq.commands, those of this package too: ops imports
no service, and a command is started without what the others need. A function becomes a command, a
typer application a group of commands.
"""

import sys
from importlib.metadata import entry_points

import typer

GROUP = "mediq.commands"


def application(wanted: str | None = None) -> typer.Typer:
    """Builds the command line.

    Args:
        wanted: Only load the command of this name, where there is one; None loads all.
    """
    app = typer.Typer(no_args_is_help=True, add_completion=False)

    @app.callback()
    def mediq() -> None:
        """Run and look after MediQ."""

    found = entry_points(group=GROUP)
    for entry in found.select(name=wanted) if wanted in found.names else found:
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
