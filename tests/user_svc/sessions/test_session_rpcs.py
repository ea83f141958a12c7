"""ListSessions and EndSession, and ends that count in every other service."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from mediq.institution.v1 import institution_service_pb2 as facilities
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceStub
from mediq.policy.v1.policy_pb2 import Role
from mediq.queue.v1 import ticket_service_pb2 as tickets
from mediq.queue.v1.ticket_service_pb2_grpc import TicketServiceStub
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1 import user_service_pb2 as users

import institution_svc.__main__
import queue_svc.__main__
from institution_svc.settings import InstitutionSettings
from mesh.clock import utc_now
from mesh.identity.revocations import FileRevocations
from mesh.identity.tokens import TokenVerifier
from mesh.persistence.database import Database
from queue_svc.settings import QueueSettings
from tests.support.backends.databases import migrated_sqlite
from tests.support.mesh import Mesh, problem
from tests.support.waiting import eventually
from tests.user_svc.conftest import PASSWORD, Metadata, World, bearer, new_nik
from tests.user_svc.counter import Counter
from user_svc.application.logins.revocation_publisher import RevocationPublisher
from user_svc.cli import administration

ADMIN, OPERATOR = Role.ROLE_ADMIN_FASKES, Role.ROLE_OPERATOR
UNKNOWN = ("NOT_FOUND", "SESSION_NOT_FOUND")
REVOKED = ("UNAUTHENTICATED", "TOKEN_REVOKED")


async def listed(
    world: World, metadata: Metadata, user_id: str = "", size: int = 0, token: str = ""
) -> logins.ListSessionsResponse:
    request = logins.ListSessionsRequest(user_id=user_id, page_size=size, page_token=token)
    return await world.auth.ListSessions(request, metadata=metadata)


async def end(world: World, session_id: str, metadata: Metadata, request_id: str = "") -> None:
    request = logins.EndSessionRequest(id=session_id, request_id=request_id)
    await world.auth.EndSession(request, metadata=metadata)


def session_of(world: World, pair: logins.TokenPair) -> str:
    verifier = TokenVerifier(world.settings.keys / "jwks.json")
    return verifier.verify(pair.access_token).session_id


class TestList:
    async def test_own_sessions(self, world: World) -> None:
        made = await world.create()
        await world.login((await world.create()).email)
        first, second = await world.login(made.email), await world.login(made.email)
        found = (await listed(world, bearer(first.access_token))).sessions
        assert [one.id for one in found] == [session_of(world, second), session_of(world, first)]
        assert [one.current for one in found] == [False, True]
        assert {one.user_id for one in found} == {made.id}
        assert found[1].expire_time == first.session_expire_time
        assert found[1].use_time == found[1].create_time
        assert abs(found[1].create_time.seconds - time.time()) < 600
        named = await listed(world, bearer(first.access_token), made.id.upper())
        assert list(named.sessions) == list(found)

    async def test_use_is_the_last_renewal(self, world: World) -> None:
        pair = await world.login((await world.create()).email)
        times = []
        for _ in range(2):
            pair = await world.refresh(pair.refresh_token)
            (found,) = (await listed(world, bearer(pair.access_token))).sessions
            times.append(found.use_time.ToDatetime())
        assert found.create_time.ToDatetime() < times[0] < times[1]

    async def test_sessions_that_are_over_do_not_show(self, world: World) -> None:
        made = await world.create()
        await world.login(made.email)
        world.age("sessions", "expire_time", datetime.timedelta(hours=13))
        gone, pair = await world.login(made.email), await world.login(made.email)
        await world.auth.Logout(logins.LogoutRequest(refresh_token=gone.refresh_token))
        (found,) = (await listed(world, bearer(pair.access_token))).sessions
        assert found.current

    async def test_pages(self, world: World) -> None:
        made = await world.create()
        pairs = [await world.login(made.email) for _ in range(5)]
        metadata, token, found = bearer(pairs[0].access_token), "", []
        sizes = []
        while True:
            page = await listed(world, metadata, size=2, token=token)
            found += [one.id for one in page.sessions]
            sizes.append(len(page.sessions))
            token = page.next_page_token
            if not token:
                break
        assert sizes == [2, 2, 1]
        assert found == [session_of(world, pair) for pair in reversed(pairs)]

    async def test_bad_requests(self, world: World) -> None:
        admin = world.network_admin
        for token in ("###", "eA"):
            call = listed(world, admin, token=token)
            assert await problem(call) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
        for call in (listed(world, admin, "x"), listed(world, admin, size=201)):
            assert await problem(call) == ("INVALID_ARGUMENT", "INVALID_REQUEST")

    async def test_administrators_see_those_they_administer(self, world: World) -> None:
        facility = str(uuid4())
        made = await world.create(institution_id=facility)
        pair = await world.login(made.email)
        stranger = await world.login((await world.create()).email)
        own = world.mesh.token(ADMIN, institution_id=facility)
        for caller in (own, world.network_admin):
            (found,) = (await listed(world, caller, made.id)).sessions
            assert (found.id, found.current) == (session_of(world, pair), False)
        # A network administrator of these tests has no sessions and no row.
        assert not (await listed(world, world.network_admin)).sessions
        patient = (await world.ensure(new_nik())).user
        assert not (await listed(world, world.network_admin, patient.id)).sessions
        missing = ("NOT_FOUND", "USER_NOT_FOUND")
        others = world.mesh.token(ADMIN, institution_id=str(uuid4()))
        operator = world.mesh.token(OPERATOR, institution_id=facility)
        for metadata in (others, operator, bearer(stranger.access_token)):
            assert await problem(listed(world, metadata, made.id)) == missing
        assert await problem(listed(world, own, patient.id)) == missing
        assert await problem(listed(world, own, str(uuid4()))) == missing


class TestEnd:
    async def test_one_session_ends(self, world: World) -> None:
        made = await world.create()
        first, second = await world.login(made.email), await world.login(made.email)
        await end(world, session_of(world, first).upper(), bearer(second.access_token))
        assert await problem(world.refresh(first.refresh_token)) == (
            "UNAUTHENTICATED",
            "REFRESH_TOKEN_INVALID",
        )
        await world.refresh(second.refresh_token)
        ends = world.sql("SELECT end_reason FROM sessions WHERE end_time IS NOT NULL")
        assert ends == [("END_SESSION",)]

    async def test_it_can_be_said_again(self, world: World) -> None:
        made = await world.create()
        pair, other = await world.login(made.email), await world.login(made.email)
        session_id, key = session_of(world, other), str(uuid4())
        for request_id in (key, key, "", str(uuid4())):
            await end(world, session_id, bearer(pair.access_token), request_id)
        call = end(world, session_of(world, pair), bearer(pair.access_token), key)
        assert await problem(call) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")

    async def test_unknown_and_foreign_sessions_are_the_same(self, world: World) -> None:
        facility = str(uuid4())
        made = await world.create(institution_id=facility)
        pair = await world.login(made.email)
        session_id = session_of(world, pair)
        stranger = await world.login((await world.create(institution_id=facility)).email)
        for metadata in (
            bearer(stranger.access_token),
            world.mesh.token(ADMIN, institution_id=str(uuid4())),
        ):
            assert await problem(end(world, session_id, metadata)) == UNKNOWN
        for metadata in (bearer(pair.access_token), world.network_admin):
            assert await problem(end(world, str(uuid4()), metadata)) == UNKNOWN
        assert await problem(end(world, "x", world.network_admin)) == (
            "INVALID_ARGUMENT",
            "INVALID_REQUEST",
        )
        await world.refresh(pair.refresh_token)
        await end(world, session_id, world.mesh.token(ADMIN, institution_id=facility))

    async def test_sessions_of_a_closed_account(self, world: World) -> None:
        pair = await world.login((await world.create()).email)
        await world.users.DeleteUser(
            users.DeleteUserRequest(id=pair.user.id), metadata=world.network_admin
        )
        assert await problem(end(world, session_of(world, pair), world.network_admin)) == UNKNOWN


class Others:
    """Two other services of the mesh."""

    def __init__(self, mesh: Mesh, stack: AsyncExitStack) -> None:
        self._mesh, self._stack = mesh, stack

    async def start(self, folder: Path) -> None:
        """Starts them on the same data folder."""
        queue = QueueSettings(
            home=self._mesh.home,
            port=0,
            database_url=migrated_sqlite("queue_svc", folder / "queue.db"),
            migrate_at_start=False,
            drain_seconds=0.2,
        )
        institutions = InstitutionSettings(
            home=self._mesh.home,
            port=0,
            database_url=migrated_sqlite("institution_svc", folder / "institution.db"),
            migrate_at_start=False,
            drain_seconds=0.2,
        )
        enter, mesh = self._stack.enter_async_context, self._mesh
        await enter(mesh.serve(queue, queue_svc.__main__.build))
        await enter(mesh.serve(institutions, institution_svc.__main__.build))
        self._queue = TicketServiceStub(await enter(mesh.channel("queue_svc")))
        self._facilities = InstitutionServiceStub(await enter(mesh.channel("institution_svc")))

    async def answers(self, token: str) -> set[tuple[str, str]]:
        """What each of them says to this token."""
        calls: list[Awaitable[object]] = [
            self._queue.GetTicket(
                tickets.GetTicketRequest(id=str(uuid4())), metadata=bearer(token)
            ),
            self._facilities.DeleteInstitution(
                facilities.DeleteInstitutionRequest(id=str(uuid4())), metadata=bearer(token)
            ),
        ]
        return set(await asyncio.gather(*(problem(call) for call in calls)))

    async def refuse(self, token: str) -> bool:
        """Whether all of them refuse the token after a while."""

        async def now() -> bool:
            return await self.answers(token) == {REVOKED}

        return await eventually(now)


@pytest.fixture
async def others(mesh: Mesh, tmp_path: Path) -> AsyncIterator[Others]:
    async with AsyncExitStack() as stack:
        made = Others(mesh, stack)
        await made.start(tmp_path)
        yield made


async def _logout(world: World, pair: logins.TokenPair) -> None:
    await world.auth.Logout(logins.LogoutRequest(refresh_token=pair.refresh_token))


async def _end_session(world: World, pair: logins.TokenPair) -> None:
    await end(world, session_of(world, pair), world.network_admin)


async def _reuse(world: World, pair: logins.TokenPair) -> None:
    await world.refresh(pair.refresh_token)
    world.age_out_grace()
    await problem(world.refresh(pair.refresh_token))


async def _role_change(world: World, pair: logins.TokenPair) -> None:
    await world.users.UpdateUserRole(
        users.UpdateUserRoleRequest(id=pair.user.id, role=ADMIN), metadata=world.network_admin
    )


async def _closing(world: World, pair: logins.TokenPair) -> None:
    await world.users.DeleteUser(
        users.DeleteUserRequest(id=pair.user.id), metadata=world.network_admin
    )


async def _password_change(world: World, pair: logins.TokenPair) -> None:
    request = logins.ChangePasswordRequest(
        email=pair.user.email, password=PASSWORD, new_password=PASSWORD[::-1]
    )
    await world.auth.ChangePassword(request)


async def _password_reset(world: World, pair: logins.TokenPair) -> None:
    await world.users.ResetPassword(
        users.ResetPasswordRequest(id=pair.user.id), metadata=world.network_admin
    )


async def _reset_command(world: World, pair: logins.TokenPair) -> None:
    await administration.reset_password(world.settings, pair.user.email, PASSWORD[::-1])


async def _end_command(world: World, pair: logins.TokenPair) -> None:
    await administration.end_sessions(world.settings, pair.user.email)


async def _end_all_command(world: World, pair: logins.TokenPair) -> None:
    assert await administration.end_all_sessions(world.settings) == 1


ONE = (_logout, _end_session, _reuse)
"""Ways in which one session ends."""
ALL = (
    *(_role_change, _closing, _password_change, _password_reset),
    *(_reset_command, _end_command, _end_all_command),
)
"""Ways in which every session of an account ends."""


class TestEverywhere:
    @pytest.mark.parametrize("way", [*ONE, *ALL])
    async def test_a_token_is_refused_by_other_services(
        self,
        world: World,
        others: Others,
        way: Callable[[World, logins.TokenPair], Awaitable[None]],
    ) -> None:
        made = await world.create()
        pair, other = await world.login(made.email), await world.login(made.email)
        for one in (pair, other):
            # Known to each of them, and remembered by their verifiers.
            assert REVOKED not in await others.answers(one.access_token)
        await way(world, pair)
        assert await others.refuse(pair.access_token)
        if way in ALL:
            assert await others.refuse(other.access_token)
        else:
            assert REVOKED not in await others.answers(other.access_token)
        call = world.users.GetProfile(users.GetProfileRequest(), metadata=bearer(pair.access_token))
        assert await problem(call) == REVOKED

    async def test_a_new_login_after_a_role_change_is_good(
        self, world: World, others: Others
    ) -> None:
        pair = await world.login((await world.create()).email)
        await _role_change(world, pair)
        again = await world.login(pair.user.email)
        assert await others.refuse(pair.access_token)
        assert REVOKED not in await others.answers(again.access_token)

    @pytest.mark.parametrize("way", ["closed", "retained", "erased"])
    async def test_a_closed_patient_is_refused(
        self, world: World, others: Others, way: str
    ) -> None:
        counter = Counter(world)
        patient = await counter.patient()
        issued = [
            await counter.tickets_session(patient.id),
            await counter.open_rights(patient.id),
        ]
        for one in issued:
            assert REVOKED not in await others.answers(one.access_token)
        if way == "closed":
            await world.users.DeleteUser(
                users.DeleteUserRequest(id=patient.id), metadata=world.network_admin
            )
        else:
            await counter.erase(patient.id, retained=way == "retained")
        for one in issued:
            assert await others.refuse(one.access_token)

    async def test_what_ended_before_a_start_is_published_after_it(
        self, world: World, tmp_path: Path
    ) -> None:
        """A service that stops after the commit publishes when it starts again."""
        pair = await world.login((await world.create()).email)
        await _logout(world, pair)
        principal = TokenVerifier(world.settings.keys / "jwks.json").verify(pair.access_token)
        database, published = (
            Database(world.settings.database, 1),
            FileRevocations(tmp_path, utc_now),
        )
        publishing = asyncio.create_task(RevocationPublisher(database, published, utc_now).run())
        await eventually(lambda: published.revoked(principal))
        publishing.cancel()
        await database.close()
