"""Forged, foreign and misused tokens, at every service and through Envoy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from mediq.policy.v1.policy_pb2 import Access

from mesh.contract.methods import SERVERS, Method, methods_of
from tests.attacks.doors import Doors, RawCall
from tests.attacks.guarded import GUARDED, forger_for
from tests.attacks.made import FOR_PERSONS, request_for
from tests.attacks.world import World, bearer
from tests.support.forgeries import FORGERIES
from tests.support.waiting import PATIENCE_SECONDS
from tools.generation.access import Verdict

pytestmark = pytest.mark.model
PARALLEL = 8
FOREIGN: dict[str, dict[str, Any]] = {
    "certificate from an address": {"x5u": "https://evil.example/chain.pem"},
    "certificate in the token": {"x5c": ["MIIB"]},
    "key file of our choice": {"kid": "../../../../dev/null"},
    "unknown critical header": {"crit": ["evil"], "evil": True},
}
"""Headers under which a foreign key signs; those of FORGERIES come on top."""
CLAIMED = {
    "x-user-id": "{subject}",
    "x-mediq-subject": "{subject}",
    "x-mediq-role": "ADMIN_FASKES",
    "x-mediq-institution-id": "{institution}",
    "x-jwt-payload": "eyJyb2xlIjoiQURNSU5fRkFTS0VTIn0",
    "x-forwarded-client-cert": "By=spiffe://mediq/user_svc;URI=spiffe://mediq/ocr_svc",
    "x-envoy-original-path": "/institutions",
    "x-original-url": "/institutions",
    "x-rewrite-url": "/institutions",
    "x-http-method-override": "GET",
    "x-forwarded-for": "127.0.0.1",
    "cookie": "access_token={token}",
}
"""Headers with which a client claims to be somebody."""


WORST = (
    *("alg none", "HMAC with the public key", "foreign key under our identifier"),
    *("foreign key identifier", "keys from an address", "wrong audience", "changed claims"),
)
"""The forgeries that every RPC is shown; one of each service is shown all."""


def forged(world: World, method: Method) -> dict[str, str]:
    forger = forger_for(world, method)
    return {
        **{name: make(forger) for name, make in FORGERIES.items()},
        **{name: forger.foreign(**headers) for name, headers in FOREIGN.items()},
        "refresh token": world.first.operator.refresh,
    }


@pytest.mark.parametrize("server", GUARDED)
def test_a_true_token_opens_what_the_forged_ones_do_not(
    world: World, doors: Doors, server: str
) -> None:
    method = GUARDED[server]
    request = request_for(method, world.first.side)
    headers = bearer(forger_for(world, method).sign())
    assert doors.port(method, request, headers, "edge")[0] is Verdict.PASSES
    assert {found for found, _ in doors.rest(method, request, headers)} == {Verdict.PASSES}
    for name, token in forged(world, method).items():
        found, answer = doors.port(method, request, bearer(token), "edge")
        assert found is Verdict.UNAUTHENTICATED, f"{name} at {server}: {answer}"
        for found, answer in doors.rest(method, request, bearer(token)):
            # Envoy knows the roles of each method, but not all that there are.
            refusals = [Verdict.UNAUTHENTICATED]
            refusals += [Verdict.PERMISSION_DENIED] if name.startswith("unknown") else []
            assert found in refusals, f"{name} through Envoy: {answer}"


@pytest.mark.parametrize("method", FOR_PERSONS, ids=lambda method: method.name)
def test_no_rpc_takes_a_forged_token(world: World, doors: Doors, method: Method) -> None:
    """Streams too, which are served in another way than calls."""
    forger, request = forger_for(world, method), request_for(method, world.first.side, broken=True)
    tokens = {name: FORGERIES[name](forger) for name in WORST}
    tokens["ended"] = forger.sign({"exp": forger.claims["iat"] - 60})
    tokens["refresh token"] = world.first.operator.refresh
    for name, token in tokens.items():
        answers = [doors.port(method, request, bearer(token), "edge")]
        answers += doors.rest(method, request, bearer(token))
        for found, answer in answers:
            assert found is Verdict.UNAUTHENTICATED, f"{name}: {answer}"


@pytest.mark.parametrize("server", GUARDED)
def test_an_ended_token_says_so_everywhere(world: World, doors: Doors, server: str) -> None:
    method = GUARDED[server]
    forger = forger_for(world, method)
    ended = dict.fromkeys(("iat", "nbf", "exp"), forger.claims["iat"] - 60)
    request, headers = request_for(method, world.first.side), bearer(forger.sign(ended))
    answers = [doors.port(method, request, headers, "edge"), *doors.rest(method, request, headers)]
    for found, answer in answers:
        assert found is Verdict.UNAUTHENTICATED
        assert "TOKEN_EXPIRED" in answer


def claims_of(world: World) -> dict[str, str]:
    known = {
        "subject": world.network.id,
        "institution": world.second.side.institution_id,
        "token": world.network.access,
    }
    return {name: value.format(**known) for name, value in CLAIMED.items()}


def test_headers_make_nobody_somebody(world: World, doors: Doors) -> None:
    for method in GUARDED.values():
        request = request_for(method, world.first.side)
        answers = doors.rest(method, request, claims_of(world))
        answers.append(doors.port(method, request, claims_of(world), "edge"))
        for found, answer in answers:
            assert found is Verdict.UNAUTHENTICATED, f"{method.path}: {answer}"


def test_headers_make_nobody_somebody_else(world: World) -> None:
    headers = {**claims_of(world), **world.first.tickets}
    profile = world.client.get("/users/profile", headers=headers).json()
    assert (profile["id"], profile["role"]) == (world.first.side.patient_id, "ROLE_PASIEN")
    foreign = world.client.get(f"/queue/{world.second.side.ticket_id}", headers=headers)
    assert foreign.status_code == 404
    deleted = {**headers, "x-http-method-override": "DELETE"}
    ticket = world.client.get(f"/queue/{world.first.side.ticket_id}", headers=deleted).json()
    assert ticket["status"] == "TICKET_STATUS_WAITING"


def test_two_tokens_in_one_request_are_refused_or_the_first_counts(world: World) -> None:
    """Two parties that read the same request must see the same person."""
    headers = [("authorization", world.first.tickets["authorization"])]
    headers.append(("authorization", world.network.headers["authorization"]))
    reply = world.client.get("/users/profile", headers=headers)
    if reply.is_success:
        assert reply.json()["id"] == world.first.side.patient_id
    listed = world.client.get("/users", headers=headers)
    assert listed.status_code in (401, 403)


def test_calls_between_services_do_not_pass_envoy(world: World) -> None:
    address = world.running.url.removeprefix("http://")
    claimed = (*world.network.headers.items(), *claims_of(world).items())
    with grpc.insecure_channel(address) as channel:
        for server in SERVERS:
            for method in methods_of(server):
                if method.policy.access != Access.ACCESS_SERVICE:
                    continue
                call: RawCall = channel.unary_unary(method.path)
                with pytest.raises(grpc.RpcError) as caught:
                    call(b"", metadata=claimed, timeout=PATIENCE_SECONDS)
                assert isinstance(caught.value, grpc.Call)
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED, method.path


def test_refreshes_at_the_same_moment_are_one_session(world: World) -> None:
    person = world.first.operator
    login = {"email": person.email, "password": person.password}
    token = world.client.post("/auth/login/admin", json=login).json()["refreshToken"]

    def refresh(shown: str) -> tuple[int, str]:
        reply = world.client.post("/auth/refresh", json={"refreshToken": shown})
        return reply.status_code, reply.json().get("refreshToken", "")

    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = set(pool.map(refresh, [token] * PARALLEL))
    [(status, successor)] = answers
    assert (status, successor != token) == (200, True)
    status, third = refresh(successor)
    assert status == 200
    world.secrets.update({token, successor, third})
    assert refresh(token) == (401, "")
    assert refresh(third) == (401, ""), "a copy was shown: the whole session has ended"
