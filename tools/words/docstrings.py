"""Finds public docstrings that do not begin with a verb."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGES = (
    "mesh",
    "edge",
    "ops",
    "gateway",
    "user_svc",
    "ocr_svc",
    "ocr_engine",
    "queue_svc",
    "institution_svc",
    "training",
    "tools",
)
VERBS = Path(__file__).with_name("verbs.txt")
Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def load_verbs() -> frozenset[str]:
    """Reads the verbs that docstrings begin with, in the third person."""
    return frozenset(VERBS.read_text().split())


def decorators(node: Documented) -> Iterator[str]:
    """Yields the last names of a definition's decorators, such as `property`."""
    for decorator in node.decorator_list:
        yield (
            decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
        )


def public(tree: ast.Module) -> Iterator[Documented]:
    """Yields the public classes of a module, their methods, and its functions.

    Properties are left out: they are read as a value, and described as one.
    """
    todo: list[ast.stmt] = list(tree.body)
    while todo:
        node = todo.pop(0)
        if not isinstance(node, Documented) or node.name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            todo = node.body + todo
        if not {"property", "cached_property"} & set(decorators(node)):
            yield node


def first_word(node: Documented) -> str:
    """Returns the first word of a docstring; empty without one."""
    words = (ast.get_docstring(node) or "").split(maxsplit=1)
    return words[0].strip(".,:;`") if words else ""


def begins_with_verb(node: Documented, verbs: frozenset[str], *, order: bool) -> bool:
    """Tells whether a docstring begins with a verb.

    Args:
        node: What it describes.
        verbs: In the third person.
        order: The verb may be an order too: Start.
    """
    word = first_word(node)
    orders = {word + "s", word + "es", re.sub("y$", "ies", word)} if order else set()
    return not word or bool(verbs & {word, *orders})


def check(root: Path, files: Iterable[str]) -> Iterator[str]:
    """Yields a line for each public docstring that begins with no verb; paths are from `root`.

    What a command says is shown to the person who types it, so there the verb is an order.
    """
    verbs = load_verbs()
    for file in files:
        if not file.endswith(".py") or file.partition("/")[0] not in PACKAGES:
            continue
        if "/migrations/versions/" in file:
            continue
        is_cli = "/cli/" in file or file.endswith("/cli.py")
        for node in public(ast.parse((root / file).read_text())):
            if not begins_with_verb(node, verbs, order=is_cli):
                yield (
                    f"{file}:{node.lineno}: {node.name} begins with {first_word(node)}, not with "
                    "a verb (tools/words/verbs.txt)"
                )
