"""Finds public docstrings that do not begin with a verb."""

import ast
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
    """Yields the last names of a definition's decorators, such as `command` of `@app.command()`."""
    for decorator in node.decorator_list:
        named = decorator.func if isinstance(decorator, ast.Call) else decorator
        yield named.attr if isinstance(named, ast.Attribute) else getattr(named, "id", "")


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


def is_verb(node: Documented, verbs: frozenset[str]) -> bool:
    """Tells whether a docstring begins with a verb.

    What a command says is shown to the person who types it, so there the verb is an order: Start.
    """
    word = first_word(node)
    if {"command", "callback", "group"} & set(decorators(node)):
        return (
            not word
            or any(word + ending in verbs for ending in ("s", "es"))
            or (word.endswith("y") and word[:-1] + "ies" in verbs)
        )
    return not word or word in verbs


def check(root: Path, files: Iterable[str]) -> Iterator[str]:
    """Yields a line for each public docstring that begins with no verb; paths are from `root`."""
    verbs = load_verbs()
    for file in files:
        if not file.endswith(".py") or file.partition("/")[0] not in PACKAGES:
            continue
        if "/migrations/versions/" in file:
            continue
        for node in public(ast.parse((root / file).read_text())):
            if not is_verb(node, verbs):
                yield (
                    f"{file}:{node.lineno}: {node.name} begins with {first_word(node)}, not with "
                    "a verb (tools/words/verbs.txt)"
                )
