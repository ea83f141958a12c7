"""The audit trail in a database of its own, on two SQLite files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from mediq.audit.v1.audit_pb2 import AuditEvent
from mediq.audit.v1.audit_service_pb2 import GetAuditHeadRequest
from mediq.audit.v1.audit_service_pb2_grpc import AuditServiceStub
from sqlalchemy import Engine, func, inspect, select
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from mesh.encryption import data_keys
from mesh.encryption.data_keys import QUIET_SECONDS
from mesh.encryption.encrypted_columns import usage
from mesh.encryption.field_cipher import FieldCipher
from mesh.persistence.database import make_engine
from mesh.registry import databases_of
from ops.cli import application
from tests.mesh.key_clock import Clock
from tests.support.backends.databases import on_sqlite_only
from tests.support.mesh import Mesh
from tests.support.waiting import eventually
from tests.user_svc.audit.audit_trail import NOW, AuditTrail, event
from tests.user_svc.conftest import new_email, new_nik
from user_svc.__main__ import build
from user_svc.audit.chain import AuditChain
from user_svc.domain.accounts import Person, Role
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.account_repository import AccountRepository
from user_svc.persistence.audit_models import AUDIT_ENTRIES
from user_svc.persistence.encrypted_columns import AUDIT_DATABASE_COLUMNS, ENCRYPTED_COLUMNS
from user_svc.settings import UserSettings

pytestmark = on_sqlite_only


@pytest.fixture
def mesh(home_copy: Path) -> Mesh:
    """A mesh whose keys this test may rotate."""
    return Mesh(home_copy)


@pytest.fixture
def settings(
    settings: UserSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> UserSettings:
    """Settings with two databases, which commands find too."""
    url = f"sqlite:///{tmp_path / 'trail.db'}"
    monkeypatch.setenv("MEDIQ_HOME", str(settings.home))
    monkeypatch.setenv("MEDIQ_USER_SVC_DATABASE_URL", settings.database)
    monkeypatch.setenv("MEDIQ_USER_SVC_AUDIT_DATABASE_URL", url)
    monkeypatch.setenv("MEDIQ_USER_SVC_AUDIT_ANCHORS", str(settings.anchors))
    monkeypatch.setenv("MEDIQ_USER_SVC_BCRYPT_COST", "4")
    return settings.model_copy(update={"audit_database_url": url})


@pytest.fixture
def apart(settings: UserSettings) -> Iterator[AuditTrail]:
    """The database of the trail, migrated."""
    assert run("db", "upgrade", "user_svc") == 0
    chain = AuditChain.load(settings.keys, settings.service)
    trail = AuditTrail(settings.audit_database, make_engine(settings.audit_database), chain)
    yield trail
    trail.engine.dispose()


def run(*arguments: str) -> int:
    return CliRunner().invoke(application(arguments[0]), list(arguments)).exit_code


def methods(trail: AuditTrail) -> list[str]:
    rows = trail.sql("SELECT event_id, payload FROM audit_entries ORDER BY position")
    return [AuditEvent.FromString(trail.chain.decrypt(*row)).method for row in rows]


def test_both_databases_are_migrated(
    settings: UserSettings, apart: AuditTrail, engine: Engine
) -> None:
    for one in (apart.engine, engine):
        assert inspect(one).has_table("audit_entries")
    assert [one.url for one in databases_of("user_svc")] == [
        settings.database,
        settings.audit_database,
    ]


async def test_the_trail_is_there_and_nowhere_else(
    mesh: Mesh, settings: UserSettings, apart: AuditTrail, engine: Engine
) -> None:
    created = await asyncio.to_thread(run, "admin", "create", "--email", new_email())
    assert (created, methods(apart)) == (0, [])
    async with mesh.serve(settings, build), mesh.channel("user_svc", "ops") as ops:
        await eventually(lambda: "admin create" in methods(apart))
        head = await AuditServiceStub(ops).GetAuditHead(GetAuditHeadRequest())
        assert (head.position, head.mac) == (apart.head().position, apart.head().mac)
    with engine.connect() as connection, Session(connection) as session:
        assert session.scalar(select(func.count()).select_from(AUDIT_ENTRIES)) == 0
    assert apart.faults(settings.anchors) == {}
    assert await asyncio.to_thread(run, "audit", "verify") == 0
    assert await asyncio.to_thread(run, "audit", "list") == 0
    assert methods(apart)[-1] == "audit list"


def test_recipients_come_from_both(
    settings: UserSettings, apart: AuditTrail, tmp_path: Path
) -> None:
    cipher = AccountCipher(FieldCipher.load(settings.keys, settings.service))
    person = Person(role=Role.PASIEN, nama="SITI", nik=new_nik(), alamat="JL. MAWAR 1")
    accounts = make_engine(settings.database)
    with Session(accounts) as session, session.begin():
        account = AccountRepository(session, cipher).create(person, None, NOW)
    accounts.dispose()
    apart.append(event(persons=[account.id]))
    file = tmp_path / "letters.csv"
    since = ("--from", "2026-03-01T15:00:00+07:00")
    assert run("audit", "recipients", "--output", str(file), *since) == 0
    assert file.read_text().splitlines()[1:] == [f"{account.id},SITI,JL. MAWAR 1"]
    assert methods(apart)[-1] == "audit recipients"


def test_a_key_that_the_trail_needs_stays(
    settings: UserSettings, apart: AuditTrail, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    apart.fill(3)
    (old,) = data_keys.read_data_keys(data_keys.file_of(settings.keys, "user_svc")).keys
    assert run("data-keys", "rotate", "user_svc", "--after", "0") == 0
    clock.pass_(QUIET_SECONDS + 2)
    with Session(engine) as session:
        others = usage(session, ENCRYPTED_COLUMNS, [old.key_id]).by_key[old.key_id]
    done = CliRunner().invoke(application("data-keys"), ["data-keys", "prune", "user_svc"])
    assert (done.exit_code, f"{old.key_id} stays, {others + 3} " in done.stderr) == (1, True)
    assert run("data-keys", "re-encrypt", "user_svc") == 0
    with Session(apart.engine) as session:
        assert usage(session, AUDIT_DATABASE_COLUMNS, [old.key_id]).by_key == {old.key_id: 0}
    apart.chain = AuditChain.load(settings.keys, settings.service)
    assert apart.faults() == {}
    assert run("data-keys", "prune", "user_svc") == 0
