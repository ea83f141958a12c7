"""Scoped sessions end when NIK or name are corrected: somebody else may have opened them."""

from __future__ import annotations

import asyncio
import datetime

import grpc
import pytest
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1 import user_service_pb2 as users

from mesh.clock import utc_now
from mesh.contract.status import from_rpc_error
from mesh.persistence.database import Database
from tests.support.waiting import eventually
from tests.user_svc.conftest import NAME, World, bearer, new_nik
from tests.user_svc.counter import Counter
from user_svc.persistence.logins import ended_sessions

REVOKED = ("UNAUTHENTICATED", "TOKEN_REVOKED")
DENIED = ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
SECOND = datetime.timedelta(seconds=1)


@pytest.fixture
def counter(world: World) -> Counter:
    return Counter(world)


async def answer(world: World, opened: logins.NarrowSession) -> tuple[str, str]:
    """What a session is answered that asks for the profile."""
    call = world.users.GetProfile(users.GetProfileRequest(), metadata=bearer(opened.access_token))
    try:
        await call
    except grpc.aio.AioRpcError as error:
        found = from_rpc_error(error)
        return found.kind.value, found.reason
    return "OK", ""


async def refused(world: World, opened: logins.NarrowSession) -> bool:
    """Whether the session is refused after a while."""

    async def now() -> bool:
        return await answer(world, opened) == REVOKED

    return await eventually(now)


async def test_old_sessions_end_and_new_ones_are_good(counter: Counter) -> None:
    nik, world = new_nik(), counter.world
    patient = await counter.patient(nik)
    before = [
        await counter.tickets_session(patient.id),
        await counter.open_rights(patient.id),
        await world.auth.LoginUser(logins.LoginUserRequest(nik=nik, name=NAME)),
    ]
    await counter.correct(patient.id, nama="SITI RAHAYU")
    rights = await counter.open_rights(patient.id)
    login = await world.auth.LoginUser(logins.LoginUserRequest(nik=nik, name="SITI RAHAYU"))
    for one in before:
        assert await refused(world, one)
    assert await answer(world, rights) == DENIED
    assert await answer(world, login) == ("OK", "")


async def test_a_new_nik_ends_them_too(counter: Counter) -> None:
    patient, other = await counter.patient(), await counter.patient()
    session, others = [await counter.tickets_session(one.id) for one in (patient, other)]
    await counter.correct(patient.id, nik=new_nik())
    assert await refused(counter.world, session)
    assert await answer(counter.world, others) == ("OK", "")


@pytest.mark.parametrize(
    "changes",
    [{"alamat": "JL. KENANGA 1", "tanggal_lahir": "16-08-1990"}, {"nama": NAME.title()}],
)
async def test_other_corrections_end_nothing(counter: Counter, changes: dict[str, str]) -> None:
    patient = await counter.patient()
    corrected = await counter.correct(patient.id, **changes)
    assert corrected.update_time != patient.update_time
    assert counter.world.sql("SELECT identity_time FROM users") == [(None,)]


async def test_a_login_at_the_same_moment_does_not_survive(counter: Counter) -> None:
    opened = []
    for _ in range(5):
        nik = new_nik()
        patient = await counter.patient(nik)
        login, corrected = await asyncio.gather(
            counter.world.auth.LoginUser(logins.LoginUserRequest(nik=nik, name=NAME)),
            counter.correct(patient.id, nama="SITI RAHAYU"),
            return_exceptions=True,
        )
        assert not isinstance(corrected, BaseException)
        if isinstance(login, logins.NarrowSession):
            opened.append(login)
    assert opened, "no login was under way"
    for one in opened:
        assert await refused(counter.world, one)


async def test_what_is_told_and_until_when(counter: Counter) -> None:
    patient = await counter.patient()
    start = utc_now()
    await counter.correct(patient.id, nama="SITI RAHAYU")
    database = Database(counter.world.settings.database, 1)
    (revocation,) = await database.read(
        lambda session: ended_sessions.ended_since(session, start - SECOND, utc_now())
    )
    assert revocation.subject == patient.id
    assert SECOND.total_seconds() <= revocation.issued_before - start.timestamp() <= 3
    assert (
        revocation.ends - revocation.issued_before
        == (ended_sessions.TOKEN_LIFE + ended_sessions.LEEWAY).total_seconds()
    )
    later = utc_now() + SECOND
    assert not await database.read(
        lambda session: ended_sessions.ended_since(session, later, later)
    )
    await database.close()


@pytest.mark.parametrize("microsecond", [0, 1, 300_000, 999_999])
def test_tokens_are_good_from_the_beginning_of_a_second(microsecond: int) -> None:
    corrected = datetime.datetime(2026, 3, 1, 8, 0, 10, microsecond, tzinfo=datetime.UTC)
    good = ended_sessions.good_from(corrected)
    assert good.microsecond == 0
    assert SECOND <= good - corrected <= 2 * SECOND
