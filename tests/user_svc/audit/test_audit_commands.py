"""`mediq audit` on a trail that a real service has written, with the keys of that service."""

from __future__ import annotations

import asyncio
import getpass
import json
from pathlib import Path
from uuid import uuid4

import pytest
from google.protobuf.json_format import Parse
from mediq.audit.v1.audit_pb2 import AuditAct, AuditActor, AuditEntry
from mediq.audit.v1.audit_service_pb2 import TouchedPerson
from mediq.policy.v1.policy_pb2 import Role, Scope
from sqlalchemy import URL
from typer.testing import CliRunner, Result

from mesh.audit_trail.key import AUDIT_KEY
from mesh.clock import timestamp
from mesh.persistence.database import make_engine
from tests.support.mesh import Mesh
from tests.user_svc.audit.audit_trail import MINUTE, NOW, AuditTrail, event, ids
from user_svc.__main__ import build
from user_svc.audit.anchors import append_anchor, find_files, show_mac
from user_svc.audit.chain import AuditChain
from user_svc.cli import audit, audit_support
from user_svc.settings import UserSettings

FROM = ("--from", "2026-03-01T15:00:00+07:00")
TO = ("--to", "2026-03-01T08:30:00Z")


@pytest.fixture
def kept(trail: AuditTrail, settings: UserSettings, monkeypatch: pytest.MonkeyPatch) -> AuditTrail:
    """The trail, with the keys that commands find."""
    monkeypatch.setenv("MEDIQ_HOME", str(settings.home))
    monkeypatch.setenv("MEDIQ_USER_SVC_DATABASE_URL", settings.database)
    monkeypatch.setenv("MEDIQ_USER_SVC_AUDIT_ANCHORS", str(settings.anchors))
    monkeypatch.setattr("mesh.observability.logs.configure", lambda *_: None)
    trail.chain = AuditChain.load(settings.keys, "user_svc")
    return trail


def run(*arguments: str) -> Result:
    return CliRunner().invoke(audit.app, [*arguments], env={"COLUMNS": "200"})


def last_event(trail: AuditTrail) -> AuditEntry:
    """The newest entry, as the trail keeps it."""
    shown = run("list", "--limit", "2", "--json")
    assert shown.exit_code == 0, shown.output
    # The newest one at that time is the one before the command itself.
    return Parse(shown.stdout.splitlines()[0], AuditEntry())


