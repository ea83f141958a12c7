"""ChangePassword and ResetPassword, through a running service."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import uuid4

import grpc
import pyotp
import pytest
from google.protobuf.empty_pb2 import Empty
from mediq.policy.v1.policy_pb2 import Role
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1 import user_service_pb2 as users
from sqlalchemy.orm import Session

from mesh.clock import utc_now
from mesh.contract.call import current_call
from mesh.contract.status import from_rpc_error
from mesh.persistence.database import Database
from tests.support.audit import CHANGE, REFUSED
from tests.support.mesh import problem
from tests.support.waiting import PATIENCE_SECONDS
from tests.user_svc.conftest import (
    PASSWORD,
    Metadata,
    World,
    bearer,
    new_email,
    new_nik,
    retry_seconds,
)
from tests.user_svc.recorded import events_of
from user_svc.application.password_hashing import Passwords
from user_svc.domain import totp
from user_svc.persistence.models import Base

Result = TypeVar("Result")
ADMIN, OPERATOR = Role.ROLE_ADMIN_FASKES, Role.ROLE_OPERATOR
STEP = datetime.timedelta(seconds=totp.STEP_SECONDS)
NEW = "kuda-biru-lari-sore"
WRONG = "wrong-but-long-enough"
INVALID = ("UNAUTHENTICATED", "INVALID_CREDENTIALS")
ENDED = ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
THROTTLED = ("RESOURCE_EXHAUSTED", "LOGIN_THROTTLED")
UNKNOWN = ("NOT_FOUND", "USER_NOT_FOUND")


async def change(
    world: World, email: str, new: str = NEW, password: str = PASSWORD, **codes: str
) -> Empty:
    request = logins.ChangePasswordRequest(
        email=email, password=password, new_password=new, **codes
    )
    return await world.auth.ChangePassword(request)


async def reset(world: World, user_id: str, metadata: Metadata = ()) -> str:
    request = users.ResetPasswordRequest(id=user_id)
    answer = await world.users.ResetPassword(request, metadata=metadata or world.network_admin)
    return answer.password


async def sign_in(world: World, email: str, password: str, **codes: str) -> logins.TokenPair:
    request = logins.LoginAdminRequest(email=email, password=password, **codes)
    return await world.auth.LoginAdmin(request)


async def protect(world: World, email: str) -> tuple[pyotp.TOTP, list[str]]:
    """Protects a login with one-time codes; gives the authenticator and the recovery codes."""
    begun = await world.auth.BeginTotpEnrolment(
        logins.BeginTotpEnrolmentRequest(email=email, password=PASSWORD)
    )
    authenticator = pyotp.TOTP(begun.secret)
    confirmed = await world.auth.ConfirmTotpEnrolment(
        logins.ConfirmTotpEnrolmentRequest(
            email=email, password=PASSWORD, totp_code=authenticator.at(utc_now())
        )
    )
    world.sql("DELETE FROM login_attempts")
    return authenticator, list(confirmed.codes)


def failures(world: World) -> list[int]:
    """Failed tries that the throttle counts."""
    return [count for (count,) in world.sql("SELECT failures FROM login_attempts")]


def ends(world: World, user_id: str) -> list[str | None]:
    """Why each session of an account ended."""
    found = world.sql("SELECT end_reason FROM sessions WHERE user_id = :id", id=user_id)
    return [why for (why,) in found]


async def failure(call: Awaitable[object]) -> tuple[object, ...]:
    """All that a caller sees of an error, but for the trace that each call has of its own."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    return error.code(), error.details(), repr(from_rpc_error(error))


