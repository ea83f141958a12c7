from __future__ import annotations

import asyncio
import datetime
import json
import time
from typing import Any
from uuid import uuid4

import grpc
import pytest
from mediq.policy.v1.policy_pb2 import Role, Scope
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1 import user_service_pb2 as messages

from mesh.identity.tokens import TokenVerifier
from tests.support.mesh import problem
from tests.user_svc.conftest import World, bearer, new_nik

REFUSED = ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")


async def signed_in(world: World) -> logins.TokenPair:
    return await world.login((await world.create()).email)


async def logout(world: World, token: str) -> None:
    await world.auth.Logout(logins.LogoutRequest(refresh_token=token))


def ends(world: World) -> list[tuple[Any, ...]]:
    return world.sql("SELECT end_reason FROM sessions")


async def test_tokens_rotate(world: World) -> None:
    pair = await signed_in(world)
    tokens = {pair.refresh_token}
    for _ in range(3):
        world.age_out_grace()
        following = await world.refresh(pair.refresh_token)
        assert following.session_expire_time == pair.session_expire_time
        assert following.user == pair.user
        verifier = TokenVerifier(world.settings.keys / "jwks.json")
        old, new = (verifier.verify(one.access_token) for one in (pair, following))
        assert (old.session_id, old.subject) == (new.session_id, new.subject)
        pair = following
        tokens.add(pair.refresh_token)
    assert len(tokens) == 4
    assert ends(world) == [(None,)]


async def test_reuse_ends_the_session_for_both(world: World) -> None:
    first = await signed_in(world)
    second = await world.refresh(first.refresh_token)
    world.age_out_grace()
    for token in (first.refresh_token, second.refresh_token):
        assert await problem(world.refresh(token)) == REFUSED
    assert ends(world) == [("REUSE",)]


async def test_reuse_behind_the_successor_ends_the_session_at_once(world: World) -> None:
    first = await signed_in(world)
    second = await world.refresh(first.refresh_token)
    third = await world.refresh(second.refresh_token)
    for token in (first.refresh_token, third.refresh_token):
        assert await problem(world.refresh(token)) == REFUSED


async def test_refreshes_at_the_same_moment_are_one(world: World) -> None:
    for _ in range(4):
        first = await signed_in(world)
        found = await asyncio.gather(*(world.refresh(first.refresh_token) for _ in range(6)))
        assert len({one.refresh_token for one in found}) == 1
        following = await world.refresh(found[0].refresh_token)
        assert following.refresh_token not in {first.refresh_token, found[0].refresh_token}
    assert ends(world) == [(None,)] * 4
    assert world.sql("SELECT COUNT(*) FROM refresh_tokens") == [(12,)]


async def test_a_session_ends_after_twelve_hours(world: World) -> None:
    pair = await signed_in(world)
    life = datetime.timedelta(hours=12)
    world.age("sessions", "expire_time", life - datetime.timedelta(seconds=60))
    pair = await world.refresh(pair.refresh_token)
    assert pair.access_expire_time.seconds <= time.time() + 60
    world.age("sessions", "expire_time", datetime.timedelta(seconds=61))
    assert await problem(world.refresh(pair.refresh_token)) == REFUSED


async def test_logout_ends_one_session(world: World) -> None:
    made = await world.create()
    first, second = await world.login(made.email), await world.login(made.email)
    for _ in range(2):
        await logout(world, first.refresh_token)
    assert await problem(world.refresh(first.refresh_token)) == REFUSED
    await world.refresh(second.refresh_token)
    await logout(world, "unknown-token-of-nobody")
    assert await problem(world.refresh("unknown-token-of-nobody")) == REFUSED
    assert sorted(map(str, ends(world))) == ["('LOGOUT',)", "(None,)"]


async def test_logout_with_an_old_token_ends_the_session(world: World) -> None:
    first = await signed_in(world)
    second = await world.refresh(first.refresh_token)
    await logout(world, first.refresh_token)
    assert await problem(world.refresh(second.refresh_token)) == REFUSED


async def test_refreshing_against_deletion(world: World) -> None:
    """Whoever wins, nothing can be refreshed after the deletion has been answered."""
    for _ in range(5):
        pair = await signed_in(world)
        delete = world.users.DeleteUser(
            messages.DeleteUserRequest(id=pair.user.id), metadata=world.network_admin
        )
        refreshing, _ = await asyncio.gather(
            world.refresh(pair.refresh_token), delete, return_exceptions=True
        )
        tokens = [pair.refresh_token]
        if isinstance(refreshing, logins.TokenPair):
            tokens.append(refreshing.refresh_token)
        else:
            assert isinstance(refreshing, grpc.aio.AioRpcError)
            assert refreshing.code() is grpc.StatusCode.UNAUTHENTICATED
        for token in tokens:
            assert await problem(world.refresh(token)) == REFUSED


@pytest.mark.parametrize("token", ["short", "x" * 201])
async def test_impossible_refresh_tokens(world: World, token: str) -> None:
    assert await problem(world.refresh(token)) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("scope", "seconds"),
    [(Scope.SCOPE_REGISTRATION, 35 * 60), (Scope.SCOPE_TICKETS, 12 * 3600)],
)
async def test_scoped_sessions(world: World, scope: Scope.ValueType, seconds: int) -> None:
    patient = (await world.ensure(new_nik())).user
    before = int(time.time())
    issued = await world.ocr_auth.IssueNarrowSession(
        logins.IssueNarrowSessionRequest(scope=scope, subject_id=patient.id)
    )
    found = TokenVerifier(world.settings.keys / "jwks.json").verify(issued.access_token)
    assert (found.subject, found.scope) == (patient.id, scope)
    assert (found.role, found.institution_id) == (Role.ROLE_UNSPECIFIED, "")
    assert before + seconds <= found.expires_at <= time.time() + seconds
    assert found.expires_at == issued.access_expire_time.seconds


async def test_ticket_sessions_are_for_open_patients(world: World) -> None:
    staff = await world.create()
    for subject in (staff.id, str(uuid4())):
        call = world.ocr_auth.IssueNarrowSession(
            logins.IssueNarrowSessionRequest(scope=Scope.SCOPE_TICKETS, subject_id=subject)
        )
        assert await problem(call) == ("NOT_FOUND", "USER_NOT_FOUND")
    for request in (
        logins.IssueNarrowSessionRequest(subject_id=str(uuid4())),
        logins.IssueNarrowSessionRequest(scope=Scope.SCOPE_TICKETS, subject_id="x"),
    ):
        call = world.ocr_auth.IssueNarrowSession(request)
        assert await problem(call) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


async def test_key_set_is_public_and_verifies(world: World) -> None:
    answer = await world.auth.GetJwks(logins.GetJwksRequest())
    assert answer.content_type == "application/json"
    (key,) = json.loads(answer.data)["keys"]
    assert key["alg"] == "ES256"
    assert "d" not in key
    pair = await signed_in(world)
    await world.users.GetProfile(messages.GetProfileRequest(), metadata=bearer(pair.access_token))
