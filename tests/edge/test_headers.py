"""Headers, foreign pages and the access log."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from google.protobuf.message import Message
from mediq.institution.v1.institution_service_pb2 import ListInstitutionsResponse
from mediq.policy.v1.policy_pb2 import Role
from mediq.user.v1.user_pb2 import User

from edge.filters.header_mutation import SECURITY
from tests.edge.conftest import ORIGIN, Edge, another, running
from tests.edge.upstreams import Answer, Context
from tests.support.waiting import PATIENCE_SECONDS, eventually_now

PROFILE = "/mediq.user.v1.UserService/GetProfile"
LIST = "/mediq.institution.v1.InstitutionService/ListInstitutions"
PREFLIGHT = {"access-control-request-method": "GET"}


async def test_claims_of_a_client_do_not_arrive(edge: Edge, api: httpx.AsyncClient) -> None:
    claimed = {
        "x-mediq-client-address": "evil",
        "X-Mediq-Subject": "evil",
        "x-envoy-original-path": "evil",
        "x-envoy-upstream-rq-timeout-ms": "evil",
        "x-forwarded-client-cert": "evil",
        "x-jwt-payload": "evil",
        "x_mediq_role": "evil",
    }
    headers = {**edge.bearer(role=Role.ROLE_PASIEN), **claimed}
    assert (await api.get("/users/profile", headers=headers)).status_code == 200
    metadata = edge.upstreams.last(PROFILE).metadata
    assert "evil" not in metadata.values()
    assert metadata["x-mediq-client-address"] == "127.0.0.1"


async def test_forwarded_address_of_a_client_is_not_believed(
    edge: Edge, api: httpx.AsyncClient
) -> None:
    headers = {**edge.bearer(role=Role.ROLE_PASIEN), "x-forwarded-for": "10.9.9.9"}
    await api.get("/users/profile", headers=headers)
    assert edge.upstreams.last(PROFILE).metadata["x-mediq-client-address"] == "127.0.0.1"


def test_proxy_in_front_is_believed_when_it_is_counted(edge: Edge, tmp_path: Path) -> None:
    settings = another(edge, trusted_hops=1)
    headers = {**edge.bearer(role=Role.ROLE_PASIEN), "x-forwarded-for": "10.1.1.1, 10.9.9.9"}
    with running(settings, tmp_path):
        url = f"http://127.0.0.1:{settings.listen_port}/users/profile"
        assert httpx.get(url, headers=headers, timeout=PATIENCE_SECONDS).status_code == 200
    assert edge.upstreams.last(PROFILE).metadata["x-mediq-client-address"] == "10.9.9.9"


@pytest.mark.parametrize("path", ["/institutions", "/nothing", "/queue", "/health"])
async def test_every_response_has_the_security_headers(api: httpx.AsyncClient, path: str) -> None:
    response = await api.get(path)
    assert {name: response.headers[name] for name in SECURITY} == SECURITY
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["server"] == "mediq"
    assert response.headers["x-request-id"]
    assert not [name for name in response.headers if name.startswith("x-envoy-")]


def test_browsers_are_told_the_strictest() -> None:
    policy = dict(part.split(" ", 1) for part in SECURITY["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    age, *more = SECURITY["strict-transport-security"].split("; ")
    assert int(age.removeprefix("max-age=")) >= 31536000
    assert "includeSubDomains" in more
    assert SECURITY["x-content-type-options"] == "nosniff"
    assert SECURITY["referrer-policy"] == "no-referrer"
    assert SECURITY["cross-origin-opener-policy"] == "same-origin"
    assert SECURITY["cross-origin-resource-policy"] == "same-origin"
    assert "camera=(self)" in SECURITY["permissions-policy"]


def _answering(*headers: tuple[str, str], message: Message) -> Answer:
    async def answer(request: Message, context: Context) -> Message:
        await context.send_initial_metadata(headers)
        return message

    return answer


LEAVE = ("cache-control", "public, max-age=3600")


async def test_what_a_person_sees_is_never_stored(edge: Edge, api: httpx.AsyncClient) -> None:
    """Whatever the service says."""
    edge.upstreams.answers[PROFILE] = _answering(LEAVE, message=User())
    response = await api.get("/users/profile", headers=edge.bearer(role=Role.ROLE_PASIEN))
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")


async def test_what_is_public_is_stored_when_the_service_says_so(
    edge: Edge, api: httpx.AsyncClient
) -> None:
    edge.upstreams.answers[LIST] = _answering(LEAVE, message=ListInstitutionsResponse())
    response = await api.get("/institutions")
    assert (response.status_code, response.headers["cache-control"]) == (200, LEAVE[1])


async def test_a_service_cannot_weaken_the_security_headers(
    edge: Edge, api: httpx.AsyncClient
) -> None:
    weak = (("content-security-policy", "default-src *"), ("x-content-type-options", "none"))
    edge.upstreams.answers[LIST] = _answering(*weak, message=ListInstitutionsResponse())
    response = await api.get("/institutions")
    assert {name: response.headers.get_list(name) for name in SECURITY} == {
        name: [value] for name, value in SECURITY.items()
    }


async def test_listed_origin_may_call(edge: Edge, api: httpx.AsyncClient) -> None:
    preflight = await api.options("/queue", headers={"origin": ORIGIN, **PREFLIGHT})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    refused = await api.get("/queue", headers={"origin": ORIGIN})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == ORIGIN


async def test_other_origin_may_not(api: httpx.AsyncClient) -> None:
    other = {"origin": "https://evil.example.org"}
    preflight = await api.options("/queue", headers={**other, **PREFLIGHT})
    answer = await api.get("/institutions", headers=other)
    for response in (preflight, answer):
        assert "access-control-allow-origin" not in response.headers


async def test_status_port_shows_readiness_and_metrics_only(edge: Edge) -> None:
    url = f"http://127.0.0.1:{edge.settings.status_port}"
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as status:
        assert (await status.get("/ready")).text == "LIVE\n"
        assert "envoy_cluster_upstream_rq" in (await status.get("/stats/prometheus")).text
        for path in ("/", "/config_dump", "/clusters", "/stats", "/stats/../config_dump"):
            raw = httpx.URL(url).copy_with(raw_path=path.encode())
            assert (await status.get(raw)).status_code == 404, path
        assert (await status.post("/quitquitquit")).status_code == 404


def _lines(edge: Edge, request_id: str) -> list[str]:
    """Returns the lines of one request; Envoy writes them with some delay."""
    return eventually_now(
        lambda: [line for line in edge.log.read_text().splitlines() if request_id in line]
    )


async def test_access_log_has_no_secrets(edge: Edge, api: httpx.AsyncClient) -> None:
    headers = edge.bearer(role=Role.ROLE_OPERATOR)
    response = await api.get("/queue?pageToken=very-secret", headers=headers)
    (line,) = _lines(edge, response.headers["x-request-id"])
    entry = json.loads(line)
    assert entry["path"] == "/queue"
    assert entry["verb"] == "GET"
    assert entry["method"] == "mediq.queue.v1.TicketService/ListTickets"
    assert (entry["status"], entry["upstream"]) == (200, "queue_svc")
    assert entry["milliseconds"] >= 0
    assert "very-secret" not in line
    assert headers["authorization"].split()[1] not in line
