from __future__ import annotations

import asyncio
import datetime
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

import grpc
import pytest
from mediq.policy.v1.policy_pb2 import Role, Scope
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1 import user_service_pb2 as messages
from mediq.user.v1.auth_service_pb2_grpc import AuthServiceStub
from mediq.user.v1.user_service_pb2_grpc import UserServiceStub

from mesh.identity.tokens import TokenVerifier
from tests.support.mesh import Mesh, problem
from tests.support.pairs import ROUNDS, alike
from tests.user_svc.conftest import (
    NAME,
    PASSWORD,
    Clock,
    World,
    bearer,
    new_email,
    new_nik,
    retry_seconds,
)
from user_svc.__main__ import build
from user_svc.settings import UserSettings

REFUSED = ("UNAUTHENTICATED", "INVALID_CREDENTIALS")
THROTTLED = ("RESOURCE_EXHAUSTED", "LOGIN_THROTTLED")


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def login_user(world: World, nik: str, name: str = NAME) -> Awaitable[logins.NarrowSession]:
    return world.auth.LoginUser(logins.LoginUserRequest(nik=nik, name=name))


async def test_staff_login_gives_a_token_that_verifies(world: World) -> None:
    made = await world.create(Role.ROLE_ADMIN_FASKES)
    before = time.time()
    pair = await world.login(f"{made.email[0].upper()}{made.email[1:]}")
    assert pair.user == made
    found = TokenVerifier(world.settings.keys / "jwks.json").verify(pair.access_token)
    assert (found.subject, found.role, found.institution_id, found.scope) == (
        made.id,
        Role.ROLE_ADMIN_FASKES,
        made.institution_id,
        Scope.SCOPE_UNSPECIFIED,
    )
    assert found.expires_at == pair.access_expire_time.seconds
    assert 598 <= found.expires_at - before <= 601
    assert abs(pair.session_expire_time.ToNanoseconds() / 1e9 - before - 12 * 3600) < 2
    assert len(pair.refresh_token) == 43


async def test_every_failed_staff_login_is_the_same(world: World) -> None:
    made = await world.create()
    patient = (await world.ensure(new_nik())).user
    closed = await world.create()
    await world.users.DeleteUser(
        messages.DeleteUserRequest(id=closed.id), metadata=world.network_admin
    )
    errors = [
        await failure(world.login(email, password))
        for email, password in (
            (made.email, "wrong-but-long-enough"),
            (made.email, PASSWORD.upper()),
            (made.email, f"{PASSWORD} "),
            (new_email(), PASSWORD),
            (closed.email, PASSWORD),
            (f"{patient.id}@contoh.example", PASSWORD),
        )
    ]
    assert {(error.code().name, error.details()) for error in errors} == {
        ("UNAUTHENTICATED", "these credentials are not valid")
    }


async def test_all_characters_of_a_password_count(world: World) -> None:
    """Bcrypt alone would read 72 bytes and stop at a zero byte."""
    long = " ".join(f"kata ke-{n}" for n in range(11))
    assert 72 < len(long) <= 128
    zero = "awal yang sama\x00akhir satu"
    for password, other in ((long, long[:-1] + "!"), (zero, zero.replace("satu", "lain"))):
        email = new_email()
        await world.users.CreateUser(
            messages.CreateUserRequest(
                nama="Budi",
                role=Role.ROLE_OPERATOR,
                email=email,
                password=password,
                institution_id=str(uuid4()),
            ),
            metadata=world.network_admin,
        )
        assert await problem(world.login(email, other)) == REFUSED
        await world.login(email, password)


async def test_old_hashes_are_renewed_at_login(world: World, mesh: Mesh) -> None:
    made = await world.create()
    stronger = world.settings.model_copy(update={"bcrypt_cost": 6})
    async with mesh.serve(stronger, build), mesh.channel("user_svc") as edge:
        for _ in range(2):
            request = logins.LoginAdminRequest(email=made.email, password=PASSWORD)
            await AuthServiceStub(edge).LoginAdmin(request)
            ((stored,),) = world.sql("SELECT password_hash FROM users WHERE id = :id", id=made.id)
            assert stored.startswith("$2b$06$")


def test_the_default_cost_is_twelve() -> None:
    assert UserSettings().bcrypt_cost == 12


async def test_staff_logins_are_throttled_and_come_back(world: World, clock: Clock) -> None:
    made = await world.create()
    for email in (made.email, new_email()):
        for _ in range(5):
            assert await problem(world.login(email, "wrong-but-long-enough")) == REFUSED
        error = await failure(world.login(email))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert 0 < retry_seconds(error) <= 1
    clock.move(datetime.timedelta(seconds=1.1))
    await world.login(made.email)
    assert await problem(world.login(made.email, "wrong-but-long-enough")) == REFUSED


