"""Fixtures of all tests."""

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from ops import data_dir
from tests.support.commands import command_trail
from tests.support.databases import database_url
from tests.support.logged import lines
from tests.support.mesh import Mesh
from tests.support.scan import fail_when_given_away
from tests.support.sealed import quick_resealing

__all__ = ["command_trail", "database_url", "lines", "quick_resealing"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Looks through what each test has had logged."""
    report = yield
    fail_when_given_away(report)
    return report


@pytest.fixture(scope="session")
def home_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with keys and certificates, made once."""
    folder = tmp_path_factory.mktemp("home")
    data_dir.prepare(folder)
    return folder


@pytest.fixture
def home_copy(home_folder: Path, tmp_path: Path) -> Path:
    """The same in a copy that a test may damage, or rotate the keys of."""
    return shutil.copytree(home_folder, tmp_path / "home", symlinks=True)


@pytest.fixture
def mesh(home_folder: Path) -> Mesh:
    """A mesh without servers; tests start what they need."""
    return Mesh(home_folder)