async def patient_change(world: World, email: str) -> None:
    """Changes a password, when others try the same login at the same moment too."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await change(world, email)
                return
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                await asyncio.sleep(retry_seconds(error))


class TestChange:
    async def test_the_new_one_signs_in_and_all_sessions_end(self, world: World) -> None:
        made, other = await world.create(), await world.create()
        pairs = [await world.login(made.email) for _ in range(2)]
        stays = await world.login(other.email)
        await change(world, made.email.upper())
        assert ends(world, made.id) == ["PASSWORD_CHANGED"] * 2
        for pair in pairs:
            assert await problem(world.refresh(pair.refresh_token)) == ENDED
        assert await problem(world.login(made.email)) == INVALID
        assert (await world.login(made.email, NEW)).user.id == made.id
        await world.refresh(stays.refresh_token)
        await world.login(other.email)

    async def test_wrong_credentials_are_told_what_a_login_is_told(self, world: World) -> None:
        made, closed = await world.create(), await world.create()
        patient = (await world.ensure(new_nik())).user
        await world.users.DeleteUser(
            users.DeleteUserRequest(id=closed.id), metadata=world.network_admin
        )
        errors = [
            await failure(call)
            for call in (
                world.login(made.email, WRONG),
                change(world, made.email, password=WRONG),
                change(world, made.email, password=f"{PASSWORD} "),
                change(world, new_email()),
                change(world, closed.email),
                change(world, f"{patient.id}@contoh.example"),
            )
        ]
        assert errors[0][:2] == (
            grpc.StatusCode.UNAUTHENTICATED,
            "these credentials are not valid",
        )
        assert len(set(errors)) == 1
        await world.login(made.email)

    async def test_each_failed_try_does_the_same_work(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done: list[str] = []
        matches, hashes, write = Passwords.matches, Passwords.hash, Database.write

        async def counted_matches(self: Passwords, password: str, stored: str | None) -> bool:
            done.append("check")
            return await matches(self, password, stored)

        async def counted_hash(self: Passwords, password: str) -> str:
            done.append("hash")
            return await hashes(self, password)

        async def counted_write(self: Database, work: Callable[[Session], Result]) -> Result:
            if current_call() is not None:  # Not those in the background.
                done.append("transaction")
            return await write(self, work)

        made = await world.create()
        authenticator, _ = await protect(world, made.email)
        near = {authenticator.at(utc_now() + step * STEP) for step in range(-3, 4)}
        code = next(one for one in (f"{n:06d}" for n in range(10)) if one not in near)
        monkeypatch.setattr(Passwords, "matches", counted_matches)
        monkeypatch.setattr(Passwords, "hash", counted_hash)
        monkeypatch.setattr(Database, "write", counted_write)
        for call in (
            change(world, made.email, totp_code=code),
            change(world, made.email, password=WRONG, totp_code=code),
            change(world, new_email(), totp_code=code),
        ):
            done.clear()
            assert await problem(call) == INVALID
            assert done == ["transaction", "check", "hash", "transaction"]

    @pytest.mark.usefixtures("clock")
    async def test_guesses_are_throttled_with_those_of_logins(self, world: World) -> None:
        known, unknown = (await world.create()).email, new_email()
        for email in (known, unknown):
            tries: list[Awaitable[object]] = [world.login(email, WRONG) for _ in range(2)]
            tries += [change(world, email, password=WRONG) for _ in range(3)]
            for call in tries:
                assert await problem(call) == INVALID
            assert await problem(change(world, email, password=WRONG)) == THROTTLED
            assert await problem(change(world, email)) == THROTTLED
            assert await problem(world.login(email)) == THROTTLED

    async def test_a_change_clears_the_count(self, world: World) -> None:
        made = await world.create()
        for _ in range(4):
            assert await problem(change(world, made.email, password=WRONG)) == INVALID
        assert failures(world) == [4]
        await change(world, made.email)
        assert failures(world) == []

    async def test_a_protected_login_needs_a_code(self, world: World) -> None:
        made = await world.create()
        authenticator, codes = await protect(world, made.email)
        pair = await sign_in(world, made.email, PASSWORD, recovery_code=codes[0])
        assert await problem(change(world, made.email)) == ("UNAUTHENTICATED", "TOTP_REQUIRED")
        used = change(world, made.email, recovery_code=codes[0])
        assert await problem(used) == INVALID
        # What was refused has changed nothing.
        pair = await world.refresh(pair.refresh_token)
        await sign_in(world, made.email, PASSWORD, recovery_code=codes[1])
        await change(world, made.email, totp_code=authenticator.at(utc_now() + STEP))
        assert await problem(world.refresh(pair.refresh_token)) == ENDED
        again = await sign_in(world, made.email, NEW, recovery_code=codes[2])
        assert again.user.id == made.id
        await change(world, made.email, PASSWORD, NEW, recovery_code=codes[3])
        await sign_in(world, made.email, PASSWORD, recovery_code=codes[4])

    @pytest.mark.parametrize(
        ("new", "reason"),
        [
            ("", "INVALID_REQUEST"),
            ("too-short", "INVALID_REQUEST"),
            ("x" * 129, "INVALID_REQUEST"),
            ("qwertyuiopasdfgh", "PASSWORD_COMMON"),
            (PASSWORD, "PASSWORD_UNCHANGED"),
        ],
    )
    async def test_bad_new_passwords(self, world: World, new: str, reason: str) -> None:
        made = await world.create()
        pair = await world.login(made.email)
        assert await problem(change(world, made.email, new)) == ("INVALID_ARGUMENT", reason)
        assert failures(world) == []
        await world.refresh(pair.refresh_token)

    async def test_of_two_changes_at_once_one_counts(self, world: World) -> None:
        made = await world.create()
        wanted = [f"sandi-nomor-{number}-baru" for number in range(4)]
        found = await asyncio.gather(
            *(change(world, made.email, new) for new in wanted), return_exceptions=True
        )
        (won,) = [new for new, one in zip(wanted, found, strict=True) if isinstance(one, Empty)]
        await world.login(made.email, won)

    async def test_no_login_with_the_old_one_outlives_a_change(self, world: World) -> None:
        for _ in range(3):
            made = await world.create()
            others = asyncio.gather(
                *(world.login(made.email) for _ in range(4)), return_exceptions=True
            )
            await patient_change(world, made.email)
            await others
            assert await problem(world.login(made.email)) == INVALID
            assert None not in ends(world, made.id)

    async def test_it_is_in_the_trail(self, world: World) -> None:
        made = await world.create()
        await problem(change(world, made.email, password=WRONG))
        await change(world, made.email)
        refused, done = await events_of(world, "ChangePassword", 2)
        assert (refused.act, refused.refusal) == (REFUSED, "INVALID_CREDENTIALS")
        assert done.act == CHANGE
        for event in (refused, done):
            assert (event.actor.id, list(event.person_ids)) == (made.id, [made.id])
            assert event.institution_id == made.institution_id


class TestReset:
    async def test_administrators_of_facility_and_network(self, world: World) -> None:
        facility = str(uuid4())
        own = world.mesh.token(ADMIN, institution_id=facility)
        for metadata in (own, world.network_admin):
            for role in (OPERATOR, ADMIN):
                made = await world.create(role, institution_id=facility)
                pair = await world.login(made.email)
                password = await reset(world, made.id.upper(), metadata)
                assert len(password) == 24
                assert ends(world, made.id) == ["PASSWORD_RESET"]
                assert await problem(world.refresh(pair.refresh_token)) == ENDED
                assert await problem(world.login(made.email)) == INVALID
                assert (await world.login(made.email, password)).user.id == made.id

    async def test_each_is_another_one_and_none_is_kept(self, world: World) -> None:
        made = await world.create()
        kept = world.sql("SELECT COUNT(*) FROM idempotency")
        first, second = [await reset(world, made.id) for _ in range(2)]
        assert first != second
        assert await problem(world.login(made.email, first)) == INVALID
        await world.login(made.email, second)
        assert world.sql("SELECT COUNT(*) FROM idempotency") == kept
        dump = b"\n".join(
            value if isinstance(value, bytes) else str(value).encode()
            for table in Base.metadata.tables
            for row in world.sql(f"SELECT * FROM {table}")
            for value in row
        )
        assert made.id.encode() in dump
        assert second.encode() not in dump

    async def test_the_second_factor_stays(self, world: World) -> None:
        made = await world.create()
        _, codes = await protect(world, made.email)
        password = await reset(world, made.id)
        refused = world.login(made.email, password)
        assert await problem(refused) == ("UNAUTHENTICATED", "TOTP_REQUIRED")
        await sign_in(world, made.email, password, recovery_code=codes[0])

    async def test_the_owner_changes_it_then(self, world: World) -> None:
        made = await world.create()
        password = await reset(world, made.id)
        await change(world, made.email, NEW, password)
        await world.login(made.email, NEW)

    async def test_others_are_out_of_reach(self, world: World) -> None:
        facility = str(uuid4())
        made = await world.create(institution_id=facility)
        network = await world.create(ADMIN, institution_id="")
        patient = (await world.ensure(new_nik(), institution_id=facility)).user
        pair = await world.login(made.email)
        own = world.mesh.token(ADMIN, institution_id=facility)
        stranger = world.mesh.token(ADMIN, institution_id=str(uuid4()))
        for user, metadata in ((made, stranger), (network, own), (patient, own)):
            assert await problem(reset(world, user.id, metadata)) == UNKNOWN
        assert await problem(reset(world, str(uuid4()), own)) == UNKNOWN
        not_staff = reset(world, patient.id)
        assert await problem(not_staff) == ("FAILED_PRECONDITION", "NOT_STAFF")
        operator = world.mesh.token(OPERATOR, institution_id=facility)
        for metadata in (operator, bearer(pair.access_token)):
            denied = reset(world, made.id, metadata)
            assert await problem(denied) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
        await world.refresh(pair.refresh_token)
        await world.login(made.email)

    async def test_who_may_not_reset_costs_no_hash(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refuse(*_: object) -> str:
            raise AssertionError

        monkeypatch.setattr(Passwords, "hash", refuse)
        assert await problem(reset(world, str(uuid4()))) == UNKNOWN

    async def test_a_stolen_token_does_not_change_its_own_password(self, world: World) -> None:
        made = await world.create(ADMIN)
        pair = await world.login(made.email)
        call = reset(world, made.id, bearer(pair.access_token))
        assert await problem(call) == ("FAILED_PRECONDITION", "OWN_ACCOUNT")
        await world.login(made.email)

    async def test_a_closed_account(self, world: World) -> None:
        made = await world.create()
        await world.users.DeleteUser(
            users.DeleteUserRequest(id=made.id), metadata=world.network_admin
        )
        assert await problem(reset(world, made.id)) == UNKNOWN

    async def test_it_is_in_the_trail(self, world: World) -> None:
        made = await world.create()
        password = await reset(world, made.id)
        (event,) = await events_of(world, "ResetPassword")
        assert (event.act, list(event.person_ids)) == (CHANGE, [made.id])
        assert event.actor.role == ADMIN
        assert password not in str(event)
