"""Logins with one-time codes, through a running service."""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import grpc
import pyotp
import pytest
from mediq.audit.v1.audit_pb2 import AuditEvent
from mediq.policy.v1.policy_pb2 import Role
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1 import user_service_pb2 as messages
from mediq.user.v1.auth_service_pb2_grpc import AuthServiceStub
from sqlalchemy.orm import Session

from mesh.audit_trail.recorder import AuditRecorder
from mesh.contract.call import current_call
from mesh.contract.status import from_rpc_error
from mesh.persistence.database import Database
from tests.support.mesh import Mesh, problem
from tests.user_svc.conftest import Clock, World, new_email
from tests.user_svc.staff import STEP, Staff, hire
from user_svc.application.password_hashing import Passwords
from user_svc.domain import totp
from user_svc.persistence.models import Base
from user_svc.settings import UserSettings

Result = TypeVar("Result")
REFUSED = ("UNAUTHENTICATED", "INVALID_CREDENTIALS")
REQUIRED = ("UNAUTHENTICATED", "TOTP_REQUIRED")
THROTTLED = ("RESOURCE_EXHAUSTED", "LOGIN_THROTTLED")
NOT_OPEN = ("FAILED_PRECONDITION", "TOTP_ENROLMENT_NOT_OPEN")
ENROL_FIRST = ("FAILED_PRECONDITION", "TOTP_ENROLMENT_REQUIRED")
WRONG_PASSWORD = "wrong-but-long-enough"


@pytest.fixture
async def staff(world: World, clock: Clock) -> Staff:
    return await hire(world, clock)


@pytest.fixture
async def strict(world: World, mesh: Mesh, clock: Clock) -> AsyncIterator[World]:
    """The same world, whose administrators need one-time codes."""
    settings = world.settings.model_copy(update={"require_admin_totp": True})
    async with mesh.serve(settings, clock.build), mesh.channel("user_svc") as edge:
        world.auth = AuthServiceStub(edge)
        yield world