class TestVerify:
    def test_a_whole_trail(self, kept: AuditTrail, settings: UserSettings) -> None:
        kept.fill(3)
        head = kept.head()
        append_anchor(settings.anchors / "host.jsonl", head, NOW)
        done = run("verify")
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [
            f"entries: 3, the last one 3:{show_mac(head.mac)}",
            f"anchors: 1, the newest one 3 of {NOW}",
            "the trail is whole",
        ]

    def test_a_broken_trail(self, kept: AuditTrail) -> None:
        kept.fill(9)
        kept.sql("UPDATE audit_entries SET act = 2 WHERE position > 4")
        done = run("verify")
        assert done.exit_code == 1
        lines = done.stdout.splitlines()
        assert lines[2] == "NOT WHOLE: 5 findings, the first one at 5"
        assert lines[3] == "  5  COLUMN  act is not that of the event"
        assert lines[-1] == "COLUMN: 5"

    def test_without_anchors_it_says_what_is_not_found(self, kept: AuditTrail) -> None:
        done = run("verify")
        assert (done.exit_code, "warning: without anchors" in done.stderr) == (0, True)

    def test_anchors_and_heads_that_are_named(
        self, kept: AuditTrail, settings: UserSettings, tmp_path: Path
    ) -> None:
        kept.fill(3)
        head, file = kept.head(), tmp_path / "outside" / "host.jsonl"
        append_anchor(file, head, NOW)
        for table in ("audit_entries", "audit_persons"):
            kept.sql(f"DELETE FROM {table}")
        kept.sql("UPDATE audit_head SET position = 0, mac = :mac", mac="0" * 64)
        assert run("verify").exit_code == 0
        for options in (
            ("--anchors", str(file)),
            ("--anchors", str(settings.keys), "--anchors", str(file.parent)),
            ("--head", f"3:{head.mac}"),
            ("--head", f"3:{show_mac(head.mac)}"),
        ):
            done = run("verify", *options)
            assert done.exit_code == 1, done.output
            assert "SHORT" in done.stdout

    def test_a_named_place_without_anchors_is_no_good_news(
        self, kept: AuditTrail, tmp_path: Path
    ) -> None:
        """As when the volume with the anchors is not mounted."""
        kept.fill(3)
        full, empty = tmp_path / "full" / "host.jsonl", tmp_path / "empty"
        append_anchor(full, kept.head(), NOW)
        empty.mkdir()
        for options in (
            ("--anchors", str(empty)),
            ("--anchors", str(full), "--anchors", str(empty)),
        ):
            done = run("verify", *options)
            assert (done.exit_code, f"no anchor in {empty}" in done.stderr) == (2, True)
            assert "the trail is whole" not in done.stdout
        (empty / "host.jsonl").write_text("\n")
        assert run("verify", "--anchors", str(empty)).exit_code == 2
        kept.sql("UPDATE audit_entries SET act = 2 WHERE position = 2")
        assert run("verify", "--anchors", str(empty)).exit_code == 1

    def test_a_torn_line_is_a_warning(self, kept: AuditTrail, settings: UserSettings) -> None:
        kept.fill(1)
        file = settings.anchors / "host.jsonl"
        append_anchor(file, kept.head(), NOW)
        with file.open("a") as content:
            content.write('{"posi')
        done = run("verify")
        assert (done.exit_code, "line 2 is torn" in done.stderr) == (0, True)
        file.write_text('{"posi\n' + file.read_text())
        done = run("verify")
        assert done.exit_code == 1
        assert "NOT WHOLE: 1 findings\n" in done.stdout

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--head", "3"), "POSITION:MAC"),
            (("--anchors", "/nowhere/at/all"), "/nowhere/at/all"),
        ],
    )
    def test_bad_options(self, kept: AuditTrail, options: tuple[str, ...], said: str) -> None:
        done = run("verify", *options)
        assert done.exit_code == 2
        assert said in done.stderr

    def test_nothing_to_verify(
        self, kept: AuditTrail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        missing = tmp_path / "missing" / "user_svc.db"
        monkeypatch.setenv("MEDIQ_USER_SVC_DATABASE_URL", f"sqlite:///{missing}")
        assert "NO_AUDIT_TRAIL" in run("verify").stderr
        assert not missing.parent.exists()
        missing.parent.mkdir()
        make_engine(f"sqlite:///{missing}", 1).connect().close()
        for command in (("verify",), ("list",), ("touched", *FROM)):
            done = run(*command)
            assert (done.exit_code, "NO_AUDIT_TRAIL" in done.stderr) == (2, True)

    def test_a_server_that_does_not_answer(
        self, kept: AuditTrail, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret = uuid4().hex
        url = URL.create("mysql+pymysql", "mediq", secret, "127.0.0.1", 1, "mediq")
        shown = url.render_as_string(hide_password=False)
        monkeypatch.setenv("MEDIQ_USER_SVC_DATABASE_URL", shown)
        done = run("verify")
        assert (done.exit_code, "does not answer" in done.stderr) == (2, True)
        assert secret not in done.output

    def test_no_key(
        self,
        kept: AuditTrail,
        settings: UserSettings,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        keys = tmp_path / "keys"
        keys.mkdir()
        monkeypatch.setenv("MEDIQ_KEYS_FOLDER", str(keys))
        assert run("verify").exit_code == 2
        (keys / "user_svc.data-key.json").write_bytes(
            (settings.keys / "user_svc.data-key.json").read_bytes()
        )
        done = run("verify")
        assert (done.exit_code, AUDIT_KEY in done.stderr) == (2, True)
        (keys / AUDIT_KEY).write_text("{}")
        done = run("verify")
        assert (done.exit_code, "damaged" in done.stderr) == (2, True)


class TestList:
    def test_what_is_shown_and_what_is_kept_of_it(self, kept: AuditTrail) -> None:
        person, other, actor, facility = ids(4)
        doctor = AuditActor(id=actor, role=Role.ROLE_OPERATOR)
        events = [
            event(
                persons=[person, other], actor=doctor, institution_id=facility, reason="a\n\x1b[m"
            ),
            event(persons=[other], when=NOW + MINUTE),
            event(
                persons=[person],
                actor=AuditActor(id=person, scope=Scope.SCOPE_TICKETS),
                act=AuditAct.AUDIT_ACT_REFUSED,
                refusal="OTHER_SUBJECT",
                when=NOW + 2 * MINUTE,
            ),
        ]
        kept.append(*events)
        done = run("list", "--person", person, "--reason", "laporan warga")
        assert done.exit_code == 0, done.output
        assert done.stdout.splitlines() == [
            f"3  2026-03-01T08:02:00.123456Z  REFUSED  queue_svc/GetTicket  TICKETS  {person}  "
            f"persons={person}  refused=OTHER_SUBJECT",
            f"1  2026-03-01T08:00:00.123456Z  ACCESS  queue_svc/GetTicket  OPERATOR  {actor}  "
            f"persons={person},{other}  reason=a\\n\\u001b[m",
        ]
        recorded = last_event(kept)
        assert recorded.position == 4
        assert (recorded.event.service, recorded.event.method) == ("user_svc", "audit list")
        assert recorded.event.act == AuditAct.AUDIT_ACT_ACCESS
        assert recorded.event.actor == AuditActor(peer="command", login=getpass.getuser())
        assert list(recorded.event.person_ids) == sorted([person, other])
        assert recorded.event.reason == "laporan warga"
        assert kept.faults() == {}

    def test_filters_and_json(self, kept: AuditTrail) -> None:
        actor, facility = ids(2)
        by = AuditActor(id=actor, role=Role.ROLE_OPERATOR)
        one = event(actor=by)
        two = event(institution_id=facility, when=NOW + MINUTE)
        kept.append(one, two)
        for options, expected in (
            (("--actor", actor.upper()), [one]),
            (("--institution", facility), [two]),
            ((*FROM, "--to", "2026-03-01T08:01:00+00:00"), [one]),
            (("--from", "2026-03-01T15:01:00+07:00", *TO), [two]),
            ((*FROM, *TO, "--limit", "1"), [two]),
        ):
            done = run("list", "--json", *options)
            lines = done.stdout.splitlines()
            assert [Parse(line, AuditEntry()).event for line in lines] == expected

    def test_a_look_at_nothing_is_kept_too(self, kept: AuditTrail) -> None:
        person = ids(1)[0]
        assert run("list", "--person", person).stdout == ""
        assert list(last_event(kept).event.person_ids) == [person]

    def test_what_cannot_be_kept_is_not_shown(self, kept: AuditTrail) -> None:
        kept.fill(2)
        kept.sql("DELETE FROM audit_head")
        for command in (("list",), ("touched", *FROM)):
            done = run(*command)
            assert (done.exit_code, done.stdout) == (2, "")
            assert "AUDIT_HEAD_LOST" in done.stderr

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--person", "x"), "UUID"),
            (("--from", "yesterday"), "ISO 8601"),
            (("--from", "2026-03-01"), "zone"),
            (("--to", "2026-03-01T08:00"), "zone"),
            ((*TO, "--from", "2026-03-02T00:00Z"), "TIME_RANGE_INVALID"),
            (("--limit", "0"), "limit"),
            (("--reason", "x" * 501), "INVALID_REQUEST"),
        ],
    )
    def test_bad_options(self, kept: AuditTrail, options: tuple[str, ...], said: str) -> None:
        done = run("list", *options)
        assert (done.exit_code, done.stdout) == (2, "")
        assert said in done.stderr
        assert kept.head().position == 0


class TestTouched:
    def test_everyone(self, kept: AuditTrail, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(audit_support, "MOST_PERSONS", 2)
        persons, actor = sorted(ids(4)), ids(1)[0]
        by = AuditActor(id=actor, role=Role.ROLE_OPERATOR)
        kept.append(
            event(persons=persons[:3]),
            event(persons=persons[3:], actor=by, act=AuditAct.AUDIT_ACT_CHANGE),
        )
        done = run("touched", *FROM, *TO, "--json")
        assert done.exit_code == 0, done.output
        found = [Parse(line, TouchedPerson()) for line in done.stdout.splitlines()]
        time = timestamp(NOW)
        assert found == [
            *(
                TouchedPerson(user_id=one, accesses=1, first_time=time, last_time=time)
                for one in persons[:3]
            ),
            TouchedPerson(user_id=persons[3], changes=1, first_time=time, last_time=time),
        ]
        events = [json.loads(line) for line in run("list", "--json").stdout.splitlines()][:2]
        assert [one["event"]["method"] for one in events] == ["audit touched"] * 2
        assert events[1]["event"]["personIds"] + events[0]["event"]["personIds"] == persons
        done = run("touched", *FROM, *TO, "--actor", actor)
        assert done.stdout.splitlines() == [
            f"{persons[3]}  accesses=0  changes=1  2026-03-01T08:00:00.123456Z  "
            "2026-03-01T08:00:00.123456Z"
        ]
        assert kept.faults() == {}

    def test_nobody(self, kept: AuditTrail) -> None:
        done = run("touched", *FROM, "--institution", ids(1)[0])
        assert (done.exit_code, done.stdout) == (0, "")
        assert last_event(kept).event.method == "audit touched"

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ((), "--from"),
            (("--from", ""), "from when"),
            (("--from", "2026-03-02T00:00Z", *TO), "TIME_RANGE_INVALID"),
        ],
    )
    def test_bad_options(self, kept: AuditTrail, options: tuple[str, ...], said: str) -> None:
        done = run("touched", *options)
        assert (done.exit_code, done.stdout) == (2, "")
        assert said in done.stderr


