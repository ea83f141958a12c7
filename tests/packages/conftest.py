"""Fixtures of the tests of packages."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.packages.environments import Environment, environment
from tests.packages.workspace import Wheel, build


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Wheel]:
    """Builds the wheels of this project, by the names of their distributions."""
    return build(tmp_path_factory.mktemp("wheels"))


@pytest.fixture
def installed(tmp_path: Path, wheels: Mapping[str, Wheel]) -> Callable[..., Environment]:
    """Makes an environment with distributions of this project, given by their names."""

    def make(*names: str) -> Environment:
        return environment(tmp_path, wheels, *names)

    return make
