"""`mediq data-rights replay`: what was erased since a backup was made is erased again."""

from __future__ import annotations

import asyncio
import datetime
import getpass
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from mediq.audit.v1.audit_pb2 import AuditActor
from sqlalchemy import URL, text
from typer.testing import CliRunner, Result

from mesh.persistence.database import make_engine
from mesh.persistence.migrations import upgrade
from ocr_svc.cli import app
from tests.ocr_svc.conftest import Clinic
from tests.ocr_svc.doubles import card
from tests.ocr_svc.erasures import (
    ABSENT,
    DOWN,
    ERASED,
    KEPT,
    RETAINED,
    SERVED,
    backup,
    erase,
    in_database,
    keys,
    visited,
)
from tests.support.audit import CHANGE
from tests.support.backends.databases import dump
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceAsyncStub
    from mediq.queue.v1.queue_pb2 import TicketStatus

    from tests.support.mesh import Mesh


@pytest.fixture
def beside(clinic: Clinic, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys and the database that commands find."""
    monkeypatch.setenv("MEDIQ_HOME", str(clinic.mesh.home))
    monkeypatch.setenv("MEDIQ_OCR_SVC_DATABASE_URL", database_url)
    monkeypatch.setattr("mesh.observability.logs.configure", lambda *_: None)


@pytest.fixture
async def stub(
    clinic: Clinic, database_url: str, beside: None
) -> AsyncIterator[RegistrationServiceAsyncStub]:
    async with clinic.serve(database_url=database_url) as found:
        yield found


async def replay(since: datetime.datetime, *options: str) -> Result:
    arguments = ["replay", "--since", since.isoformat(), *options]
    return await asyncio.to_thread(CliRunner().invoke, app, arguments)


def sql(url: str, statement: str, **values: object) -> None:
    """Changes the database behind the service's back."""
    engine = make_engine(url, 1)
    with engine.begin() as connection:
        connection.execute(text(statement), values)
    engine.dispose()


async def person(
    clinic: Clinic,
    stub: RegistrationServiceAsyncStub,
    number: int,
    statuses: Sequence[TicketStatus.ValueType] = ABSENT,
) -> str:
    """The account of another person, whose visit is over."""
    clinic.reader.reading = card(nik=f"32730141079000{number:02d}", nama=f"ORANG {number}")
    return (await visited(clinic, stub, *statuses)).user_id


@pytest.mark.parametrize("services", [("users",), ("queue",), ("users", "queue")])
async def test_what_was_erased_since_the_backup_goes_again(
    clinic: Clinic,
    stub: RegistrationServiceAsyncStub,
    database_url: str,
    services: tuple[str, ...],
) -> None:
    early, late = [await person(clinic, stub, number) for number in (1, 2)]
    before = await erase(clinic, early)
    taken = clinic.now()
    restore = backup(*(getattr(clinic, name) for name in services))
    first = await erase(clinic, late)
    used = {*keys(clinic.users, "ErasePatient"), *keys(clinic.queue, "ErasePatientTickets")}
    clinic.users.seen.clear()
    clinic.queue.seen.clear()
    restore()
    clinic.users.seen.clear()
    clinic.queue.seen.clear()
    done = await replay(taken, "--reason", "disk rusak 2026-11")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "erased again: 1\n", "")
    await eventually(lambda: {row["state"] for row in dump(database_url)["erasures"]} == {"ERASED"})
    assert clinic.users.records == clinic.users.accounts == {}
    assert clinic.queue.of(late) == []
    assert late not in repr(dump(database_url) | {"audit_outbox": []})
    (new,) = {*keys(clinic.users, "ErasePatient"), *keys(clinic.queue, "ErasePatientTickets")}
    assert new not in used
    assert await erase(clinic, late) == first
    assert await erase(clinic, early) == before
    (event,) = await clinic.audit.of("data-rights replay")
    assert (event.service, event.act, event.reason) == ("ocr_svc", CHANGE, "disk rusak 2026-11")
    assert list(event.person_ids) == [late]
    assert event.actor == AuditActor(peer="command", login=getpass.getuser())


async def test_what_is_kept_for_the_law_is_closed_again(
    clinic: Clinic, stub: RegistrationServiceAsyncStub, database_url: str
) -> None:
    who = await person(clinic, stub, 1, SERVED)
    taken, restore = clinic.now(), backup(clinic.users)
    first = await erase(clinic, who)
    restore()
    assert clinic.users.kept == {}
    assert (await replay(taken)).exit_code == 0
    await in_database(database_url, "RETAINED")
    assert clinic.users.kept == {who: first.retain_time.ToDatetime(datetime.UTC)}
    again = await erase(clinic, who)
    assert again == first
    assert again.state == RETAINED
    clinic.users.seen.clear()
    clinic.ahead = KEPT
    await in_database(database_url, "ERASED")
    assert who not in clinic.users.records


