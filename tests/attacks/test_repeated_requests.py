"""A request_id that was seen on the way is good for the request that it came with, and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from mediq.policy.v1.policy_pb2 import Access

from mesh.contract.methods import Method, methods
from tests.attacks.doors import Doors
from tests.attacks.world import Json, World

pytestmark = pytest.mark.model
TESTS = Path(__file__).parents[1]
TAKING = {
    method.name: method
    for method in methods().values()
    if "request_id" in method.input.fields_by_name and method.policy.access != Access.ACCESS_SERVICE
}
"""The changes that people can ask for."""
ELSEWHERE = {
    "attacks/test_requests.py": {"CreateUser", "UpdateDraft", "CreateTicket", "CreateInstitution"},
    "user_svc/accounts/test_corrections.py": {"CorrectPatient"},
    "user_svc/sessions/test_session_rpcs.py": {"EndSession"},
    "ocr_svc/registration/test_drafts.py": {"UploadDocument"},
    "ocr_svc/registration/test_confirm.py": {"ConfirmRegistration"},
    "queue_svc/consistency/test_machine.py": {
        *("CallNextTicket", "CallTicket", "UpdateTicketStatus", "CancelTicket"),
        *("TransferTicket", "SetTicketPriority"),
    },
    # The token and the path name the same person, and there is nothing else in its request.
    "ocr_svc/data_rights/test_erasure.py": {"RequestErasure"},
}
"""Where the others are repeated with another body."""


def place(world: World) -> str:
    """A new facility."""
    body = {"name": "Klinik Sekali", "city": "Bandung", "timeZone": "Asia/Jakarta"}
    return made(world, "/institutions", body)


def service(world: World, institution: str) -> str:
    return made(world, f"/institutions/{institution}/services", {"name": "Gigi", "prefix": "G"})


def clerk(world: World) -> str:
    """A new operator."""
    email, password = f"{uuid4().hex}@mediq.example", f"rahasia-{uuid4().hex}"
    world.secrets.update({email, password})
    person = {"nama": world.first.operator.name, "role": "ROLE_OPERATOR", "email": email}
    institution = world.first.side.institution_id
    return made(world, "/users", {**person, "password": password, "institutionId": institution})


def made(world: World, path: str, body: Json) -> str:
    reply = world.client.post(path, json=body, headers=world.network.headers)
    assert reply.is_success, reply.text
    return str(reply.json()["id"])


def new_role(world: World) -> tuple[Json, Json]:
    body = {"id": clerk(world), "role": "ROLE_ADMIN_FASKES"}
    return body, {**body, "role": "ROLE_OPERATOR"}


def closed_account(world: World) -> tuple[Json, Json]:
    return {"id": clerk(world)}, {"id": clerk(world)}


def new_city(world: World) -> tuple[Json, Json]:
    body = {"id": place(world), "city": "Cimahi"}
    return body, {**body, "city": "Garut"}


def closed_place(world: World) -> tuple[Json, Json]:
    return {"id": place(world)}, {"id": place(world)}


def new_service(world: World) -> tuple[Json, Json]:
    body = {"institutionId": place(world), "name": "Anak", "prefix": "C"}
    return body, {**body, "name": "Mata", "prefix": "D"}


def changed_service(world: World) -> tuple[Json, Json]:
    institution = place(world)
    body = {"institutionId": institution, "id": service(world, institution), "name": "Gigi 2"}
    return body, {**body, "name": "Gigi 3"}


def new_counter(world: World) -> tuple[Json, Json]:
    body = {"institutionId": place(world), "name": "Loket 7"}
    return body, {**body, "name": "Loket 8"}


CHANGES: dict[str, Callable[[World], tuple[Json, Json]]] = {
    "UpdateUserRole": new_role,
    "DeleteUser": closed_account,
    "UpdateInstitution": new_city,
    "DeleteInstitution": closed_place,
    "CreateHealthcareService": new_service,
    "UpdateHealthcareService": changed_service,
    "CreateCounter": new_counter,
}
"""The bodies of two requests, of which the second would be granted under another request_id."""


def message(method: Method, body: Json, request_id: str) -> Message:
    found: Message = GetMessageClass(method.input)()
    ParseDict({**body, "requestId": request_id}, found)
    return found


@pytest.mark.parametrize("first_door", ["envoy", "port"])
@pytest.mark.parametrize("name", CHANGES)
def test_another_body_under_a_known_request_id(
    world: World, doors: Doors, name: str, first_door: str
) -> None:
    method, headers, request_id = TAKING[name], world.network.headers, str(uuid4())
    body, other = CHANGES[name](world)
    request = message(method, body, request_id)

    def ask(asked: Message, door: str) -> str:
        if door == "port":
            return doors.port(method, asked, headers, "edge")[1]
        ((_, answer),) = doors.rest(method, asked, headers)
        return answer

    first = ask(request, first_door)
    for door in ("envoy", "port"):
        assert "REQUEST_ID_REUSED" in ask(message(method, other, request_id), door)
    assert ask(request, first_door) == first
    granted = ask(message(method, other, str(uuid4())), "envoy")
    assert "details" not in granted, "only the request_id was wrong"


def test_every_change_is_repeated_somewhere() -> None:
    elsewhere = set[str]().union(*ELSEWHERE.values())
    assert {*CHANGES, *elsewhere} == set(TAKING)
    assert not set(CHANGES) & elsewhere
    for path in ELSEWHERE:
        assert (TESTS / path).is_file()