async def failure(call: Awaitable[object]) -> tuple[object, ...]:
    """All that a caller sees of an error, but for the trace that each call has of its own."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    return error.code(), error.details(), repr(from_rpc_error(error))


async def test_enrolment_from_secret_to_login(staff: Staff) -> None:
    shown = await staff.begin()
    staff.secret = shown.secret
    assert len(base64.b32decode(shown.secret)) == 20
    read = pyotp.parse_uri(shown.key_uri)
    assert isinstance(read, pyotp.TOTP)
    assert (read.secret, read.issuer, read.name) == (shown.secret, "MediQ", staff.email)
    assert shown.qr_svg == totp.qr_svg(shown.key_uri)
    end = staff.clock.now + datetime.timedelta(minutes=10)
    assert shown.expire_time.ToDatetime(datetime.UTC) == end
    await staff.login()
    codes = (await staff.confirm(staff.code())).codes
    assert len(set(codes)) == 10
    assert await problem(staff.login()) == REQUIRED
    assert await problem(staff.login(staff.code())) == REFUSED
    assert (await staff.login(staff.code(1))).user.id == staff.user_id
    assert await problem(staff.login(staff.code(1))) == REFUSED


async def test_an_enrolment_with_a_wrong_code_changes_nothing(staff: Staff) -> None:
    assert await problem(staff.confirm("123456")) == NOT_OPEN
    staff.secret = (await staff.begin()).secret
    assert await problem(staff.confirm(staff.wrong_code())) == REFUSED
    assert await problem(staff.confirm(staff.code(), WRONG_PASSWORD)) == REFUSED
    await staff.login()
    await staff.confirm(staff.code())


async def test_an_enrolment_that_waits_too_long_is_over(staff: Staff) -> None:
    staff.secret = (await staff.begin()).secret
    staff.clock.move(datetime.timedelta(minutes=10))
    assert await problem(staff.confirm(staff.code())) == NOT_OPEN
    await staff.login()


@pytest.mark.parametrize("typed", ["12345", "1234567", "12345a", "١٢٣٤٥٦"])
async def test_what_cannot_be_a_code_is_refused(staff: Staff, typed: str) -> None:
    for call in (staff.login(typed), staff.begin(typed), staff.confirm(typed)):
        assert await problem(call) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert await problem(staff.login("", "A" * 41)) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert await problem(staff.confirm("")) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


@pytest.mark.parametrize("steps", [-1, 0, 1])
async def test_clocks_may_differ_by_one_step(staff: Staff, steps: int) -> None:
    await staff.enrol()
    staff.clock.move(3 * STEP)
    for outside in (-2, 2):
        assert await problem(staff.login(staff.code(outside))) == REFUSED
    await staff.login(staff.code(steps))


async def test_two_logins_with_one_code_at_once(staff: Staff) -> None:
    await staff.enrol()
    shown = staff.code()
    found = await asyncio.gather(*(staff.login(shown) for _ in range(3)), return_exceptions=True)
    assert sum(isinstance(one, logins.TokenPair) for one in found) == 1
    assert staff.world.sql("SELECT COUNT(*) FROM sessions") == [(1,)]


async def test_recovery_codes_open_once(staff: Staff) -> None:
    codes = await staff.enrol()
    assert (await staff.login(recovery_code=codes[0].lower())).user.id == staff.user_id
    assert await problem(staff.login(recovery_code=codes[0])) == REFUSED
    assert await problem(staff.login(recovery_code="AAAA-AAAA-AAAA-AAAA")) == REFUSED
    found = await asyncio.gather(
        *(staff.login(recovery_code=codes[1]) for _ in range(3)), return_exceptions=True
    )
    assert sum(isinstance(one, logins.TokenPair) for one in found) == 1


async def test_a_protected_login_enrols_again_only_with_a_code(staff: Staff) -> None:
    codes = await staff.enrol()
    await staff.login(recovery_code=codes[9])
    old = staff.secret
    assert await problem(staff.begin()) == REQUIRED
    assert await problem(staff.begin(staff.wrong_code())) == REFUSED
    assert await problem(staff.begin(staff.code(), password=WRONG_PASSWORD)) == REFUSED
    await staff.begin(staff.code())
    await staff.login(staff.code(1))
    staff.secret = (await staff.begin(recovery_code=codes[0])).secret
    assert staff.secret != old
    fresh = (await staff.confirm(staff.code())).codes
    assert await problem(staff.login(recovery_code=codes[1])) == REFUSED
    await staff.login(recovery_code=fresh[0])
    staff.clock.move(STEP)
    assert await problem(staff.login(pyotp.TOTP(old).at(staff.clock.now + STEP))) == REFUSED
    await staff.login(staff.code())


async def test_codes_mean_nothing_to_a_login_without_them(staff: Staff) -> None:
    await staff.login("123456", "AAAA-AAAA-AAAA-AAAA")


async def test_every_failed_login_is_the_same(staff: Staff) -> None:
    codes = await staff.enrol()
    await staff.login(recovery_code=codes[0])
    nobody = Staff(staff.world, staff.clock, new_email(), "", staff.secret)
    errors = [
        await failure(call)
        for call in (
            staff.login(staff.wrong_code()),
            staff.login(recovery_code=codes[0]),
            staff.login(staff.code(), password=WRONG_PASSWORD),
            staff.login(password=WRONG_PASSWORD),
            nobody.login(),
            nobody.login(staff.code()),
            nobody.begin(),
            nobody.confirm(staff.code()),
        )
    ]
    assert {error[:2] for error in errors} == {
        (grpc.StatusCode.UNAUTHENTICATED, "these credentials are not valid")
    }
    assert len(set(errors)) == 1


async def test_each_failed_try_does_the_same_work(
    staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    matches, write, refused = Passwords.matches, Database.write, AuditRecorder.record_refusal

    async def counted_matches(self: Passwords, password: str, stored: str | None) -> bool:
        done.append("bcrypt")
        return await matches(self, password, stored)

    async def counted_write(self: Database, work: Callable[[Session], Result]) -> Result:
        # Outside of a call it is background work: the trail's, which may come at any moment.
        if current_call() is not None:
            done.append("transaction")
        return await write(self, work)

    async def counted_refusal(self: AuditRecorder, event: AuditEvent) -> bool:
        done.append("trail")
        return await refused(self, event)

    codes = await staff.enrol()
    await staff.login(recovery_code=codes[0])
    monkeypatch.setattr(Passwords, "matches", counted_matches)
    monkeypatch.setattr(AuditRecorder, "record_refusal", counted_refusal)
    monkeypatch.setattr(Database, "write", counted_write)
    nobody = Staff(staff.world, staff.clock, new_email(), "", staff.secret)
    for call in (
        staff.login(staff.wrong_code()),
        staff.login(recovery_code=codes[0]),
        staff.login(password=WRONG_PASSWORD),
        nobody.login(staff.code()),
        nobody.begin(),
        nobody.confirm(staff.code()),
    ):
        done.clear()
        assert await problem(call) == REFUSED
        assert done == ["transaction", "bcrypt", "transaction", "trail"]


async def test_wrong_codes_are_throttled_until_a_complete_login(staff: Staff) -> None:
    codes = await staff.enrol()
    await staff.login(recovery_code=codes[0])
    assert staff.failures() == 0
    assert await problem(staff.login()) == REQUIRED
    assert await problem(staff.login(staff.wrong_code())) == REFUSED
    assert await problem(staff.begin(staff.wrong_code())) == REFUSED
    assert await problem(staff.confirm(staff.wrong_code())) == NOT_OPEN
    assert await problem(staff.login(recovery_code="AAAA")) == REFUSED
    assert staff.failures() == 5
    for call in (staff.login(staff.code()), staff.begin(staff.code()), staff.confirm("123456")):
        assert await problem(call) == THROTTLED
    staff.clock.move(datetime.timedelta(seconds=1.1))
    await staff.begin(recovery_code=codes[1])
    assert staff.failures() == 6
    assert await problem(staff.login(staff.code())) == THROTTLED
    staff.clock.move(datetime.timedelta(seconds=2.1))
    await staff.login(staff.code())
    assert staff.failures() == 0


async def test_guessed_codes_at_once_all_count(staff: Staff) -> None:
    codes = await staff.enrol()
    await staff.login(recovery_code=codes[0])
    bad = staff.wrong_code()
    found = await asyncio.gather(*(problem(staff.login(bad)) for _ in range(12)))
    assert (found.count(REFUSED), found.count(THROTTLED)) == (5, 7)


async def test_administrators_must_enrol_where_it_is_required(strict: World, clock: Clock) -> None:
    admin = await hire(strict, clock, Role.ROLE_ADMIN_FASKES)
    assert await problem(admin.login(password=WRONG_PASSWORD)) == REFUSED
    assert await problem(admin.login()) == ENROL_FIRST
    assert await problem(admin.login("123456")) == ENROL_FIRST
    assert admin.failures() == 3
    assert strict.sql("SELECT COUNT(*) FROM sessions") == [(0,)]
    clock.move(datetime.timedelta(minutes=16))
    await admin.enrol()
    assert await problem(admin.login()) == REQUIRED
    assert (await admin.login(admin.code())).user.role == Role.ROLE_ADMIN_FASKES
    assert admin.failures() == 0
    operator = await hire(strict, clock)
    await operator.login()


def test_codes_are_not_required_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert UserSettings().require_admin_totp is False
    monkeypatch.setenv("MEDIQ_USER_SVC_REQUIRE_ADMIN_TOTP", "true")
    assert UserSettings().require_admin_totp is True


async def test_a_closed_account_has_no_second_factor(staff: Staff) -> None:
    await staff.enrol()
    await staff.begin(staff.code())
    await staff.world.users.DeleteUser(
        messages.DeleteUserRequest(id=staff.user_id), metadata=staff.world.network_admin
    )
    for table in ("second_factors", "recovery_codes"):
        assert staff.world.sql(f"SELECT COUNT(*) FROM {table}") == [(0,)]
    for call in (staff.login(staff.code(1)), staff.begin(staff.code(1)), staff.confirm("123456")):
        staff.clock.move(datetime.timedelta(seconds=5))
        assert await problem(call) == REFUSED
    staff.clock.move(datetime.timedelta(seconds=5))
    again = await staff.world.create(email=staff.email)
    assert (await staff.login()).user.id == again.id


async def test_a_stolen_database_shows_neither_secret_nor_codes(staff: Staff) -> None:
    codes = await staff.enrol()
    used = staff.secret
    waiting = (await staff.begin(staff.code())).secret
    dump = b"\n".join(
        value if isinstance(value, bytes) else str(value).encode()
        for table in Base.metadata.tables
        for row in staff.world.sql(f"SELECT * FROM {table}")
        for value in row
    ).lower()
    assert staff.user_id.encode() in dump
    folded = [totp.fold_recovery_code(one) for one in codes]
    for text in (used, waiting, *codes, *folded):
        assert text.lower().encode() not in dump
        assert hashlib.sha256(text.encode()).hexdigest().encode() not in dump
    for secret in (used, waiting, *folded):
        assert base64.b32decode(secret).lower() not in dump
        assert base64.b32decode(secret).hex().encode() not in dump