@pytest.mark.usefixtures("lines")
async def test_an_erasure_that_waits_for_the_queue_begins_again(
    clinic: Clinic, stub: RegistrationServiceAsyncStub, database_url: str
) -> None:
    who = await person(clinic, stub, 1)
    taken, restore = clinic.now(), backup(clinic.users)
    clinic.queue.refusals["ErasePatientTickets"] = DOWN
    await erase(clinic, who)
    await in_database(database_url, "ACCOUNT_ERASED")
    restore()
    assert (await replay(taken)).stdout == "erased again: 1\n"
    del clinic.queue.refusals["ErasePatientTickets"]
    await in_database(database_url, "ERASED")
    assert who not in clinic.users.records


@pytest.mark.usefixtures("lines")
async def test_pages(
    clinic: Clinic,
    stub: RegistrationServiceAsyncStub,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ocr_svc.application.replay_erasures.MAX_IDENTIFIERS", 2)
    persons = [await person(clinic, stub, number) for number in range(1, 6)]
    taken, restore = clinic.now(), backup(clinic.users)
    for one in persons:
        assert (await erase(clinic, one)).state == ERASED
    restore()
    assert (await replay(taken)).stdout == "erased again: 5\n"
    await eventually(lambda: not clinic.users.records)
    events = await clinic.audit.of("data-rights replay", 3)
    assert [len(one.person_ids) for one in events] == [2, 2, 1]
    assert sorted(who for one in events for who in one.person_ids) == sorted(persons)


async def test_an_account_that_is_not_known_any_more(
    clinic: Clinic, stub: RegistrationServiceAsyncStub, database_url: str
) -> None:
    """Erased by an earlier release, which kept no account; or damaged. The others go on."""
    persons = [await person(clinic, stub, number) for number in range(1, 4)]
    taken, restore = clinic.now(), backup(clinic.users)
    made = [(await erase(clinic, one)).id for one in persons]
    sql(database_url, "UPDATE erasures SET account = NULL WHERE id = :id", id=made[0])
    sql(database_url, "UPDATE erasures SET account = :bad WHERE id = :id", bad=b"x:y", id=made[1])
    restore()
    done = await replay(taken)
    assert (done.exit_code, done.stdout) == (1, "erased again: 1\n")
    for lost in made[:2]:
        assert f"erasure {lost} " in done.stderr
    await eventually(lambda: persons[2] not in clinic.users.records)
    assert set(clinic.users.records) == set(persons[:2])
    # The persons themselves may still ask.
    assert (await erase(clinic, persons[0])).state == ERASED
    assert set(clinic.users.records) == {persons[1]}


async def test_nothing_to_erase_again(clinic: Clinic, stub: RegistrationServiceAsyncStub) -> None:
    who = await person(clinic, stub, 1)
    found = await erase(clinic, who)
    clinic.users.seen.clear()
    done = await replay(clinic.now())
    assert (done.exit_code, done.stdout) == (0, "erased again: 0\n")
    assert await erase(clinic, who) == found
    assert not clinic.users.seen
    (event,) = await clinic.audit.of("data-rights replay")
    assert not event.person_ids


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--since", "yesterday"), "ISO 8601"),
            (("--since", "2026-03-01T08:00"), "zone"),
            ((), "--since"),
            (("--since", "2026-03-01T08:00Z", "--reason", "x" * 501), "INVALID_REQUEST"),
        ],
    )
    def test_bad_options(
        self, beside: None, database_url: str, options: tuple[str, ...], said: str
    ) -> None:
        done = CliRunner().invoke(app, ["replay", *options], env={"COLUMNS": "200"})
        assert (done.exit_code, done.stdout) == (2, "")
        assert said in done.stderr
        assert not dump(database_url)["audit_outbox"]

    async def test_no_erasures(
        self, mesh: Mesh, beside: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        missing = tmp_path / "missing" / "ocr_svc.db"
        url = f"sqlite:///{missing}"
        monkeypatch.setenv("MEDIQ_OCR_SVC_DATABASE_URL", url)
        moment = datetime.datetime.now(datetime.UTC)
        done = await replay(moment)
        assert (done.exit_code, "NO_ERASURES" in done.stderr) == (2, True)
        assert not missing.parent.exists()
        # From before there was anything to erase again.
        upgrade("ocr_svc", url, "6993cf012383")
        done = await replay(moment)
        assert (done.exit_code, "mediq db upgrade" in done.stderr) == (2, True)

    async def test_nobody_answers(
        self, beside: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret = uuid4().hex
        url = URL.create("mysql+pymysql", "mediq", secret, "127.0.0.1", 1, "mediq")
        shown = url.render_as_string(hide_password=False)
        monkeypatch.setenv("MEDIQ_OCR_SVC_DATABASE_URL", shown)
        moment = datetime.datetime.now(datetime.UTC)
        done = await replay(moment)
        assert (done.exit_code, "does not answer" in done.stderr) == (2, True)
        assert secret not in done.output
        monkeypatch.setenv("MEDIQ_KEYS_FOLDER", str(tmp_path))
        assert (await replay(moment)).exit_code == 2
