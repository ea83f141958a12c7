"""One-time codes that somebody has seen being typed."""

from __future__ import annotations

import datetime
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import uuid4

import pyotp
import pytest
from mediq.user.v1.auth_service_pb2 import LoginAdminRequest

from mesh.contract.methods import methods
from tests.attacks.callers import operator
from tests.attacks.doors import Doors
from tests.attacks.world import World
from tools.generation.access import Verdict
from user_svc.domain.totp import STEP_SECONDS

pytestmark = pytest.mark.model
LOGIN = next(method for method in methods().values() if method.name == "LoginAdmin")
PARALLEL = 4
"""Fewer than what the throttle stops."""


@dataclass(frozen=True)
class Protected:
    """A login with an authenticator."""

    email: str
    password: str
    code: str
    """One that is good and was not used yet."""
    recovery: list[str]

    def shows(self, **second: str) -> LoginAdminRequest:
        return LoginAdminRequest(email=self.email, password=self.password, **second)


@pytest.fixture
def protected(world: World) -> Protected:
    password = f"rahasia-{uuid4().hex}"
    email = operator(world, password)
    body = {"email": email, "password": password}
    begun = world.client.post("/auth/totp/begin", json=body).json()
    app, now = pyotp.TOTP(begun["secret"]), datetime.datetime.now(datetime.UTC)
    confirmed = world.client.post("/auth/totp/confirm", json={**body, "totpCode": app.at(now)})
    assert confirmed.is_success, confirmed.text
    recovery = confirmed.json()["codes"]
    world.secrets.update({begun["secret"], *recovery})
    following = app.at(now + datetime.timedelta(seconds=STEP_SECONDS))
    return Protected(email, password, following, recovery)


def opened(doors: Doors, request: LoginAdminRequest, door: int) -> bool:
    """Whether a login opens, through Envoy (0) or at the port of the service (1)."""
    if door:
        found, answer = doors.port(LOGIN, request, {}, "edge")
    else:
        ((found, answer),) = doors.rest(LOGIN, request, {})
    assert found is Verdict.PASSES
    if "INVALID_CREDENTIALS" in answer or "TOTP_REQUIRED" in answer:
        return False
    assert "oken" in answer, answer
    return True


@pytest.mark.parametrize("door", [0, 1], ids=["envoy", "port"])
def test_a_code_that_was_used_opens_neither_door(
    doors: Doors, protected: Protected, door: int
) -> None:
    assert not opened(doors, protected.shows(), door)
    shown = protected.shows(totp_code=protected.code)
    assert opened(doors, shown, door)
    for other in (0, 1):
        assert not opened(doors, shown, other)


def test_a_recovery_code_opens_one_door_once(doors: Doors, protected: Protected) -> None:
    first, second, *_ = protected.recovery
    for code, count in ((first, 1), (second, PARALLEL)):
        shown = protected.shows(recovery_code=code)
        with ThreadPoolExecutor(PARALLEL) as pool:
            # Both doors, as nearly at the same moment as threads allow.
            tried = [pool.submit(opened, doors, shown, number % 2) for number in range(count)]
        found = [one.result() for one in tried]
        assert found.count(True) == 1
    assert not opened(doors, protected.shows(recovery_code=first), 0)
    assert not opened(doors, protected.shows(recovery_code=second), 1)
