"""Staff accounts and their passwords, in the hands of those who may not have them."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest

from tests.attacks.callers import INVALID, operator, reason, staff, without_trace
from tests.attacks.world import Json, Person, World, bearer
from tests.support.waiting import eventually_now

pytestmark = pytest.mark.model
"""Within which an end must count at every service."""
FREE_TRIES = 5
"""Before the first wait of the throttle."""
MOST_TRIES = 12
"""A try may take longer than the first waits of the throttle, not longer than the later ones."""
READS = ("/users/profile", "/queue?institutionId={institution}")
"""Reads of staff, of two services."""


def new_password(world: World) -> str:
    made = f"rahasia-{uuid4().hex}"
    world.secrets.add(made)
    return made


def change(world: World, email: str, password: str, new: str) -> httpx.Response:
    body = {"email": email, "password": password, "newPassword": new}
    return world.client.post("/auth/password", json=body)


def reset(world: World, user_id: str, headers: dict[str, str]) -> httpx.Response:
    return world.client.post(f"/users/{user_id}/password/reset", json={}, headers=headers)


def newcomer(world: World) -> tuple[Person, Json]:
    """A new operator of the first facility who has signed in, and their tokens."""
    password = new_password(world)
    email = operator(world, password)
    pair = staff(world, email, password).json()
    world.secrets.update({pair["accessToken"], pair["refreshToken"]})
    access, refresh = pair["accessToken"], pair["refreshToken"]
    return Person(pair["user"]["id"], "", email, password, access, refresh), pair


def test_an_operator_makes_nobody_staff(world: World) -> None:
    own, other = world.first.side.institution_id, world.second.side.institution_id
    login = {"email": f"{uuid4().hex}@mediq.example", "password": new_password(world)}
    world.secrets.add(login["email"])
    body = {"nama": world.first.operator.name, **login}
    for role in ("ROLE_OPERATOR", "ROLE_ADMIN_FASKES"):
        for place, refusal in (
            ({"institutionId": own}, "ROLE_NOT_ALLOWED"),
            ({"institutionId": other}, "OTHER_INSTITUTION"),
            ({}, "OTHER_INSTITUTION"),
        ):
            reply = world.client.post(
                "/users", json={**body, "role": role, **place}, headers=world.first.operator.headers
            )
            assert reason(reply) == (403, refusal)
    assert reason(staff(world, login["email"], login["password"])) == INVALID


def test_an_operator_enters_patients_of_the_facility_and_learns_of_no_other(world: World) -> None:
    own, other = world.first.side.institution_id, world.second.side.institution_id
    nik = "3273020101960001"
    world.secrets.add(nik)
    body = {"role": "ROLE_PASIEN", "nama": world.first.patient_name, "institutionId": own}

    def enter(headers: dict[str, str], **wishes: str) -> httpx.Response:
        return world.client.post("/users", json={**body, **wishes}, headers=headers)

    headers = world.first.operator.headers
    assert reason(enter(headers, nik=nik, institutionId=other)) == (403, "OTHER_INSTITUTION")
    made = enter(headers, nik=nik)
    assert made.is_success, made.text
    assert nik not in made.text
    rights = f"/users/{made.json()['id']}/data-rights"
    asked = {"reason": "kartu dilihat, minta salinan data"}
    foreign = world.client.post(rights, json=asked, headers=world.second.operator.headers)
    assert reason(foreign) == (404, "USER_NOT_FOUND")
    reached = world.client.post(rights, json=asked, headers=headers)
    assert reached.is_success, reached.text
    world.secrets.add(reached.json()["accessToken"])
    taken = [
        enter(caller.headers, nik=world.second.nik)
        for caller in (world.first.operator, world.first.admin)
    ]
    assert {reason(one) for one in taken} == {(409, "NIK_TAKEN")}
    assert len({without_trace(one) for one in taken}) == 1
    told = {one for one in world.second.side.secrets if one in taken[0].text}
    assert not told
    assert world.second.patient_name not in taken[0].text


def test_nobody_else_resets_a_password(world: World) -> None:
    victim, _ = newcomer(world)
    for caller, refusal in (
        (world.second.admin.headers, (404, "USER_NOT_FOUND")),
        (world.second.operator.headers, (403, "ROLE_NOT_ALLOWED")),
        (world.first.operator.headers, (403, "ROLE_NOT_ALLOWED")),
        (victim.headers, (403, "ROLE_NOT_ALLOWED")),
        (world.first.patient, (403, "ROLE_NOT_ALLOWED")),
    ):
        assert reason(reset(world, victim.id, caller)) == refusal
    assert reset(world, victim.id, {}).status_code == httpx.codes.UNAUTHORIZED
    superior = reset(world, world.network.id, world.first.admin.headers)
    assert reason(superior) == (404, "USER_NOT_FOUND")
    for own in (world.network, world.first.admin):
        assert reason(reset(world, own.id, own.headers)) == (400, "OWN_ACCOUNT")
    patient = reset(world, world.first.side.patient_id, world.network.headers)
    assert reason(patient) == (400, "NOT_STAFF")
    assert staff(world, victim.email, victim.password).is_success
    assert world.client.get("/users/profile", headers=victim.headers).is_success


def test_guesses_at_a_change_are_throttled_known_or_not(world: World) -> None:
    wanted = new_password(world)
    known, unknown = operator(world, new_password(world)), f"{uuid4().hex}@mediq.example"
    world.secrets.add(unknown)
    refusals = {without_trace(staff(world, f"{uuid4().hex}@mediq.example", "salah-salah-salah"))}
    for email in (known, unknown):
        answers: list[tuple[int, str]] = []
        while not answers or answers[-1] == INVALID:
            reply = change(world, email, f"salah-{len(answers)}-salah-salah", wanted)
            answers.append(reason(reply))
            if answers[-1] == INVALID:
                refusals.add(without_trace(reply))
            assert len(answers) < MOST_TRIES
        assert len(answers) > FREE_TRIES
        assert answers[-1] == (429, "LOGIN_THROTTLED")
    assert len(refusals) == 1, "known, unknown and a login that failed: the same words"


def _change(world: World, victim: Person) -> None:
    reply = change(world, victim.email, victim.password, new_password(world))
    assert reply.is_success, reply.text


def _reset(world: World, victim: Person) -> None:
    reply = reset(world, victim.id, world.first.admin.headers)
    assert reply.is_success, reply.text
    world.secrets.add(reply.json()["password"])


@pytest.mark.parametrize("way", [_change, _reset])
def test_old_tokens_and_the_old_password_end(
    world: World, way: Callable[[World, Person], None]
) -> None:
    victim, pair = newcomer(world)
    paths = [path.format(institution=world.first.side.institution_id) for path in READS]
    for path in paths:
        assert world.client.get(path, headers=victim.headers).is_success, path
    way(world, victim)
    renewal = world.client.post("/auth/refresh", json={"refreshToken": pair["refreshToken"]})
    assert reason(renewal) == (401, "REFRESH_TOKEN_INVALID")
    assert reason(staff(world, victim.email, victim.password)) == INVALID

    def refused() -> bool:
        replies = [world.client.get(path, headers=bearer(victim.access)) for path in paths]
        closed = [reason(reply) for reply in replies if not reply.is_success]
        assert set(closed) <= {(401, "TOKEN_REVOKED")}
        return len(closed) == len(paths)

    eventually_now(refused)
