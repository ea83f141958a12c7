"""Staff of the attacked facilities, and what a login answers."""

from __future__ import annotations

from uuid import uuid4

import httpx

from tests.attacks.world import World
from tools.generation.access import Caller

INVALID = (401, "INVALID_CREDENTIALS")


def reason(reply: httpx.Response) -> tuple[int, str]:
    """Status and reason of an error."""
    return reply.status_code, reply.json()["details"][0]["reason"]


def staff(world: World, email: str, password: str) -> httpx.Response:
    return world.client.post("/auth/login/admin", json={"email": email, "password": password})


def operator(world: World, password: str) -> str:
    """The e-mail address of a new operator."""
    email = f"{uuid4().hex}@mediq.example"
    body = {
        "nama": f"Petugas {world.first.patient_name.split()[1]}",
        "role": "ROLE_OPERATOR",
        "email": email,
        "password": password,
        "institutionId": world.first.side.institution_id,
    }
    made = world.client.post("/users", json=body, headers=world.first.admin.headers)
    assert made.is_success, made.text
    world.secrets.update({email, password})
    return email


def without_trace(reply: httpx.Response) -> str:
    body = reply.json()
    body["details"][0]["metadata"].pop("traceId", None)
    return str(body)


def headers_of(world: World, caller: Caller) -> dict[str, str]:
    """The token of a caller, who belongs to the first facility."""
    tokens = {
        "PASIEN": world.first.patient,
        "OPERATOR": world.first.operator.headers,
        "ADMIN_FASKES": world.first.admin.headers,
        "network administrator": world.network.headers,
        "session REGISTRATION": world.first.registration,
        "session TICKETS": world.first.tickets,
        "session DATA_RIGHTS": world.first.rights,
        "nobody": {},
    }
    return tokens[caller.name]
