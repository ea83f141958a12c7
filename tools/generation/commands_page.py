"""Prints docs/reference/commands.md: every `mediq` command, from the command line itself."""

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from ops.cli import application

HEAD = """# Commands

`mediq` is `.venv/bin/mediq`; `. .venv/bin/activate` puts it on the path. `mediq COMMAND --help`
says the same as this page. Generated from the command line by `make gen`; `make check` compares.
A command works on the data folder `MEDIQ_HOME` and on the databases of the [settings](settings.md)
that it finds in its environment: give it those of the services.
"""


def paragraphs(text: str | None) -> str:
    """Returns a help text with its line breaks as they are in the source."""
    return inspect.cleandoc(text or "").replace("\f", "").strip()


def walk(command: Any, path: str) -> Iterator[str]:
    """Yields the lines of a command, or of all commands of a group by name."""
    group = getattr(command, "commands", None)
    context = command.make_context(path, [], resilient_parsing=True)
    if group is not None:
        for name in sorted(group):
            yield from walk(group[name], f"{path} {name}")
        return
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    yield f"## {path}\n\n    {usage}\n\n{paragraphs(command.help)}\n"
    records = [parameter.get_help_record(context) for parameter in command.params]
    lines = [(record[0], record[1]) for record in records if record is not None]
    if lines:
        yield "| argument or option | meaning |\n| --- | --- |"
        for name, meaning in lines:
            cells = [f"`{name}`", " ".join(meaning.split())]
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        yield ""


def render() -> str:
    """Returns the page, the same at every call."""
    return "\n".join([HEAD, *walk(typer.main.get_command(application()), "mediq")])


if __name__ == "__main__":
    print(render(), end="")
