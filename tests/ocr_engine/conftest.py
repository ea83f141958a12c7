"""The real engine, loaded once for all tests that need it."""

from typing import TYPE_CHECKING

import pytest

from tests.support.deadlines import patient_deadlines

if TYPE_CHECKING:
    from ocr_engine.serving.engine import CardEngine

__all__ = ["patient_deadlines"]


@pytest.fixture(scope="session")
def engine() -> "CardEngine":
    """The networks with their real weights."""
    from ocr_engine.serving.engine import CardEngine

    return CardEngine()
