"""Requests that ask for more than their sender may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import grpc
import httpx
import pytest
from mediq.queue.v1.queue_pb2 import Priority, PriorityGround
from mediq.queue.v1.ticket_service_pb2 import CreateTicketRequest

from mesh.contract.methods import SERVERS, max_request_bytes_of, methods_of
from queue_svc.settings import QueueSettings
from tests.attacks.callers import reason
from tests.attacks.doors import Doors, RawCall
from tests.attacks.world import World, bearer
from tests.support.forgeries import Forger
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.model
Json = dict[str, Any]
Change = tuple[str, str, Json, Json, Mapping[str, str]]
"""Verb, path, a body, what another body has instead, and the headers of the caller."""


def fresh_patient(world: World) -> dict[str, str]:
    """The header of a patient who has no ticket yet."""
    forger = Forger(world.home / "keys", str(uuid4()))
    token = forger.sign({"role": "PASIEN"})
    world.secrets.add(token)
    return bearer(token)


def ticket_body(world: World, **more: object) -> Json:
    side = world.first.side
    place = {"institutionId": side.institution_id, "serviceId": side.service_id}
    return {"requestId": str(uuid4()), **place, **more}


@pytest.mark.parametrize(
    "wish",
    [
        {"priority": "PRIORITY_URGENT"},
        {"priority": 4},
        {"priorityReason": "penting"},
        {"priorityGrounds": ["PRIORITY_GROUND_REFERRAL"]},
        {"priority_grounds": [1]},
    ],
    ids=str,
)
def test_a_patient_does_not_choose_the_priority(world: World, wish: Json) -> None:
    body = ticket_body(world, **wish)
    reply = world.client.post("/queue", json=body, headers=fresh_patient(world))
    assert reason(reply) == (403, "PRIORITY_STAFF_ONLY")


@pytest.mark.parametrize(
    "wish",
    [
        {"priority": Priority.PRIORITY_URGENT},
        {"priority_reason": "penting"},
        {"priority_grounds": [PriorityGround.PRIORITY_GROUND_REFERRAL]},
    ],
    ids=str,
)
def test_nor_at_the_port_of_the_service(world: World, doors: Doors, wish: dict[str, Any]) -> None:
    method = next(one for one in methods_of("queue_svc") if one.name == "CreateTicket")
    side = world.first.side
    request = CreateTicketRequest(
        request_id=str(uuid4()),
        institution_id=side.institution_id,
        service_id=side.service_id,
        **wish,
    )
    _, answer = doors.port(method, request, fresh_patient(world), "edge")
    assert "PRIORITY_STAFF_ONLY" in answer


def test_tickets_without_end_are_refused_with_a_time_to_wait(world: World) -> None:
    headers, taken = fresh_patient(world), 0
    while (
        reply := world.client.post("/queue", json=ticket_body(world), headers=headers)
    ).is_success:
        taken += 1
        assert taken <= QueueSettings().tickets_an_hour
        given_back = world.client.request("DELETE", f"/queue/{reply.json()['id']}", headers=headers)
        assert given_back.is_success, given_back.text
    assert reason(reply) == (429, "TICKETS_LIMITED")
    assert any("retryDelay" in detail for detail in reply.json()["details"])
    assert taken == QueueSettings().tickets_an_hour
    other = world.client.post("/queue", json=ticket_body(world), headers=fresh_patient(world))
    assert other.is_success, "others are not held up"


def test_what_a_patient_adds_to_a_ticket_is_not_taken(world: World) -> None:
    wishes = {"status": "TICKET_STATUS_CALLED", "number": "A-001", "version": 7, "peopleAhead": 0}
    headers = fresh_patient(world)
    reply = world.client.post("/queue", json=ticket_body(world, **wishes), headers=headers)
    ticket = reply.json()
    assert (ticket["status"], ticket["version"]) == ("TICKET_STATUS_WAITING", 1)
    assert ticket["priority"] == "PRIORITY_NORMAL"
    assert ticket["number"] != "A-001"
    ended = world.client.request(
        "DELETE", f"/queue/{ticket['id']}", json={"status": "TICKET_STATUS_DONE"}, headers=headers
    )
    assert ended.json()["status"] == "TICKET_STATUS_CANCELLED"


def test_a_draft_takes_neither_role_nor_identity(world: World) -> None:
    path = f"/ocr/{world.first.side.draft_id}"
    before = world.client.get(path, headers=world.first.registration).json()
    wishes = {"role": "ROLE_ADMIN_FASKES", "userId": world.network.id, "expireTime": "2099-01-01"}
    reply = world.client.patch(path, json=wishes, headers=world.first.registration)
    after = world.client.get(path, headers=world.first.registration).json()
    assert reply.status_code in (200, 400)
    assert after == before
    foreign = {"id": world.second.side.draft_id, "alamat": "JL. LAIN"}
    reply = world.client.patch(path, json=foreign, headers=world.first.registration)
    assert reply.status_code == 400, "the path says which draft, and the body says another"


def test_an_administrator_of_a_facility_makes_no_one_greater(world: World) -> None:
    headers = world.first.admin.headers
    body = {
        "nama": world.first.admin.name,
        "role": "ROLE_ADMIN_FASKES",
        "email": f"{uuid4().hex}@mediq.example",
        "password": f"rahasia-{uuid4().hex}",
    }
    for place in ({}, {"institutionId": ""}, {"institutionId": world.second.side.institution_id}):
        reply = world.client.post("/users", json={**body, **place}, headers=headers)
        assert reason(reply) == (403, "OTHER_INSTITUTION")
    own = f"/users/{world.first.admin.id}/role"
    reply = world.client.patch(own, json={"role": "ROLE_OPERATOR"}, headers=headers)
    assert reason(reply) == (400, "OWN_ACCOUNT")
    place = {"name": "Klinik Palsu", "city": "Bandung", "timeZone": "Asia/Jakarta"}
    reply = world.client.post("/institutions", json=place, headers=headers)
    assert reason(reply) == (403, "NETWORK_ADMIN_ONLY")
    assert reason(world.client.get("/api/status", headers=headers)) == (403, "NETWORK_ADMIN_ONLY")


def test_lists_hold_only_what_is_the_callers(world: World) -> None:
    users = world.client.get("/users", headers=world.first.admin.headers).json()["users"]
    assert {user["institutionId"] for user in users} == {world.first.side.institution_id}
    mine = world.client.get("/queue/my-queue", headers=world.second.tickets).json()["tickets"]
    assert [ticket["id"] for ticket in mine] == [world.second.side.ticket_id]


def test_sessions_of_colleagues_and_superiors_are_out_of_reach(world: World) -> None:
    facility = world.first
    out_of_reach = [
        (facility.operator, facility.admin),
        (facility.operator, world.network),
        (facility.admin, world.network),
    ]
    for caller, other in out_of_reach:
        headers = caller.headers
        listed = world.client.get("/auth/sessions", params={"userId": other.id}, headers=headers)
        assert reason(listed) == (404, "USER_NOT_FOUND")
        ended = world.client.delete(f"/auth/sessions/{other.session_id}", headers=headers)
        assert reason(ended) == (404, "SESSION_NOT_FOUND")
        assert world.client.get("/users/profile", headers=other.headers).is_success


def changes(world: World) -> dict[str, Change]:
    """A change of each service that takes some."""
    side, network = world.first.side, world.network.headers
    staff = {
        "nama": world.first.operator.name,
        "role": "ROLE_OPERATOR",
        "email": f"{uuid4().hex}@mediq.example",
        "password": f"rahasia-{uuid4().hex}",
        "institutionId": side.institution_id,
    }
    world.secrets.update({staff["email"], staff["password"]})
    ticket = ticket_body(world, patientId=str(uuid4()))
    place = {"name": "Puskesmas Lain", "city": "Bandung", "timeZone": "Asia/Jakarta"}
    draft, registration = {"alamat": "JL. MAWAR NO. 1"}, world.first.registration
    path = f"/ocr/{side.draft_id}"
    return {
        "user_svc": ("POST", "/users", staff, {"role": "ROLE_ADMIN_FASKES"}, network),
        "ocr_svc": ("PATCH", path, draft, {"alamat": "JL. MAWAR NO. 2"}, registration),
        "queue_svc": ("POST", "/queue", ticket, {"patientId": str(uuid4())}, network),
        "institution_svc": ("POST", "/institutions", place, {"city": "Cimahi"}, network),
    }


def takes_requests_once(server: str) -> bool:
    return any("request_id" in method.input.fields_by_name for method in methods_of(server))


@pytest.mark.parametrize("server", [name for name in SERVERS if takes_requests_once(name)])
def test_a_request_id_is_good_for_one_body(world: World, server: str) -> None:
    verb, path, body, other, headers = changes(world)[server]
    body = {**body, "requestId": str(uuid4())}

    def send(content: Json) -> httpx.Response:
        return world.client.request(verb, path, json=content, headers=headers)

    first = send(body)
    assert first.is_success, first.text
    assert send(body).json() == first.json()
    assert reason(send({**body, **other})) == (409, "REQUEST_ID_REUSED")
    assert send(body).json() == first.json()


def test_a_request_id_of_somebody_else_gives_nothing_away(world: World) -> None:
    body = ticket_body(world, patientId=str(uuid4()))
    mine = world.client.post("/queue", json=body, headers=world.first.operator.headers)
    assert mine.is_success, mine.text
    theirs = world.client.post("/queue", json=body, headers=world.second.operator.headers)
    assert reason(theirs) == (403, "OTHER_INSTITUTION")
    side = world.second.side
    elsewhere = {**body, "institutionId": side.institution_id, "serviceId": side.service_id}
    reply = world.client.post("/queue", json=elsewhere, headers=world.second.operator.headers)
    assert reply.is_success, reply.text
    assert reply.json()["id"] != mine.json()["id"]


@pytest.mark.parametrize("server", SERVERS)
def test_a_service_itself_refuses_what_is_too_large(doors: Doors, server: str) -> None:
    method = methods_of(server)[0]
    call: RawCall = doors.channel(server, "edge").unary_unary(method.path)
    with pytest.raises(grpc.RpcError) as caught:
        call(b"x" * (max_request_bytes_of(server) + 64 * 1024), timeout=PATIENCE_SECONDS)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_body_that_is_too_large_does_not_reach_a_service(world: World) -> None:
    body = ticket_body(world, priorityReason="x" * (2 << 20))
    reply = world.client.post("/queue", json=body, headers=world.first.operator.headers)
    assert reason(reply) == (413, "REQUEST_TOO_LARGE")


@pytest.mark.parametrize("name", ["x$y", "*", "0na7'k", "a|b", "`", "!w", "^", "#x", "x~"])
def test_headers_that_no_service_can_take_stay_at_the_edge(world: World, name: str) -> None:
    """HTTP allows more characters in a name than gRPC, which answers such a request with a 500."""
    headers = {**world.first.tickets, name: "1"}
    assert world.client.get("/users/profile", headers=headers).is_success
