from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import grpc
import pyotp
import pytest
from mediq.audit.v1.audit_pb2 import AuditEvent
from mediq.policy.v1.policy_pb2 import Role
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1.auth_service_pb2_grpc import AuthServiceStub
from sqlalchemy import select
from typer.testing import CliRunner, Result

from mesh.clock import utc_now
from mesh.persistence.database import Database
from tests.support.mesh import Mesh, problem
from tests.user_svc.conftest import PASSWORD, new_email
from user_svc.__main__ import build
from user_svc.audit.chain import AuditChain
from user_svc.cli.admin import app
from user_svc.persistence.audit_models import AUDIT_ENTRIES
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
    from mesh.persistence.database import make_engine

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


def run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=typed)


@pytest.mark.parametrize("typed", [None, "kuda-biru-lari-sore"])
async def test_reset_password(mesh: Mesh, settings: UserSettings, typed: str | None) -> None:
    email = new_email()
    await asyncio.to_thread(create, "--email", email, "--password-stdin", typed=f"{PASSWORD}\n")
    pair = await login(mesh, settings, email, PASSWORD)
    given = ("--password-stdin",) if typed else ()
    done = await asyncio.to_thread(
        run, "reset-password", "--email", email.upper(), *given, typed=f"{typed}\n"
    )
    assert done.exit_code == 0, done.output
    shown = done.stdout.splitlines()
    assert len(shown) == (0 if typed else 1)
    async with mesh.serve(settings, build), mesh.channel("user_svc") as channel:
        auth = AuthServiceStub(channel)
        renewal = auth.RefreshToken(logins.RefreshTokenRequest(refresh_token=pair.refresh_token))
        assert await problem(renewal) == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
        old = auth.LoginAdmin(logins.LoginAdminRequest(email=email, password=PASSWORD))
        assert await problem(old) == ("UNAUTHENTICATED", "INVALID_CREDENTIALS")
        new = logins.LoginAdminRequest(email=email, password=typed or shown[0])
        assert (await auth.LoginAdmin(new)).user.email == email


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "PASSWORD_TOO_SHORT"),
        ("x" * 129, "PASSWORD_TOO_LONG"),
        ("passwordpassword", "PASSWORD_COMMON"),
        (PASSWORD, "USER_NOT_FOUND"),
    ],
)
def test_reset_password_is_refused(typed: str, reason: str) -> None:
    done = run("reset-password", "--email", new_email(), "--password-stdin", typed=f"{typed}\n")
    assert (done.exit_code, done.stdout) == (1, "")
    assert reason in done.stderr


async def test_end_sessions_of_one_and_of_all(mesh: Mesh, settings: UserSettings) -> None:
    emails = [new_email() for _ in range(3)]
    for email in emails:
        await asyncio.to_thread(create, "--email", email, "--password-stdin", typed=f"{PASSWORD}\n")
    async with mesh.serve(settings, build), mesh.channel("user_svc") as channel:
        auth = AuthServiceStub(channel)
        pairs = [
            await auth.LoginAdmin(logins.LoginAdminRequest(email=email, password=PASSWORD))
            for email in (*emails, *emails)
        ]

        async def open_sessions() -> list[int]:
            """How many sessions each account has."""
            open_ = []
            for number, pair in enumerate(pairs):
                request = logins.RefreshTokenRequest(refresh_token=pair.refresh_token)
                try:
                    pairs[number] = await auth.RefreshToken(request)
                except grpc.aio.AioRpcError:
                    continue
                open_.append(pair.user.email)
            return [open_.count(email) for email in emails]

        one = await asyncio.to_thread(run, "end-sessions", "--email", emails[0].upper())
        assert one.exit_code == 0, one.output
        assert await open_sessions() == [0, 2, 2]
        for ended in (2, 0):
            every = await asyncio.to_thread(run, "end-sessions", "--all")
            assert every.stdout == f"sessions of {ended} accounts ended\n"
            assert await open_sessions() == [0, 0, 0]
        again = logins.LoginAdminRequest(email=emails[0], password=PASSWORD)
        assert (await auth.LoginAdmin(again)).user.email == emails[0]


def test_end_sessions_says_whose() -> None:
    for arguments in ((), ("--all", "--email", new_email())):
        assert run("end-sessions", *arguments).exit_code == 2
    nobody = run("end-sessions", "--email", new_email())
    assert (nobody.exit_code, nobody.stdout) == (1, "")
    assert "USER_NOT_FOUND" in nobody.stderr


async def events(settings: UserSettings) -> list[AuditEvent]:
    """All of the audit trail."""
    chain = AuditChain.load(settings.keys, settings.service)
    database = Database(settings.database, 1)
    query = select(AUDIT_ENTRIES).order_by(AUDIT_ENTRIES.c.position)
    try:
        rows = await database.read(lambda session: session.execute(query).all())
    finally:
        await database.close()
    return [chain.entry(row).event for row in rows]


async def test_commands_are_in_the_trail(
    mesh: Mesh, settings: UserSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("user_svc.cli.administration.MAX_IDENTIFIERS", 2)
    emails, facility, accounts = [new_email() for _ in range(3)], str(uuid4()), []
    for email in emails:
        options = ("--email", email, "--institution", facility, "--json")
        made = json.loads((await asyncio.to_thread(create, *options)).stdout)
        accounts.append((await login(mesh, settings, email, made["password"])).user.id)
    for arguments in (
        ("end-sessions", "--all"),
        ("end-sessions", "--all"),
        ("end-sessions", "--email", emails[1]),
        ("reset-password", "--email", emails[0]),
    ):
        assert (await asyncio.to_thread(run, *arguments)).exit_code == 0
    recorded = [
        (one.method, list(one.person_ids), one.institution_id)
        for one in await events(settings)
        if one.actor.peer == "command"
    ]
    ended = sorted(accounts)
    assert recorded[len(emails) :] == [
        ("admin end-sessions", ended[:2], ""),
        ("admin end-sessions", ended[2:], ""),
        ("admin end-sessions", [], ""),
        ("admin end-sessions", accounts[1:2], facility),
        ("admin reset-password", accounts[:1], facility),
    ]
