"""A distribution needs what it declares, and nothing else."""

import json
import re
import sqlite3
from collections.abc import Callable

import pytest

from mesh.registry import services_with_database
from tests.packages.environments import Environment
from tests.packages.workspace import COMMANDS, FOLDERS

Installed = Callable[..., Environment]
SERVICES = ("gateway", "user_svc", "ocr_svc", "ocr_engine", "queue_svc", "institution_svc")
NAMES = {folder: name for name, folder in FOLDERS.items()}

IMPORT_ALL = """
import ast, importlib, json, sys
from importlib.metadata import entry_points
from importlib.resources import files

def modules(folder, name):
    for one in folder.iterdir():
        if one.is_dir():
            yield from modules(one, f"{name}.{one.name}")
        elif one.name.endswith(".py"):
            yield f"{name}.{one.name}".removesuffix(".py"), one

missing = []
def find(module, place):
    try:
        importlib.import_module(module)
    except ImportError as error:
        missing.append(f"{place}: {error}")

for package in sys.argv[1:]:
    for name, source in modules(files(package), package):
        if "migrations" not in name:
            find(name.removesuffix(".__init__"), name)
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import):
                for one in node.names:
                    find(one.name, name)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                find(node.module, name)
for group in "mediq.services", "mediq.commands":
    for entry in entry_points(group=group):
        find(entry.module, entry.name)
print(json.dumps(sorted(set(missing))))
"""
"""Imports the modules of packages and what they name anywhere, also in functions; prints what is
missing. Migrations do not only import when they are imported: Alembic runs them."""

IMPORT_MISSING = """
import importlib.util, json, sys

print(json.dumps(sorted(one for one in sys.argv[1:] if importlib.util.find_spec(one) is None)))
"""
"""Prints which of some modules are not there."""

MEDIQ = """
import sys
from importlib.metadata import entry_points

(command,) = entry_points(group="console_scripts", name="mediq")
for words in sys.argv[1:]:
    sys.argv = ["mediq", *words.split()]
    try:
        command.load()()
    except SystemExit as end:
        assert not end.code
"""
"""What the console script mediq does with some command lines, one after another."""


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_finds_all_that_it_imports(service: str, installed: Installed) -> None:
    alone = installed(NAMES[service])
    assert json.loads(alone.run(IMPORT_ALL, service)) == []


@pytest.mark.parametrize("folder", ["gen", "mesh", "edge", "ops"])
def test_what_is_no_service_finds_all_that_it_imports(folder: str, installed: Installed) -> None:
    packages = ("mediq", "buf") if folder == "gen" else (folder,)
    assert json.loads(installed(NAMES[folder]).run(IMPORT_ALL, *packages)) == []


def test_envoys_configuration_is_rendered_without_a_service(installed: Installed) -> None:
    program = "import edge; print(edge.render_files(edge.EdgeSettings())['envoy.yaml'])"
    assert "static_resources:" in installed("mediq-edge").run(program)


def test_an_environment_lacks_what_is_not_declared(installed: Installed) -> None:
    alone = installed("mediq-contracts")
    missing = json.loads(alone.run(IMPORT_MISSING, "google.protobuf", "grpc", "sqlalchemy", "mesh"))
    assert missing == ["mesh", "sqlalchemy"]


@pytest.mark.parametrize("service", services_with_database())
def test_the_command_line_works_with_one_service(service: str, installed: Installed) -> None:
    alone = installed("mediq-ops", NAMES[service])
    output = alone.run(MEDIQ, "--help", "db upgrade")
    shown = {*re.findall(r"^│ ([a-z-]+) ", output, re.MULTILINE)}
    assert {"up", "db"} <= COMMANDS["ops"]
    assert shown & frozenset().union(*COMMANDS.values()) == COMMANDS["ops"] | COMMANDS[service]
    assert re.search(rf"^{service}: up to date", output, re.MULTILINE)
    databases = alone.data_dir.glob("data/*.db")
    assert [one.name for one in databases] == [f"{service}.db"]
    with sqlite3.connect(alone.data_dir / "data" / f"{service}.db") as database:
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    database.close()
    assert tables > 1
