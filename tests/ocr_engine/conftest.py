"""The real engine, loaded once for all tests that need it."""

from typing import TYPE_CHECKING

import pytest

from mesh.observability import logs

if TYPE_CHECKING:
    from ocr_engine.engine import CardEngine


@pytest.fixture(scope="session")
def engine() -> "CardEngine":
    """The networks with their real weights."""
    from ocr_engine.engine import CardEngine

    return CardEngine()


@pytest.fixture(autouse=True)
def service_logs() -> None:
    """Logs as a service does, which keeps the texts of unexpected errors out."""
    logs.configure("ocr_engine", "INFO")
