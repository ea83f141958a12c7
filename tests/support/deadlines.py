"""Deadlines of calls between the servers of a test process, and of questions to Redis."""

import pytest

from mesh.contract.methods import Method
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def patient_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives each call the time of a busy machine; a test of deadlines sets its own."""
    set_deadline(monkeypatch, PATIENCE_SECONDS)


@pytest.fixture
def patient_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits long for a Redis on a busy machine; one that is gone refuses at once."""
    for module in (
        "identity.redis_revocations",
        "shared_state.redis_cache",
        "shared_state.redis_rate_limits",
    ):
        monkeypatch.setattr(f"mesh.{module}.ANSWER_SECONDS", PATIENCE_SECONDS)


def set_deadline(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Gives all methods that have a deadline this one instead; streams have none."""

    def deadline_seconds(method: Method) -> float | None:
        return seconds if method.policy.HasField("deadline") else None

    monkeypatch.setattr(Method, "deadline_seconds", property(deadline_seconds))
