"""No log line carries personal data or secrets, whatever goes wrong."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Awaitable
from uuid import uuid4

import grpc
import pyotp
from mediq.policy.v1.policy_pb2 import Role
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1 import user_service_pb2 as messages

from mesh.clock import utc_now
from tests.user_svc.conftest import NAME, PASSWORD, World, bearer, new_email, new_nik
from tests.user_svc.counter import REASON, Counter


async def test_errors_tell_no_secrets(lines: io.StringIO, world: World) -> None:
    nik, email, other_name, wrong = new_nik(), new_email(), "BUDI SANTOSO", "salah-sekali-sandi"
    made = await world.create(email=email, nama=other_name)
    patient = (await world.ensure(nik, alamat="JALAN MELATI")).user
    counter, taken = Counter(world), new_nik()
    await counter.patient(taken)
    rights = await counter.open_rights(patient.id, world.network_admin)
    assert await counter.reveal(patient.id, world.network_admin) == nik
    pair = await world.login(email)
    renewed = await world.refresh(pair.refresh_token)
    session = await world.auth.LoginUser(logins.LoginUserRequest(nik=nik, name=NAME))
    admin = world.network_admin
    calls: list[Awaitable[object]] = [
        world.ensure(nik, other_name),
        world.ensure("1234567890123456"),
        world.ensure(f"{nik}9"),
        world.create(email=email),
        world.create(institution_id="", nama=NAME),
        world.users.CreateUser(
            messages.CreateUserRequest(
                nama=NAME, role=Role.ROLE_PASIEN, nik=nik, institution_id=str(uuid4())
            ),
            metadata=admin,
        ),
        *(world.login(email, wrong) for _ in range(7)),
        *(
            world.auth.LoginUser(logins.LoginUserRequest(nik=nik, name=other_name))
            for _ in range(7)
        ),
        world.users.GetUserByNik(messages.GetUserByNikRequest(nik=new_nik()), metadata=admin),
        world.users.GetProfile(
            messages.GetProfileRequest(), metadata=bearer(pair.access_token + "x")
        ),
        world.refresh(renewed.access_token[:200]),
        counter.correct(patient.id, admin, nik=taken),
        counter.correct(patient.id, admin, nama=f"{NAME} ", alamat=" "),
        counter.correct(patient.id, admin, tanggal_lahir="31-02-1990"),
        counter.reveal(str(uuid4()), admin),
        counter.open_rights(patient.id),
    ]
    for call in calls:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await call
    world.age_out_grace()
    with contextlib.suppress(grpc.aio.AioRpcError):
        await world.refresh(pair.refresh_token)
    world.sql("UPDATE users SET nama = nik WHERE id = :id", id=patient.id)
    with contextlib.suppress(grpc.aio.AioRpcError):
        await world.ensure(nik)
    world.sql("DROP TABLE refresh_tokens")
    world.sql("ALTER TABLE users DROP COLUMN alamat")
    for call in (world.ensure(new_nik()), world.create(email=new_email()), world.login(email)):
        with contextlib.suppress(grpc.aio.AioRpcError):
            await call
    written = lines.getvalue()
    for reason in (
        "NIK_NAME_MISMATCH",
        "NIK_INVALID",
        "INVALID_REQUEST",
        "EMAIL_TAKEN",
        "NIK_TAKEN",
        "FIELD_BLANK",
        "NO_SUCH_DATE",
        "USER_NOT_FOUND",
        "INVALID_CREDENTIALS",
        "LOGIN_THROTTLED",
        "TOKEN_INVALID",
        "REFRESH_TOKEN_INVALID",
        "refresh token reused",
        "does not decrypt",
    ):
        assert reason in written, reason
    hashed = "$2b$04$"
    for secret in (
        nik,
        "1234567890123456",
        NAME,
        other_name,
        "MELATI",
        email,
        PASSWORD,
        wrong,
        hashed,
        pair.access_token,
        pair.refresh_token,
        renewed.refresh_token,
        session.access_token,
        taken,
        "31-02-1990",
        rights.access_token,
        REASON,
    ):
        assert secret.lower() not in written.lower(), secret
    assert made.id


async def test_one_time_codes_do_not_show(lines: io.StringIO, world: World) -> None:
    email = (await world.create()).email
    shown = await world.auth.BeginTotpEnrolment(
        logins.BeginTotpEnrolmentRequest(email=email, password=PASSWORD)
    )
    code = pyotp.TOTP(shown.secret).at(utc_now())
    confirm = logins.ConfirmTotpEnrolmentRequest(email=email, password=PASSWORD, totp_code=code)
    codes = (await world.auth.ConfirmTotpEnrolment(confirm)).codes

    async def login(code: str = "", recovery: str = "") -> object:
        return await world.auth.LoginAdmin(
            logins.LoginAdminRequest(
                email=email, password=PASSWORD, totp_code=code, recovery_code=recovery
            )
        )

    await login(recovery=codes[0])
    world.sql("UPDATE second_factors SET last_step = 0")
    calls = [
        login(),
        login(code),
        login(code),
        login(recovery=codes[0]),
    ]
    for call in calls:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await call
    with contextlib.suppress(grpc.aio.AioRpcError):
        await world.auth.ConfirmTotpEnrolment(confirm)
    world.sql("UPDATE second_factors SET secret = (SELECT nama FROM users WHERE id = user_id)")
    with contextlib.suppress(grpc.aio.AioRpcError):
        await login(code)
    world.sql("ALTER TABLE second_factors DROP COLUMN last_step")
    world.sql("DELETE FROM login_attempts")
    with contextlib.suppress(grpc.aio.AioRpcError):
        await login(recovery=codes[1])
    written = lines.getvalue()
    for reason in (
        "TOTP_REQUIRED",
        "INVALID_CREDENTIALS",
        "TOTP_ENROLMENT_NOT_OPEN",
        "does not decrypt",
        "DATABASE_UNAVAILABLE",
    ):
        assert reason in written, reason
    for secret in (shown.secret, shown.key_uri, shown.qr_svg, f'"{code}"', *codes, PASSWORD, email):
        assert secret.lower() not in written.lower()


async def test_new_passwords_do_not_show(lines: io.StringIO, world: World) -> None:
    email, new, wrong = (await world.create()).email, "kuda-biru-lari-sore", "salah-sekali-sandi"
    admin = await world.create(Role.ROLE_ADMIN_FASKES)
    own = bearer((await world.login(admin.email)).access_token)

    async def change(password: str, wanted: str) -> None:
        await world.auth.ChangePassword(
            logins.ChangePasswordRequest(email=email, password=password, new_password=wanted)
        )

    await change(PASSWORD, new)
    reset = messages.ResetPasswordRequest(id=(await world.login(email, new)).user.id)
    shown = (await world.users.ResetPassword(reset, metadata=world.network_admin)).password
    calls: list[Awaitable[object]] = [
        change(wrong, new),
        change(shown, shown),
        change(shown, "passwordpassword"),
        change(shown, new[:9]),
        world.users.ResetPassword(messages.ResetPasswordRequest(id=admin.id), metadata=own),
    ]
    for call in calls:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await call
    world.sql("ALTER TABLE users DROP COLUMN alamat")
    for call in (
        change(shown, new),
        world.users.ResetPassword(reset, metadata=world.network_admin),
    ):
        with contextlib.suppress(grpc.aio.AioRpcError):
            await call
    written = lines.getvalue()
    for reason in (
        "INVALID_CREDENTIALS",
        "PASSWORD_UNCHANGED",
        "PASSWORD_COMMON",
        "INVALID_REQUEST",
        "OWN_ACCOUNT",
        "DATABASE_UNAVAILABLE",
    ):
        assert reason in written, reason
    for secret in (PASSWORD, new, new[:9], wrong, shown, "passwordpassword", email, "$2b$04$"):
        assert secret.lower() not in written.lower(), secret