class TestHead:
    async def test_it_is_fetched_and_kept(
        self,
        mesh: Mesh,
        settings: UserSettings,
        kept: AuditTrail,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        file = tmp_path / "outside" / "heads.jsonl"
        async with mesh.serve(settings, build):
            monkeypatch.setenv("MEDIQ_USER_SVC_ADDRESS", mesh.addresses["user_svc"])
            empty = await asyncio.to_thread(run, "head", "--append", str(file))
            assert (empty.exit_code, empty.stdout) == (0, "")
            assert "empty" in empty.stderr
            assert not file.exists()
            kept.fill(2)
            done = await asyncio.to_thread(run, "head", "--append", str(file))
        assert done.exit_code == 0, done.output
        # The service in this process may have logged an anchor of its own before.
        line = done.stdout.splitlines()[-1]
        shown = json.loads(line)
        assert (shown["position"], shown["mac"]) == (2, kept.head().mac)
        assert file.read_text() == f"{line}\n"
        assert len(find_files([file])) == 1
        assert kept.faults(file) == {}

    @pytest.mark.timeout(120)
    def test_nobody_answers(self, kept: AuditTrail, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MEDIQ_USER_SVC_ADDRESS", "127.0.0.1:1")
        done = run("head")
        assert (done.exit_code, done.stdout) == (2, "")
        assert "127.0.0.1:1" in done.stderr

    def test_without_certificates(
        self, kept: AuditTrail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MEDIQ_TLS_FOLDER", str(tmp_path))
        assert run("head").exit_code == 2

    async def test_another_certificate_is_refused(
        self,
        mesh: Mesh,
        settings: UserSettings,
        kept: AuditTrail,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        tls = tmp_path / "tls"
        tls.mkdir()
        for ending in ("crt", "key"):
            source = settings.tls / f"edge.{ending}"
            (tls / f"ops.{ending}").write_bytes(source.read_bytes())
        (tls / "ca.crt").write_bytes((settings.tls / "ca.crt").read_bytes())
        monkeypatch.setenv("MEDIQ_TLS_FOLDER", str(tls))
        async with mesh.serve(settings, build):
            monkeypatch.setenv("MEDIQ_USER_SVC_ADDRESS", mesh.addresses["user_svc"])
            done = await asyncio.to_thread(run, "head")
        assert (done.exit_code, done.stdout) == (2, "")
