"""The commands: mediq data-keys rotate, list, re-encrypt, prune."""

import logging
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import structlog
from sqlalchemy import Engine, Table, insert, select, update
from typer.testing import CliRunner, Result

from institution_svc.persistence.models import IDEMPOTENCY
from mesh.clock import utc_now
from mesh.encryption import data_keys
from mesh.encryption.data_keys import QUIET_SECONDS
from mesh.encryption.field_cipher import FieldCipher
from mesh.persistence.database import make_engine
from mesh.registry import services_with_encrypted_columns
from ops.cli import application
from ops.cli.data_keys import app
from tests.mesh.key_clock import Clock
from tests.support.backends.databases import migrated_sqlite, on_mariadb_only
from tests.support.commands import CommandTrail
from tests.support.encrypted import await_turn

SERVICE = "institution_svc"
NAME = "SITI RAHMAWATI"


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    """Restores logging, which the commands set up for a process of their own."""
    root = logging.getLogger()
    before = root.handlers, root.level
    yield
    root.handlers, root.level = before
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes data keys of all services, and migrated databases."""
    monkeypatch.setenv("MEDIQ_HOME", str(tmp_path))
    for service in services_with_encrypted_columns():
        data_keys.ensure_data_key(tmp_path / "keys", service)
    return tmp_path / "keys"


@pytest.fixture
def schema() -> str:
    """Returns the tables of databases here."""
    return SERVICE


@pytest.fixture
def engine(folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("MEDIQ_INSTITUTION_SVC_DATABASE_URL", database_url)
    monkeypatch.setattr("ops.cli.data_keys.WAIT_SECONDS", 0.05)
    made = make_engine(database_url, 2)
    yield made
    made.dispose()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def known(folder: Path, service: str = SERVICE) -> list[str]:
    file = data_keys.file_of(folder, service)
    return [key.key_id for key in data_keys.read_data_keys(file).keys]


def remember(engine: Engine, cipher: FieldCipher, count: int, scope: str = "s") -> None:
    """Writes kept answers as the service does."""
    with engine.begin() as connection:
        connection.execute(
            insert(IDEMPOTENCY),
            [
                {
                    "scope": scope,
                    "request_id": f"r{index}",
                    "fingerprint": "f",
                    "answer": cipher.encrypt(NAME.encode(), f"{scope}/r{index}"),
                    "create_time": utc_now(),
                }
                for index in range(count)
            ],
        )


def answers(engine: Engine) -> list[bytes]:
    table: Table = IDEMPOTENCY
    with engine.connect() as connection:
        return list(connection.scalars(select(table.c.answer)))


def damage(engine: Engine, request_id: str, encrypted: bytes) -> None:
    with engine.begin() as connection:
        connection.execute(
            update(IDEMPOTENCY)
            .where(IDEMPOTENCY.c.request_id == request_id)
            .values(answer=encrypted)
        )


class TestWholeRotation:
    def test_rotate_list_reencrypt_prune(self, folder: Path, engine: Engine, clock: Clock) -> None:
        cipher = FieldCipher.load(folder, SERVICE)
        remember(engine, cipher, 60)
        (old,) = known(folder)
        done = run("rotate", SERVICE, "--after", "30")
        assert done.exit_code == 0
        new = known(folder)[1]
        assert done.output.startswith(f"{SERVICE}: {new} decrypts now and encrypts from ")

        lines = run("list", SERVICE).output.splitlines()
        assert lines[0].startswith(f"{SERVICE}  ")
        assert lines[1].split() == [
            *(old, "encrypting", "from", "the", "start"),
            "61",  # the event of the rotation is one
            "ciphertexts",
        ]
        assert lines[2].split()[:2] == [new, "announced"]
        assert lines[2].endswith("0 ciphertexts")
        assert run("prune", SERVICE).output == f"{SERVICE}: nothing to remove\n"

        clock.pass_(32)
        lines = run("list", SERVICE).output.splitlines()
        assert [line.split()[1] for line in lines[1:]] == ["leaving", "encrypting"]
        done = run("prune", SERVICE)
        assert done.exit_code == 1
        assert f"{old} stays, a replica may encrypt with it until " in done.output

        done = run("re-encrypt", SERVICE)
        assert done.exit_code == 0
        assert f"{SERVICE}: 61 re-encrypted with {new}\n" in done.output
        assert f"a replica may encrypt with {old} until " in done.output
        assert run("prune", SERVICE).exit_code == 1
        assert known(folder) == [old, new]

        clock.pass_(QUIET_SECONDS)
        lines = run("list", SERVICE).output.splitlines()
        assert lines[1].split()[1] == "decrypting"
        assert lines[1].endswith(" 0 ciphertexts")
        done = run("prune", SERVICE)
        assert (done.exit_code, done.output) == (0, f"{SERVICE}: {old} removed\n")
        assert CommandTrail(SERVICE).commands() == [
            f"data-keys rotate {new}",
            "data-keys re-encrypt",
            f"data-keys prune {old}",
        ]
        assert known(folder) == [new]
        fresh = FieldCipher.load(folder, SERVICE)
        assert sorted(fresh.decrypt(one, f"s/r{n}") for n, one in self.by_request(engine)) == (
            [NAME.encode()] * 60
        )
        assert run("re-encrypt", SERVICE).output == f"{SERVICE}: 0 re-encrypted with {new}\n"

    def by_request(self, engine: Engine) -> list[tuple[int, bytes]]:
        with engine.connect() as connection:
            rows = connection.execute(select(IDEMPOTENCY)).all()
        return [(int(row.request_id[1:]), row.answer) for row in rows]

    def test_prune_refuses_and_says_how_many_are_left(
        self, folder: Path, engine: Engine, clock: Clock
    ) -> None:
        remember(engine, FieldCipher.load(folder, SERVICE), 3)
        (old,) = known(folder)
        data_keys.rotate(folder, SERVICE, 0)
        clock.pass_(QUIET_SECONDS + 2)
        done = run("prune", SERVICE)
        assert done.exit_code == 1
        assert f"{old} stays, 3 ciphertexts need it" in done.output
        assert old in known(folder)
        assert run("re-encrypt", SERVICE).exit_code == 0
        # Written by a service that was cut off from the key folder.
        first = FieldCipher(
            old,
            {old: data_keys.read_data_keys(data_keys.file_of(folder, SERVICE)).keys[0].secret},
            b"i" * 32,
        )
        remember(engine, first, 1, "late")
        done = run("prune", SERVICE)
        assert done.exit_code == 1
        assert f"{old} stays, 1 ciphertexts need it" in done.output
        assert old in known(folder)

    def test_prune_keeps_what_is_announced(
        self, folder: Path, engine: Engine, clock: Clock
    ) -> None:
        remember(engine, FieldCipher.load(folder, SERVICE), 1)
        data_keys.rotate(folder, SERVICE, QUIET_SECONDS * 10)
        clock.pass_(QUIET_SECONDS * 2)
        before = known(folder)
        done = run("prune", SERVICE)
        assert (done.exit_code, done.output) == (0, f"{SERVICE}: nothing to remove\n")
        assert known(folder) == before

    def test_prune_removes_several_and_keeps_the_one_that_is_needed(
        self, folder: Path, engine: Engine, clock: Clock
    ) -> None:
        first = known(folder)[0]
        second = data_keys.rotate(folder, SERVICE, 0).key_id
        clock.pass_(2)
        remember(engine, FieldCipher.load(folder, SERVICE), 2)
        third = data_keys.rotate(folder, SERVICE, 0).key_id
        clock.pass_(QUIET_SECONDS + 2)
        done = run("prune", SERVICE)
        assert done.exit_code == 1
        assert f"{SERVICE}: {first} removed\n" in done.output
        assert f"{second} stays, 2 ciphertexts need it" in done.output
        assert known(folder) == [second, third]

    def test_a_damaged_row_fails_the_command_and_keeps_its_key(
        self, folder: Path, engine: Engine, clock: Clock
    ) -> None:
        remember(engine, FieldCipher.load(folder, SERVICE), 5)
        (old,) = known(folder)
        damage(engine, "r3", f"{old}:".encode() + NAME.encode() * 3)
        damage(engine, "r4", b"gone:" + bytes(40))
        data_keys.rotate(folder, SERVICE, 0)
        clock.pass_(QUIET_SECONDS + 2)
        done = run("re-encrypt", SERVICE)
        assert done.exit_code == 1
        assert "3 re-encrypted" in done.output
        assert "2 do not decrypt and stay as they are" in done.output
        assert '"associated_data": "s/r3"' in done.output
        assert NAME not in done.output
        assert run("prune", SERVICE).exit_code == 1
        lines = run("list", SERVICE).output.splitlines()
        assert lines[1].endswith(" 1 ciphertexts")
        assert lines[-1].strip() == "1 values have none of these keys"

    def test_all_services_at_once(
        self, folder: Path, tmp_path: Path, engine: Engine, clock: Clock
    ) -> None:
        names = services_with_encrypted_columns()
        assert set(names) == {"user_svc", "ocr_svc", "queue_svc", "institution_svc"}
        for name in names:
            if name != SERVICE:
                migrated_sqlite(name, tmp_path / "data" / f"{name}.db")
        before = {name: known(folder, name)[0] for name in names}
        assert run("rotate", "--after", "0").exit_code == 0
        clock.pass_(QUIET_SECONDS + 2)
        assert [line.partition(":")[0] for line in run("re-encrypt").output.splitlines()] == list(
            names
        )
        assert run("prune").exit_code == 0
        for name in names:
            assert len(known(folder, name)) == 1
            assert known(folder, name) != [before[name]]


class TestErrors:
    @pytest.mark.parametrize("command", ["rotate", "list", "re-encrypt", "prune"])
    def test_they_say_what_is_wrong(self, folder: Path, engine: Engine, command: str) -> None:
        file = data_keys.file_of(folder, SERVICE)
        file.write_text("{")
        found = run(command, SERVICE)
        assert found.exit_code == 1
        assert f"{file} is damaged" in str(found.exception)
        file.unlink()
        assert "does not exist: start the mesh first" in str(run(command, SERVICE).exception)
        assert "gateway has no encrypted data; choose one of" in str(
            run(command, "gateway").exception
        )

    @pytest.mark.parametrize("command", ["list", "re-encrypt", "prune"])
    def test_an_empty_database_is_not_taken_for_one_without_ciphertexts(
        self,
        folder: Path,
        tmp_path: Path,
        command: str,
        clock: Clock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Else a wrong URL would let prune remove a key that the real database needs."""
        url = f"sqlite:///{tmp_path / 'other.db'}"
        monkeypatch.setenv("MEDIQ_INSTITUTION_SVC_DATABASE_URL", url)
        data_keys.rotate(folder, SERVICE, 0)
        clock.pass_(QUIET_SECONDS + 2)
        before = known(folder)
        found = run(command, SERVICE)
        assert found.exit_code == 1
        assert "lacks the table idempotency (TABLE_MISSING)" in str(found.exception)
        assert "MEDIQ_INSTITUTION_SVC_DATABASE_URL" in str(found.exception)
        assert known(folder) == before

    def test_a_database_that_does_not_answer(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        word = uuid4().hex
        url = f"mysql+pymysql://root:{word}@127.0.0.1:1/none"
        monkeypatch.setenv("MEDIQ_INSTITUTION_SVC_DATABASE_URL", url)
        found = run("list", SERVICE)
        assert found.exit_code == 1
        assert "DATABASE_UNAVAILABLE" in str(found.exception)
        assert word not in str(found.exception) + found.output

    def test_a_folder_that_cannot_be_written(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(30, "Read-only file system", str(folder))

        monkeypatch.setattr("mesh.encryption.data_keys.write_private", refuse)
        assert "Read-only file system" in str(run("rotate", SERVICE).exception)

    def test_a_time_in_the_past(self, folder: Path) -> None:
        assert run("rotate", SERVICE, "--after", "-1").exit_code == 2

    @on_mariadb_only
    def test_rows_that_stay_locked(self, folder: Path, engine: Engine) -> None:
        """A writer of SQLite has the whole database."""
        remember(engine, FieldCipher.load(folder, SERVICE), 3)
        await_turn(data_keys.rotate(folder, SERVICE, 0))
        with engine.begin() as other:
            other.execute(select(IDEMPOTENCY).limit(1).with_for_update()).all()
            done = run("re-encrypt", SERVICE)
        assert done.exit_code == 1
        assert "2 re-encrypted" in done.output
        assert "1 were in use, try again" in done.output


def test_it_is_registered(folder: Path, engine: Engine) -> None:
    done = CliRunner().invoke(application("data-keys"), ["data-keys", "list", SERVICE])
    assert done.exit_code == 0
