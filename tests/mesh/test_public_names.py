"""The kit's public face: each module's `__all__`, and what others take from the kit."""

import ast
import importlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in (ROOT / "mesh").rglob("*.py")
    if not file.name.startswith("_")
)
USERS = (
    "bench",
    "edge",
    "gateway",
    "institution_svc",
    "ocr_engine",
    "ocr_svc",
    "ops",
    "queue_svc",
    "user_svc",
)
VERB = re.compile(r"[A-Z][a-z]*(-[a-z]+)?s\b")


def documented_constants(module: str) -> set[str]:
    """The names that are assigned at the top of a module, with a docstring behind them."""
    body = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text()).body
    return {
        target.id
        for statement, after in itertools.pairwise(body)
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        for target in (
            statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        )
        if isinstance(target, ast.Name)
    }


@pytest.mark.parametrize("module", MODULES)
def test_public_names_exist_and_say_what_they_are(module: str) -> None:
    found, constants = importlib.import_module(module), documented_constants(module)
    for name in found.__all__:
        value = getattr(found, name)
        if getattr(value, "__module__", None) == module and hasattr(value, "__qualname__"):
            assert VERB.match(value.__doc__ or ""), f"{name} does not say what it does"
        else:
            assert name in constants, f"{name} has no docstring"


def taken_from_the_kit() -> Iterator[tuple[str, str, Path]]:
    for file in (file for user in USERS for file in (ROOT / user).rglob("*.py")):
        for statement in ast.walk(ast.parse(file.read_text())):
            if isinstance(statement, ast.ImportFrom) and statement.module in MODULES:
                for one in statement.names:
                    yield statement.module, one.name, file


def test_others_take_public_names_only() -> None:
    private = [
        f"{file.relative_to(ROOT)}: {module}.{name}"
        for module, name, file in taken_from_the_kit()
        if name not in importlib.import_module(module).__all__
    ]
    assert private == []
