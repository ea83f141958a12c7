"""`mediq audit recipients`: names and addresses of who was touched, for letters."""

from __future__ import annotations

import csv
import getpass
import stat
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from google.protobuf.json_format import Parse
from mediq.audit.v1.audit_pb2 import AuditAct, AuditActor, AuditEntry, AuditEvent
from mediq.policy.v1.policy_pb2 import Role
from sqlalchemy import URL
from sqlalchemy.orm import Session
from typer.testing import CliRunner, Result

from mesh.encryption.field_cipher import FieldCipher
from mesh.persistence.database import Database
from tests.user_svc.audit.audit_trail import MINUTE, NOW, AuditTrail, event, ids
from tests.user_svc.conftest import new_nik
from user_svc.audit.chain import AuditChain
from user_svc.cli import audit, audit_support
from user_svc.domain.accounts import Person
from user_svc.domain.accounts import Role as AccountRole
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.patient_repository import PatientRepository
from user_svc.settings import UserSettings

Patients = Callable[[Session], PatientRepository]
FROM = ("--from", "2026-03-01T15:00:00+07:00")
TO = ("--to", "2026-03-01T08:30:00Z")


@pytest.fixture
def kept(trail: AuditTrail, settings: UserSettings, monkeypatch: pytest.MonkeyPatch) -> AuditTrail:
    """The trail, with the keys that commands find."""
    monkeypatch.setenv("MEDIQ_HOME", str(settings.home))
    monkeypatch.setenv("MEDIQ_USER_SVC_DATABASE_URL", settings.database)
    monkeypatch.setattr("mesh.observability.logs.configure", lambda *_: None)
    trail.chain = AuditChain.load(settings.keys, "user_svc")
    return trail


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the list goes."""
    return tmp_path / "letters.csv"


@pytest.fixture
def patients(settings: UserSettings) -> Patients:
    """The accounts, with the keys of the service."""
    cipher = AccountCipher(FieldCipher.load(settings.keys, settings.service))
    return lambda session: PatientRepository(session, cipher)


def patient(kept: AuditTrail, patients: Patients, nama: str, alamat: str = "JL. MAWAR 1") -> str:
    """The account of a new patient."""
    person = Person(role=AccountRole.PASIEN, nama=nama, nik=new_nik(), alamat=alamat)
    with Session(kept.engine) as session, session.begin():
        return patients(session).create(person, None, NOW).id


def touched(kept: AuditTrail, *persons: str, **fields: object) -> None:
    """Somebody looked at persons."""
    kept.append(event(persons=list(persons), **fields))  # type: ignore[arg-type]


def run(file: Path, *options: str) -> Result:
    arguments = ["recipients", "--output", str(file), *options]
    return CliRunner().invoke(audit.app, arguments, env={"COLUMNS": "200"})


def written(file: Path) -> list[list[str]]:
    with file.open(encoding="utf-8", newline="") as content:
        return list(csv.reader(content))


def own_events(kept: AuditTrail) -> list[AuditEvent]:
    """What the trail has of the command, oldest first."""
    arguments = ["list", "--limit", "100", "--json"]
    done = CliRunner().invoke(audit.app, arguments)
    found = [Parse(line, AuditEntry()).event for line in done.stdout.splitlines()]
    return [one for one in found if one.method == "audit recipients"][::-1]


def test_everyone_with_an_open_account(kept: AuditTrail, patients: Patients, file: Path) -> None:
    siti = patient(kept, patients, 'SITI, "IBU" RAHMAWATI', "JL. KENANGA 1\nRT 002")
    budi = patient(kept, patients, "BUDI", "")
    patient(kept, patients, "NOBODY ASKED")
    touched(kept, siti, budi)
    touched(kept, siti, act=AuditAct.AUDIT_ACT_CHANGE)
    done = run(file, *FROM, *TO, "--reason", "insiden 2026-03, Pasal 46")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "written: 2, of these without an address: 1",
        "closed or erased: 0",
    ]
    header, *rows = written(file)
    assert header == ["id", "nama", "alamat"]
    expected = {
        siti: ['SITI, "IBU" RAHMAWATI', "JL. KENANGA 1\nRT 002"],
        budi: ["BUDI", ""],
    }
    assert rows == [[one, *expected[one]] for one in sorted(expected)]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (recorded,) = own_events(kept)
    assert (recorded.service, recorded.act) == ("user_svc", AuditAct.AUDIT_ACT_ACCESS)
    assert recorded.actor == AuditActor(peer="command", login=getpass.getuser())
    assert list(recorded.person_ids) == sorted(expected)
    assert recorded.reason == "insiden 2026-03, Pasal 46"
    assert kept.faults() == {}


def test_the_same_persons_as_touched(kept: AuditTrail, patients: Patients, file: Path) -> None:
    one, two, three = (patient(kept, patients, f"ORANG {number}") for number in range(3))
    actor, facility = ids(2)
    touched(kept, one, actor=AuditActor(id=actor, role=Role.ROLE_OPERATOR))
    touched(kept, two, institution_id=facility, when=NOW + MINUTE)
    touched(kept, three, when=NOW + 60 * MINUTE)
    touched(kept, three, act=AuditAct.AUDIT_ACT_REFUSED, refusal="OTHER_SUBJECT")
    for number, (options, expected) in enumerate(
        (
            (TO, {one, two}),
            ((*TO, "--actor", actor), {one}),
            ((*TO, "--institution", facility), {two}),
            ((), {one, two, three}),
        )
    ):
        target = file.with_name(f"{number}.csv")
        assert run(target, *FROM, *options).exit_code == 0
        assert {row[0] for row in written(target)[1:]} == expected
    assert own_events(kept)[2].institution_id == facility


def test_who_has_no_open_account_is_named_by_the_identifier_alone(
    kept: AuditTrail, patients: Patients, file: Path
) -> None:
    open_one, closed, erased = (
        patient(kept, patients, nama) for nama in ("TERBUKA", "TERTUTUP", "TERHAPUS")
    )
    with Session(kept.engine) as session, session.begin():
        patients(session).retire(closed, NOW)
        patients(session).erase(erased, NOW)
    unknown = ids(1)[0]
    touched(kept, open_one, closed, erased, unknown)
    done = run(file, *FROM, *TO)
    assert done.exit_code == 0, done.output
    gone = sorted([closed, erased, unknown])
    assert done.stdout.splitlines()[:3] == [f"closed or erased: {one}" for one in gone]
    assert done.stdout.splitlines()[3:] == [
        "written: 1, of these without an address: 0",
        "closed or erased: 3",
    ]
    assert written(file)[1:] == [[open_one, "TERBUKA", "JL. MAWAR 1"]]
    assert "TERTUTUP" not in done.output


def test_pages(
    kept: AuditTrail, patients: Patients, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_support, "MOST_PERSONS", 2)
    persons = sorted(patient(kept, patients, f"ORANG {number}") for number in range(5))
    touched(kept, *persons)
    assert run(file, *FROM, *TO).exit_code == 0
    assert [row[0] for row in written(file)[1:]] == persons
    assert [list(one.person_ids) for one in own_events(kept)] == [
        persons[:2],
        persons[2:4],
        persons[4:],
    ]


def test_nobody(kept: AuditTrail, file: Path) -> None:
    done = run(file, *FROM, *TO)
    assert done.exit_code == 0, done.output
    assert written(file) == [["id", "nama", "alamat"]]
    assert [list(one.person_ids) for one in own_events(kept)] == [[]]


def test_a_name_is_no_formula(kept: AuditTrail, patients: Patients, file: Path) -> None:
    nama = '=HYPERLINK("http://contoh.example")'
    touched(kept, patient(kept, patients, nama, "+62 JL. MAWAR"))
    assert run(file, *FROM, *TO).exit_code == 0
    assert written(file)[1][1:] == [f"'{nama}", "'+62 JL. MAWAR"]


@pytest.mark.parametrize("column", ["nama", "alamat"])
def test_one_who_is_damaged_does_not_stop_the_rest(
    kept: AuditTrail, patients: Patients, file: Path, column: str
) -> None:
    persons = sorted(patient(kept, patients, f"ORANG {number}") for number in range(3))
    kept.sql(f"UPDATE users SET {column} = :bad WHERE id = :id", bad=b"x:y", id=persons[1])
    touched(kept, *persons)
    done = run(file, *FROM, *TO)
    assert done.exit_code == 1
    assert done.stderr == f"mediq: the data of {persons[1]} are damaged\n"
    assert done.stdout.splitlines()[-1] == "damaged: 1"
    assert [row[0] for row in written(file)[1:]] == [persons[0], persons[2]]
    assert [list(one.person_ids) for one in own_events(kept)] == [persons]


class TestRefused:
    def test_a_file_that_exists(self, kept: AuditTrail, patients: Patients, file: Path) -> None:
        touched(kept, patient(kept, patients, "SITI"))
        file.write_text("letters of before")
        done = run(file, *FROM, *TO)
        assert (done.exit_code, "exists" in done.stderr) == (2, True)
        assert file.read_text() == "letters of before"
        link = file.with_name("link.csv")
        link.symlink_to(file.with_name("elsewhere.csv"))
        assert run(link, *FROM, *TO).exit_code == 2
        assert not link.exists()
        assert run(file.parent / "missing" / "letters.csv", *FROM, *TO).exit_code == 2
        assert own_events(kept) == []

    def test_what_cannot_be_kept_is_not_shown(
        self, kept: AuditTrail, patients: Patients, file: Path
    ) -> None:
        touched(kept, patient(kept, patients, "SITI"))
        kept.sql("DELETE FROM audit_head")
        done = run(file, *FROM, *TO)
        assert (done.exit_code, "AUDIT_HEAD_LOST" in done.stderr) == (2, True)
        assert not file.exists()

    def test_no_half_list_is_left(
        self,
        kept: AuditTrail,
        patients: Patients,
        file: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The database goes away after the first page."""
        monkeypatch.setattr(audit_support, "MOST_PERSONS", 1)
        touched(kept, *(patient(kept, patients, f"ORANG {number}") for number in range(2)))
        real, seen = Database.read, list[Path]()

        async def away(self: Database, work: object) -> object:
            if len(seen) == 2:
                assert file.exists()
                self.engine.dispose()
                kept.sql("ALTER TABLE users RENAME TO hidden")
            seen.append(file)
            return await real(self, work)  # type: ignore[arg-type]

        monkeypatch.setattr(Database, "read", away)
        try:
            done = run(file, *FROM, *TO)
        finally:
            kept.sql("ALTER TABLE hidden RENAME TO users")
        assert (done.exit_code, len(seen) > 2) == (2, True)
        assert not file.exists()

    def test_a_server_that_does_not_answer(
        self, kept: AuditTrail, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret = uuid4().hex
        url = URL.create("mysql+pymysql", "mediq", secret, "127.0.0.1", 1, "mediq")
        shown = url.render_as_string(hide_password=False)
        monkeypatch.setenv("MEDIQ_USER_SVC_DATABASE_URL", shown)
        done = run(file, *FROM)
        assert (done.exit_code, "does not answer" in done.stderr) == (2, True)
        assert secret not in done.output
        assert not file.exists()

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ((), "--from"),
            (("--from", ""), "from when"),
            (("--from", "2026-03-01T08:00"), "zone"),
            (("--from", "2026-03-02T00:00Z", *TO), "TIME_RANGE_INVALID"),
            ((*FROM, "--reason", "x" * 501), "INVALID_REQUEST"),
        ],
    )
    def test_bad_options(
        self, kept: AuditTrail, file: Path, options: tuple[str, ...], said: str
    ) -> None:
        done = run(file, *options)
        assert (done.exit_code, said in done.stderr) == (2, True)
        assert not file.exists()
        assert kept.head().position == 0
