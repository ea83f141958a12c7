from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import pyotp
import pytest
from mediq.policy.v1.policy_pb2 import Role
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1.auth_service_pb2_grpc import AuthServiceStub
from typer.testing import CliRunner, Result

from mesh.times import utc_now
from tests.support.mesh import Mesh, problem
from tests.user_svc.conftest import PASSWORD, new_email
from user_svc.__main__ import build
from user_svc.commands import app
from user_svc.settings import UserSettings


@pytest.fixture(autouse=True)
def environment(settings: UserSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIQ_HOME", str(settings.home))
    monkeypatch.setenv("MEDIQ_USER_SVC_DATABASE_URL", settings.database)
    monkeypatch.setenv("MEDIQ_USER_SVC_BCRYPT_COST", "4")


def create(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, ["create", *arguments], input=typed)


async def login(mesh: Mesh, settings: UserSettings, email: str, password: str) -> logins.TokenPair:
    async with mesh.serve(settings, build), mesh.channel("user_svc") as channel:
        return await AuthServiceStub(channel).LoginAdmin(
            logins.LoginAdminRequest(email=email, password=password)
        )


async def test_a_network_admin_with_a_random_password(mesh: Mesh, settings: UserSettings) -> None:
    email = new_email()
    made = await asyncio.to_thread(create, "--email", email)
    assert made.exit_code == 0, made.output
    (password,) = made.stdout.splitlines()
    assert len(password) == 24
    user = (await login(mesh, settings, email, password)).user
    assert (user.role, user.institution_id) == (Role.ROLE_ADMIN_FASKES, "")


async def test_json_for_programs(mesh: Mesh, settings: UserSettings) -> None:
    email, facility = new_email(), str(uuid4())
    made = await asyncio.to_thread(
        create, "--email", email, "--nama", "Dewi", "--institution", facility, "--json"
    )
    shown = json.loads(made.stdout)
    assert set(shown) == {"email", "password", "id"}
    user = (await login(mesh, settings, shown["email"], shown["password"])).user
    assert (user.id, user.nama, user.institution_id) == (shown["id"], "Dewi", facility)


async def test_password_from_standard_input(mesh: Mesh, settings: UserSettings) -> None:
    email = new_email()
    made = await asyncio.to_thread(
        create, "--email", email, "--password-stdin", typed=f"{PASSWORD}\n"
    )
    assert (made.exit_code, made.stdout) == (0, "")
    assert (await login(mesh, settings, email, PASSWORD)).user.email == email


def test_a_second_account_with_the_email_is_refused() -> None:
    email = new_email()
    assert create("--email", email).exit_code == 0
    again = create("--email", email.upper(), "--json")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "EMAIL_TAKEN" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "typed", "reason"),
    [
        (("--email", "no address"), None, "INVALID_REQUEST"),
        (("--email", "a@contoh.example", "--institution", "x"), None, "INVALID_REQUEST"),
        (("--email", "a@contoh.example", "--nama", " "), None, "NAME_INVALID"),
        (("--email", "a@contoh.example", "--password-stdin"), "short\n", "INVALID_REQUEST"),
        (("--email", "a@contoh.example", "--password-stdin"), "\n", "PASSWORD_REQUIRED"),
        (
            ("--email", "a@contoh.example", "--password-stdin"),
            "passwordpassword\n",
            "PASSWORD_COMMON",
        ),
    ],
)
def test_bad_input_is_refused(arguments: tuple[str, ...], typed: str | None, reason: str) -> None:
    made = create(*arguments, typed=typed)
    assert (made.exit_code, made.stdout) == (1, "")
    assert reason in made.stderr


async def test_no_account_exists_by_itself(mesh: Mesh, settings: UserSettings) -> None:
    from mesh.storage import make_engine

    async with mesh.serve(settings, build):
        engine = make_engine(settings.database, 1)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT COUNT(*) FROM users").scalar_one() == 0
        engine.dispose()


def reset_totp(email: str) -> Result:
    return CliRunner().invoke(app, ["reset-totp", "--email", email])


async def test_reset_totp_takes_the_codes_away_and_ends_the_sessions(
    mesh: Mesh, settings: UserSettings
) -> None:
    email = new_email()
    await asyncio.to_thread(create, "--email", email, "--password-stdin", typed=f"{PASSWORD}\n")
    sign_in = logins.LoginAdminRequest(email=email, password=PASSWORD)
    async with mesh.serve(settings, build), mesh.channel("user_svc") as channel:
        auth = AuthServiceStub(channel)
        shown = await auth.BeginTotpEnrolment(
            logins.BeginTotpEnrolmentRequest(email=email, password=PASSWORD)
        )
        confirmed = await auth.ConfirmTotpEnrolment(
            logins.ConfirmTotpEnrolmentRequest(
                email=email, password=PASSWORD, totp_code=pyotp.TOTP(shown.secret).at(utc_now())
            )
        )
        pair = await auth.LoginAdmin(
            logins.LoginAdminRequest(
                email=email, password=PASSWORD, recovery_code=confirmed.codes[0]
            )
        )
        assert await problem(auth.LoginAdmin(sign_in)) == ("UNAUTHENTICATED", "TOTP_REQUIRED")
        done = await asyncio.to_thread(reset_totp, email.upper())
        assert done.exit_code == 0, done.output
        assert len(done.stdout.splitlines()) == 1
        renewal = auth.RefreshToken(logins.RefreshTokenRequest(refresh_token=pair.refresh_token))
        assert await problem(renewal) == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
        assert (await auth.LoginAdmin(sign_in)).user.email == email
    again = await asyncio.to_thread(reset_totp, email)
    assert again.exit_code == 0


def test_reset_totp_of_nobody() -> None:
    done = reset_totp(new_email())
    assert (done.exit_code, done.stdout) == (1, "")
    assert "USER_NOT_FOUND" in done.stderr