@pytest.mark.usefixtures("clock")
async def test_guesses_at_the_same_moment_all_count(world: World) -> None:
    made = await world.create()
    calls = [problem(world.login(made.email, f"wrong-guess-number-{n}")) for n in range(20)]
    found = await asyncio.gather(*calls)
    assert found.count(REFUSED) == 5
    assert found.count(THROTTLED) == 15
    other = await world.create()
    await world.login(other.email)


async def test_patient_login_opens_only_the_own_tickets(world: World) -> None:
    nik = new_nik()
    made = await world.ensure(nik)
    before = int(time.time())
    session = await login_user(world, nik, "  siti   Rahmawati ")
    found = TokenVerifier(world.settings.keys / "jwks.json").verify(session.access_token)
    assert (found.subject, found.role, found.scope) == (
        made.user.id,
        Role.ROLE_UNSPECIFIED,
        Scope.SCOPE_TICKETS,
    )
    assert found.expires_at == session.access_expire_time.seconds
    assert before + 900 <= found.expires_at <= time.time() + 900
    metadata = bearer(session.access_token)
    profile = await world.users.GetProfile(messages.GetProfileRequest(), metadata=metadata)
    assert profile == made.user
    listing = world.users.ListUsers(messages.ListUsersRequest(), metadata=metadata)
    assert await problem(listing) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")


async def test_unknown_nik_and_wrong_name_are_the_same(world: World) -> None:
    nik = new_nik()
    await world.ensure(nik)
    unknown = await failure(login_user(world, new_nik()))
    wrong = await failure(login_user(world, nik, "SITI RAHMAWAT"))
    assert unknown.code() == wrong.code() == grpc.StatusCode.UNAUTHENTICATED
    assert unknown.details() == wrong.details()
    assert await problem(login_user(world, nik, "-")) == REFUSED
    assert await problem(login_user(world, new_nik(), "-")) == REFUSED


async def test_patient_logins_are_throttled_per_nik(world: World, clock: Clock) -> None:
    known, unknown, other = new_nik(), new_nik(), new_nik()
    await world.ensure(known)
    await world.ensure(other)
    for nik in (known, unknown):
        for _ in range(5):
            assert await problem(login_user(world, nik, "TEBAKAN")) == REFUSED
        assert await problem(login_user(world, nik)) == THROTTLED
    await login_user(world, other)
    clock.move(datetime.timedelta(seconds=1.1))
    await login_user(world, known)
    assert world.sql("SELECT failures FROM login_attempts") == [(5,)]


async def _seconds(call: Callable[[], Awaitable[Any]]) -> float:
    # Of the processor: the service works in this process, and a busy machine counts for nothing.
    begin = time.process_time()
    await failure(call())
    return time.process_time() - begin


async def _ratio(
    turn: int, first: Callable[[], Awaitable[Any]], second: Callable[[], Awaitable[Any]]
) -> float:
    """How many times as long as the second the first one takes; the turn says which goes first."""
    if turn % 2:
        return await _seconds(first) / await _seconds(second)
    after = await _seconds(second)
    return await _seconds(first) / after


async def test_failed_patient_logins_take_the_same_time(world: World) -> None:
    ratios: list[float] = []
    for _ in range(ROUNDS):
        niks = [new_nik() for _ in range(60)]
        await asyncio.gather(*(world.ensure(nik) for nik in niks))
        for turn, nik in enumerate(niks):
            wrong = partial(login_user, world, nik, "BUDI SANTOSO")
            unknown = partial(login_user, world, new_nik(), "BUDI SANTOSO")
            ratios.append(await _ratio(turn, wrong, unknown))
        if alike(ratios):
            return
    pytest.fail(f"a wrong name takes {statistics.median(ratios):.2f} times as long")


async def test_failed_staff_logins_take_the_same_time(world: World, mesh: Mesh) -> None:
    slower = world.settings.model_copy(update={"bcrypt_cost": 10})
    async with mesh.serve(slower, build), mesh.channel("user_svc") as edge:
        stub = AuthServiceStub(edge)

        def login(email: str) -> Awaitable[Any]:
            return stub.LoginAdmin(logins.LoginAdminRequest(email=email, password="wrong"))

        ratios: list[float] = []
        for turn in range(12 * ROUNDS):
            request = messages.CreateUserRequest(
                nama="Budi",
                role=Role.ROLE_ADMIN_FASKES,
                email=new_email(),
                password=PASSWORD,
            )
            await UserServiceStub(edge).CreateUser(request, metadata=world.network_admin)
            known = partial(login, request.email)
            ratios.append(await _ratio(turn, known, partial(login, new_email())))
            if turn % 12 == 11 and alike(ratios):
                return
        pytest.fail(f"a wrong password takes {statistics.median(ratios):.2f} times as long")


async def test_the_throttle_protects_when_the_database_is_gone(world: World) -> None:
    made = await world.create()
    world.sql("DROP TABLE login_attempts")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.login(made.email)
    assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)
