"""Keeping staff out by guessing their passwords."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import httpx
import pytest

from mesh.contract.call import CLIENT_ADDRESS
from tests.attacks.world import World
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.model
OFFICE, GUESSER, ELSEWHERE = "127.0.0.71", "127.0.0.72", "127.0.0.73"
INVALID = (401, "INVALID_CREDENTIALS")
THROTTLED = (429, "LOGIN_THROTTLED")
GUESSES = 8
"""After these the wait is 8 seconds: longer than the few calls that must fall into it."""


@contextmanager
def at(world: World, address: str) -> Iterator[httpx.Client]:
    """Somebody at a network address."""
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(
        base_url=world.running.url, transport=transport, timeout=PATIENCE_SECONDS
    ) as client:
        yield client


def sign_in(
    client: httpx.Client, email: str, password: str, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """Status, and the reason of an error."""
    body = {"email": email, "password": password}
    reply = client.post("/auth/login/admin", json=body, headers=headers)
    reason = "" if reply.is_success else reply.json()["details"][0]["reason"]
    return reply.status_code, reason


def hired(world: World) -> tuple[str, str]:
    """E-mail address and password of a new operator."""
    email, password = f"{uuid4().hex}@mediq.example", f"rahasia-{uuid4().hex}"
    body = {
        "nama": "Petugas",
        "role": "ROLE_OPERATOR",
        "email": email,
        "password": password,
        "institutionId": world.first.side.institution_id,
    }
    made = world.client.post("/users", json=body, headers=world.first.admin.headers)
    assert made.is_success, made.text
    world.secrets.update({email, password})
    return email, password


def guess(client: httpx.Client, email: str, headers: dict[str, str] | None = None) -> None:
    """Tries all the time, and takes every turn as it comes up."""
    wrong = 0
    while wrong < GUESSES:
        answer = sign_in(client, email, f"tebakan-{wrong}", headers)
        assert answer in (INVALID, THROTTLED)
        wrong += answer == INVALID
        if answer == THROTTLED:
            time.sleep(0.05)
    assert sign_in(client, email, "tebakan") == THROTTLED


def test_a_guesser_elsewhere_does_not_keep_the_owner_out(world: World) -> None:
    """Nor one who claims to be where the owner is."""
    email, password = hired(world)
    claims = {CLIENT_ADDRESS: OFFICE, "x-forwarded-for": OFFICE, "x-real-ip": OFFICE}
    with (
        at(world, OFFICE) as office,
        at(world, GUESSER) as guesser,
        at(world, ELSEWHERE) as elsewhere,
    ):
        assert sign_in(office, email, password) == (200, "")
        guess(guesser, email, claims)
        assert sign_in(elsewhere, email, password) == THROTTLED, "from a new place the owner waits"
        assert sign_in(office, email, password) == (200, "")
        assert sign_in(guesser, email, password, claims) == THROTTLED


def test_who_guesses_at_the_place_of_the_owner_gets_slow_too(world: World) -> None:
    email, password = hired(world)
    with at(world, OFFICE) as office, at(world, ELSEWHERE) as elsewhere:
        assert sign_in(office, email, password) == (200, "")
        guess(office, email)
        assert sign_in(office, email, password) == THROTTLED
        assert sign_in(elsewhere, email, password) == (200, "")
