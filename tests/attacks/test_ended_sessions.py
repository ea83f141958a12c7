"""Sessions that have ended are over at every service within five seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import uuid4

import pytest

from mesh.contract.methods import Method, methods
from tests.attacks.callers import operator
from tests.attacks.doors import Doors
from tests.attacks.guarded import GUARDED
from tests.attacks.made import request_for
from tests.attacks.world import Json, World, bearer
from tests.support.waiting import eventually_now
from tools.generation.access import Verdict

pytestmark = pytest.mark.model
"""What the security checks promise."""
OF_PATIENTS = ("GetProfile", "ListMyTickets", "ExportPersonalData")
"""A read for patients of each service that has some."""


@dataclass(frozen=True)
class Signed:
    """Somebody new who has signed in."""

    pair: Json
    email: str
    password: str

    @property
    def user(self) -> str:
        return f"/users/{self.pair['user']['id']}"

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.pair["accessToken"])


def logout(world: World, who: Signed) -> None:
    body = {"refreshToken": who.pair["refreshToken"]}
    assert world.client.post("/auth/logout", json=body).is_success


def end(world: World, who: Signed) -> None:
    (session,) = world.client.get("/auth/sessions", headers=who.headers).json()["sessions"]
    done = world.client.delete(f"/auth/sessions/{session['id']}", headers=world.first.admin.headers)
    assert done.is_success, done.text


def disable(world: World, who: Signed) -> None:
    assert world.client.delete(who.user, headers=world.first.admin.headers).is_success


def change_role(world: World, who: Signed) -> None:
    body = {"role": "ROLE_ADMIN_FASKES"}
    reply = world.client.patch(f"{who.user}/role", json=body, headers=world.first.admin.headers)
    assert reply.is_success, reply.text


def answers(
    world: World, doors: Doors, asked: list[Method], headers: Mapping[str, str]
) -> dict[str, str]:
    """What each service says at its port and, where Envoy lets the token pass, through Envoy."""
    found = {}
    for method in asked:
        request = request_for(method, world.first.side)
        found[f"{method.server} port"] = doors.port(method, request, headers, "edge")[1]
        for verdict, answer in doors.rest(method, request, headers):
            if verdict is not Verdict.PERMISSION_DENIED:
                found[f"{method.server} envoy"] = answer
    return found


def refused_in_time(
    world: World, doors: Doors, asked: list[Method], headers: Mapping[str, str]
) -> None:
    def refused() -> bool:
        return all(
            "TOKEN_REVOKED" in answer for answer in answers(world, doors, asked, headers).values()
        )

    eventually_now(refused)


@pytest.mark.parametrize("way", [logout, end, disable, change_role])
def test_staff_who_are_signed_out(
    world: World, doors: Doors, way: Callable[[World, Signed], None]
) -> None:
    password = f"rahasia-{uuid4().hex}"
    email = operator(world, password)
    pair = world.client.post("/auth/login/admin", json={"email": email, "password": password})
    who = Signed(pair.json(), email, password)
    world.secrets.update({who.pair["accessToken"], who.pair["refreshToken"]})
    asked = list(GUARDED.values())
    before = answers(world, doors, asked, who.headers)
    assert {door for door in before if door.endswith("port")} == {f"{one} port" for one in GUARDED}
    assert "TOKEN_REVOKED" not in str(before)
    way(world, who)
    refused_in_time(world, doors, asked, who.headers)
    refresh = {"refreshToken": who.pair["refreshToken"]}
    assert world.client.post("/auth/refresh", json=refresh).status_code == 401


def test_patients_whose_account_is_closed(world: World, doors: Doors) -> None:
    nik, name = "3201017112890066", "Pasien Wirakusumah"
    world.secrets.update({nik, name, name.upper()})
    place, staff = world.first.side.institution_id, world.first.operator.headers
    body = {"role": "ROLE_PASIEN", "nik": nik, "nama": name, "institutionId": place}
    made = world.client.post("/users", json=body, headers=world.first.admin.headers)
    user = f"/users/{made.json()['id']}"
    tickets = world.client.post("/auth/login/user", json={"nik": nik, "name": name}).json()
    reason = {"reason": "kartu dilihat"}
    rights = world.client.post(f"{user}/data-rights", json=reason, headers=staff).json()
    tokens = [tickets["accessToken"], rights["accessToken"]]
    world.secrets.update(tokens)
    asked = [method for method in methods().values() if method.name in OF_PATIENTS]
    assert len({method.server for method in asked}) == len(OF_PATIENTS)
    for token in tokens:
        assert "TOKEN_REVOKED" not in str(answers(world, doors, asked, bearer(token)))
    assert world.client.delete(user, headers=world.network.headers).is_success
    for token in tokens:
        refused_in_time(world, doors, asked, bearer(token))
