"""Prints docs/reference/settings.md: every setting of every service, from the settings classes.

A setting's meaning is the docstring below it, its range and default are those of its field.
"""

import ast
import importlib
import inspect
import textwrap
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mesh.settings import ServiceSettings

ROOT = Path(__file__).resolve().parent.parent.parent
HEAD = """# Settings

Environment variables; each has a default that works on one machine. Generated from the settings
classes by `make gen`; `make check` compares. `<NAME>` is the package of a service in upper case,
such as `QUEUE_SVC`. A value out of its range, or of another type, stops the start with a message
that names the setting. Envoy's limits are values of its generator: [edge.md](edge.md).
"""
OPS = """## `mediq up`

Read by the command that starts the whole mesh on one machine.

| variable | meaning | default |
| --- | --- | --- |
| `MEDIQ_PORT` | Port of Envoy, on 127.0.0.1. | 8601 |
| `MEDIQ_ENVOY_ADMIN_PORT` | Port of Envoy's administration, on 127.0.0.1. | 8600 |
| `MEDIQ_<NAME>_ADDRESS` | Where the others find a service. `mediq up` sets it. | 127.0.0.1 |
"""
COMPUTED = {"home": "`.mediq` in the working folder", "port": "the service's own"}
"""Defaults that are made when the settings are read, in words."""


def settings_classes() -> list[type[ServiceSettings]]:
    """Returns the settings class of each service, by the service's name."""
    found = {}
    for path in sorted(ROOT.glob("*/settings.py")):
        module = importlib.import_module(f"{path.parent.name}.settings")
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and issubclass(value, ServiceSettings)
                and value is not ServiceSettings
                and value.__module__ == module.__name__
            ):
                found[value.service] = value
    return [found[name] for name in sorted(found)]


def meanings(settings: type) -> dict[str, str]:
    """Returns the docstrings that stand below fields of a class, each on one line."""
    body = ast.parse(textwrap.dedent(inspect.getsource(settings))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, following in zip(body.body, [*body.body[1:], ast.Pass()], strict=True):
        match statement, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
    return found


def kind(annotation: Any) -> str:
    """Returns a field's type in words."""
    if get_origin(annotation) in (Union, types.UnionType):
        return kind(next(one for one in get_args(annotation) if one is not type(None)))
    names = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def limits(field: FieldInfo) -> str:
    """Returns a field's range in words; empty when there is none."""
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    return ", ".join(
        f"{word} {getattr(rule, name):g}"
        for name, word in words.items()
        for rule in field.metadata
        if getattr(rule, name, None) is not None
    )


def default(name: str, field: FieldInfo) -> str:
    """Returns a field's default as it would be written in the environment."""
    value = field.default
    if name in COMPUTED:
        return COMPUTED[name]
    if value is PydanticUndefined:
        return "required"
    if value in (None, ""):
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Path):
        # What comes before is where this copy lies.
        return f"`{'/'.join(value.parts[-2:])}`"
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def variable(name: str, field: FieldInfo, prefix: str) -> str:
    """Returns the environment variable of a field."""
    alias = field.validation_alias
    return alias if isinstance(alias, str) else f"{prefix}{name.upper()}"


def rows(settings: type[ServiceSettings], names: Iterable[str], prefix: str) -> Iterator[str]:
    """Yields a table's lines for fields of a class.

    Raises:
        ValueError: A field has no docstring.
    """
    said = meanings(settings)
    yield "| variable | meaning | value | default |"
    yield "| --- | --- | --- | --- |"
    for name in names:
        if name not in said:
            raise ValueError(f"{settings.__name__}.{name} has no docstring")
        field = settings.model_fields[name]
        value = ", ".join(filter(None, [kind(field.annotation), limits(field)]))
        cells = (f"`{variable(name, field, prefix)}`", said[name], value, default(name, field))
        yield f"| {' | '.join(cells)} |"


def render() -> str:
    """Returns the page, the same at every call."""
    common = ServiceSettings.model_fields
    shared = [name for name, field in common.items() if field.validation_alias]
    each = [name for name in common if name not in shared]
    parts = [
        HEAD,
        "## All services together\n",
        *rows(ServiceSettings, shared, ""),
        "\n## Each service\n",
        *rows(ServiceSettings, each, "MEDIQ_<NAME>_"),
    ]
    for settings in settings_classes():
        own = [name for name in settings.model_fields if name not in common]
        if own:
            prefix = settings.model_config.get("env_prefix", "")
            parts += [f"\n## {settings.service}\n", *rows(settings, own, prefix)]
    return "\n".join([*parts, "", OPS])


if __name__ == "__main__":
    print(render(), end="")
