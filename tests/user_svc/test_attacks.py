"""Tokens and connections that must be refused, shown to a real service."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import grpc
import pytest
from mediq.policy.v1.policy_pb2 import Role, Scope
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1 import user_service_pb2 as messages
from mediq.user.v1.auth_service_pb2_grpc import AuthServiceStub
from mediq.user.v1.user_pb2 import PatientIdentity
from mediq.user.v1.user_service_pb2_grpc import UserServiceStub

from mesh.contract.methods import SERVERS
from mesh.identity import tls
from tests.support.backends.databases import on_sqlite_only
from tests.support.forgeries import FORGERIES, Forger
from tests.support.mesh import problem
from tests.user_svc.conftest import NAME, PASSWORD, World, bearer, new_email, new_nik

# What is refused here never gets to the database.
pytestmark = on_sqlite_only
INVALID = ("UNAUTHENTICATED", "TOKEN_INVALID")


@pytest.mark.parametrize("name", FORGERIES)
async def test_forged_tokens(world: World, name: str) -> None:
    made = await world.create()
    forger = Forger(world.settings.keys, made.id)
    good = await world.users.GetProfile(
        messages.GetProfileRequest(), metadata=bearer(forger.sign())
    )
    assert good == made
    call = world.users.GetProfile(
        messages.GetProfileRequest(), metadata=bearer(FORGERIES[name](forger))
    )
    assert await problem(call) == INVALID


async def test_tokens_that_end(world: World) -> None:
    made = await world.create()
    old = world.mesh.token(Role.ROLE_OPERATOR, subject=made.id, lifetime_seconds=-60)
    call = world.users.GetProfile(messages.GetProfileRequest(), metadata=old)
    assert await problem(call) == ("UNAUTHENTICATED", "TOKEN_EXPIRED")


async def test_a_refresh_token_is_no_access_token_and_the_reverse(world: World) -> None:
    made = await world.create()
    pair = await world.login(made.email)
    call = world.users.GetProfile(messages.GetProfileRequest(), metadata=bearer(pair.refresh_token))
    assert await problem(call) == INVALID
    refresh = await problem(world.refresh(pair.access_token[:200]))
    assert refresh == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")


@pytest.mark.parametrize("metadata", [(), (("authorization", "Basic YTpi"),), bearer("")])
async def test_no_token(world: World, metadata: tuple[tuple[str, str], ...]) -> None:
    call = world.users.GetProfile(messages.GetProfileRequest(), metadata=metadata)
    assert await problem(call) in (("UNAUTHENTICATED", "TOKEN_MISSING"), INVALID)


async def test_only_listed_services_call(world: World) -> None:
    denied = ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
    ensure = messages.EnsurePatientRequest(
        request_id=str(uuid4()), identity=PatientIdentity(nik=new_nik(), nama=NAME)
    )
    session = logins.IssueNarrowSessionRequest(
        scope=Scope.SCOPE_REGISTRATION, subject_id=str(uuid4())
    )
    login = logins.LoginAdminRequest(email=new_email(), password=PASSWORD)
    for identity in (*SERVERS, "edge", "ops"):
        async with world.mesh.channel("user_svc", identity) as channel:
            if identity != "ocr_svc":
                assert await problem(UserServiceStub(channel).EnsurePatient(ensure)) == denied
                assert await problem(AuthServiceStub(channel).IssueNarrowSession(session)) == denied
            if identity != "edge":
                assert await problem(AuthServiceStub(channel).LoginAdmin(login)) == denied
                listing = UserServiceStub(channel).ListUsers(
                    messages.ListUsersRequest(), metadata=world.network_admin
                )
                assert await problem(listing) == denied
    assert world.sql("SELECT COUNT(*) FROM users") == [(0,)]


@pytest.mark.parametrize("certificate", ["none", "of another authority", "plain text"])
async def test_strangers_cannot_connect(world: World, tmp_path: Path, certificate: str) -> None:
    address = world.mesh.addresses["user_svc"]
    ca = (world.mesh.home / "tls" / "ca.crt").read_bytes()
    options = [("grpc.ssl_target_name_override", "user-svc")]
    if certificate == "plain text":
        channel = grpc.aio.insecure_channel(address)
    elif certificate == "none":
        channel = grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca), options)
    else:
        tls.ensure_identities(tmp_path, ["edge"])
        key, chain = ((tmp_path / f"edge.{end}").read_bytes() for end in ("key", "crt"))
        credentials = grpc.ssl_channel_credentials(ca, key, chain)
        channel = grpc.aio.secure_channel(address, credentials, options)
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await AuthServiceStub(channel).GetJwks(logins.GetJwksRequest())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
