"""Fixtures of all tests."""

from pathlib import Path

import pytest

from mesh import home
from tests.support.databases import database_url
from tests.support.mesh import Mesh

__all__ = ["database_url"]


@pytest.fixture(scope="session")
def home_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with keys and certificates, made once."""
    folder = tmp_path_factory.mktemp("home")
    home.prepare(folder)
    return folder


@pytest.fixture
def mesh(home_folder: Path) -> Mesh:
    """A mesh without servers; tests start what they need."""
    return Mesh(home_folder)
