"""Every way to change the trail behind its back is found, on every kind of database."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from mesh.clock import utc_now
from mesh.encryption.field_cipher import FieldCipher
from tests.support.backends.databases import on_sqlite_only
from tests.user_svc.audit.audit_trail import CHAIN_KEY, DATA_KEY, NOW, AuditTrail, event, ids, plain
from user_svc.audit import verification
from user_svc.audit.anchors import append_anchor
from user_svc.audit.chain import AuditChain
from user_svc.audit.report import SHOWN
from user_svc.domain.audit_trail import EMPTY, Head
from user_svc.persistence.audit_models import AUDIT_ENTRIES

COUNT = 9


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fault is found at the borders of pieces too."""
    monkeypatch.setattr(verification, "PIECE", 4)


@pytest.fixture
def filled(trail: AuditTrail) -> AuditTrail:
    trail.fill(COUNT)
    return trail


def rewrite(trail: AuditTrail, last: int) -> None:
    """Makes the trail again up to a position, with the keys: their thief has the database too."""
    with trail.engine.connect() as connection:
        rows = connection.execute(
            select(AUDIT_ENTRIES)
            .where(AUDIT_ENTRIES.c.position <= last)
            .order_by(AUDIT_ENTRIES.c.position)
        ).all()
    events = [trail.chain.entry(row).event for row in rows]
    events[2].reason = "another reason"
    for table in ("audit_entries", "audit_persons"):
        trail.sql(f"DELETE FROM {table}")
    trail.sql("UPDATE audit_head SET position = 0, mac = :mac", mac=EMPTY.mac)
    trail.append(*events, now=NOW)


def put_head_back(trail: AuditTrail) -> None:
    trail.sql(
        "UPDATE audit_head SET position = (SELECT MAX(position) FROM audit_entries),"
        " mac = (SELECT mac FROM audit_entries ORDER BY position DESC LIMIT 1)"
    )


def cut(trail: AuditTrail, last: int) -> None:
    """Cuts the end off so that nothing in the database shows it."""
    for table in ("audit_entries", "audit_persons"):
        trail.sql(f"DELETE FROM {table} WHERE position > :last", last=last)
    put_head_back(trail)


def swap(trail: AuditTrail, one: int, two: int) -> None:
    for table in ("audit_entries", "audit_persons"):
        for before, after in ((one, -1), (two, one), (-1, two)):
            trail.sql(f"UPDATE {table} SET position = :a WHERE position = :b", a=after, b=before)


def test_a_whole_trail(filled: AuditTrail, tmp_path: Path) -> None:
    append_anchor(tmp_path / "a.jsonl", filled.head(), utc_now())
    report = filled.verify(tmp_path, heads=[filled.head()])
    assert (report.whole, report.first, report.shown) == (True, None, [])
    assert (report.entries, report.last, report.anchors) == (COUNT, filled.head(), 2)
    assert report.newest_anchor is not None
    assert report.newest_anchor.head == filled.head()


def test_an_empty_trail_is_whole(trail: AuditTrail) -> None:
    report = trail.verify()
    assert (report.whole, report.entries, report.last) == (True, 0, EMPTY)


@pytest.mark.parametrize(
    ("statement", "first", "faults"),
    [
        pytest.param(
            "UPDATE audit_entries SET payload = (SELECT payload FROM (SELECT payload FROM "
            "audit_entries WHERE position = 6) AS other) WHERE position = 5",
            5,
            {"PAYLOAD": 1},
            id="payload of another entry",
        ),
        pytest.param(
            "UPDATE audit_entries SET payload = 'k:nonsense' WHERE position = 4",
            4,
            {"PAYLOAD": 1},
            id="damaged payload",
        ),
        pytest.param(
            "UPDATE audit_entries SET actor_id = '' WHERE position = 5",
            5,
            {"COLUMN": 1},
            id="actor",
        ),
        pytest.param(
            "UPDATE audit_entries SET institution_id = 'x' WHERE position > 7",
            8,
            {"COLUMN": 2},
            id="institution",
        ),
        pytest.param(
            "UPDATE audit_entries SET act = 2 WHERE position = 1", 1, {"COLUMN": 1}, id="act"
        ),
        pytest.param(
            "UPDATE audit_entries SET occur_time = '2026-03-01 08:00:00.123457' WHERE position = 2",
            2,
            {"COLUMN": 1},
            id="time of the event",
        ),
        pytest.param(
            "UPDATE audit_entries SET record_time = '2026-03-01 08:00:00.123457' "
            "WHERE position = 2",
            2,
            {"MAC": 1},
            id="time of the entry",
        ),
        pytest.param(
            "UPDATE audit_entries SET event_id = 'x' WHERE position = 3",
            3,
            {"PAYLOAD": 1},
            id="identifier",
        ),
        pytest.param(
            "UPDATE audit_entries SET mac = UPPER(mac) WHERE position = 3",
            3,
            {"MAC": 2},
            id="HMAC",
        ),
        pytest.param(
            "DELETE FROM audit_persons WHERE position = 4", 4, {"PERSON_MISSING": 1}, id="persons"
        ),
        pytest.param(
            "INSERT INTO audit_persons (person_id, position) VALUES ('x', 7)",
            7,
            {"PERSON_EXTRA": 1},
            id="a person more",
        ),
        pytest.param(
            "INSERT INTO audit_persons (person_id, position) VALUES ('x', 999), ('y', -3)",
            -3,
            {"PERSON_EXTRA": 2},
            id="persons of no entry",
        ),
        pytest.param("UPDATE audit_head SET position = 8", 9, {"HEAD": 1}, id="head too low"),
        pytest.param("UPDATE audit_head SET position = 12", 10, {"HEAD": 1}, id="head too high"),
        pytest.param("UPDATE audit_head SET mac = 'x'", 9, {"HEAD": 1}, id="head's HMAC"),
        pytest.param("DELETE FROM audit_head", 9, {"HEAD": 1}, id="no head"),
        pytest.param(
            "INSERT INTO audit_head (id, position, mac) VALUES (2, 9, 'x')",
            9,
            {"HEAD": 1},
            id="two heads",
        ),
        pytest.param(
            "DELETE FROM audit_entries WHERE position = 5",
            5,
            {"GAP": 1, "MAC": 1, "PERSON_EXTRA": 1},
            id="deleted entry",
        ),
        pytest.param(
            "DELETE FROM audit_entries WHERE position BETWEEN 2 AND 6",
            2,
            {"GAP": 1, "MAC": 1, "PERSON_EXTRA": 5},
            id="deleted entries",
        ),
        pytest.param(
            "DELETE FROM audit_entries WHERE position = 9",
            9,
            {"HEAD": 1, "PERSON_EXTRA": 1},
            id="last entry",
        ),
        pytest.param(
            "DELETE FROM audit_entries", 1, {"HEAD": 1, "PERSON_EXTRA": 9}, id="everything"
        ),
        pytest.param(
            "UPDATE audit_entries SET position = 9223372036854775807 WHERE position = 9",
            9,
            {"GAP": 1, "MAC": 1, "PERSON_EXTRA": 1, "PERSON_MISSING": 1, "HEAD": 1},
            id="far away",
        ),
        pytest.param(
            "UPDATE audit_entries SET position = 0 WHERE position = 1",
            0,
            {"POSITION": 1, "MAC": 1, "GAP": 1, "PERSON_EXTRA": 1, "PERSON_MISSING": 1},
            id="below 1",
        ),
    ],
)
def test_a_change(filled: AuditTrail, statement: str, first: int, faults: dict[str, int]) -> None:
    filled.sql(statement)
    report = filled.verify()
    assert plain(report.counts) == faults
    assert report.first is not None
    assert report.first.position == first
    assert not report.whole


@on_sqlite_only
def test_columns_of_another_kind(filled: AuditTrail) -> None:
    """SQLite keeps a text in a column of times or numbers; MariaDB refuses it."""
    filled.sql("UPDATE audit_entries SET record_time = 'never', occur_time = 5 WHERE position = 2")
    filled.sql("UPDATE audit_entries SET payload = 7, mac = x'00' WHERE position = 4")
    filled.sql("UPDATE audit_entries SET act = 'x' WHERE position = 8")
    filled.sql("INSERT INTO audit_persons (person_id, position) VALUES ('x', 'y')")
    filled.sql("UPDATE audit_head SET position = 'x'")
    report = filled.verify()
    assert plain(report.counts) == {
        "MAC": 2,
        "COLUMN": 2,
        "PAYLOAD": 1,
        "PERSON_EXTRA": 1,
        "HEAD": 1,
    }
    assert report.first is not None
    assert report.first.position == 2


def test_an_event_that_was_encrypted_by_a_thief_of_the_data_key(filled: AuditTrail) -> None:
    """The key of the chain is another one."""
    ((event_id,),) = filled.sql("SELECT event_id FROM audit_entries WHERE position = 5")
    cipher = FieldCipher("k", {"k": DATA_KEY}, bytes(32))
    forged = event(id=event_id, persons=[])
    forged.actor.id = ""
    for plain_text, faults in (
        (forged.SerializeToString(), {"MAC": 1, "COLUMN": 1, "PERSON_EXTRA": 1}),
        (b"\xff", {"MAC": 1, "PAYLOAD": 1}),
    ):
        filled.sql(
            "UPDATE audit_entries SET payload = :p WHERE position = 5",
            p=cipher.encrypt(plain_text, f"audit/{event_id}"),
        )
        report = filled.verify()
        assert plain(report.counts) == faults
        assert report.first is not None
        assert report.first.position == 5


def test_two_entries_change_places(filled: AuditTrail) -> None:
    swap(filled, 4, 5)
    report = filled.verify()
    assert plain(report.counts) == {"MAC": 3}
    assert report.first is not None
    assert (report.first.position, report.first.fault) == (4, "MAC")


def test_a_cut_end_is_found_by_an_anchor(filled: AuditTrail, tmp_path: Path) -> None:
    anchor = filled.head()
    append_anchor(tmp_path / "host.jsonl", anchor, utc_now())
    cut(filled, 6)
    assert filled.faults() == {}
    report = filled.verify(tmp_path)
    assert plain(report.counts) == {"SHORT": 1}
    assert report.first is not None
    assert report.first.position == 7
    assert filled.faults(heads=[anchor]) == {"SHORT": 1}
    filled.fill(5)
    assert filled.faults() == {}
    assert filled.faults(tmp_path) == {"ANCHOR": 1}


def test_a_trail_that_was_emptied_is_found_by_an_anchor(filled: AuditTrail) -> None:
    anchor = filled.head()
    for table in ("audit_entries", "audit_persons"):
        filled.sql(f"DELETE FROM {table}")
    filled.sql("UPDATE audit_head SET position = 0, mac = :mac", mac=EMPTY.mac)
    assert filled.faults() == {}
    assert filled.faults(heads=[anchor]) == {"SHORT": 1}


def test_a_trail_that_was_rewritten_is_found_by_an_anchor(
    filled: AuditTrail, tmp_path: Path
) -> None:
    file = tmp_path / "host.jsonl"
    with filled.engine.connect() as connection:
        rows = connection.execute(
            select(AUDIT_ENTRIES.c.position, AUDIT_ENTRIES.c.mac).order_by("position")
        ).all()
    for row in rows:
        append_anchor(file, Head(row.position, row.mac), utc_now())
    rewrite(filled, COUNT)
    assert filled.faults() == {}
    report = filled.verify(file)
    assert plain(report.counts) == {"ANCHOR": COUNT - 2}
    assert report.first is not None
    assert report.first.position == 3
    assert filled.faults(heads=[Head(rows[-1].position, rows[-1].mac)]) == {"ANCHOR": 1}


def test_an_anchor_of_a_deleted_entry(filled: AuditTrail) -> None:
    ((mac,),) = filled.sql("SELECT mac FROM audit_entries WHERE position = 5")
    swap(filled, 5, 12)
    assert filled.faults(heads=[Head(5, mac)])["ANCHOR"] == 1


def test_another_key_of_the_chain(filled: AuditTrail) -> None:
    filled.chain = AuditChain(FieldCipher("k", {"k": DATA_KEY}, bytes(32)), bytes(32))
    report = filled.verify()
    assert plain(report.counts) == {"MAC": COUNT}
    assert report.first is not None
    assert report.first.position == 1


def test_another_data_key(filled: AuditTrail) -> None:
    filled.chain = AuditChain(FieldCipher("k", {"k": bytes(32)}, bytes(32)), CHAIN_KEY)
    assert filled.faults() == {"PAYLOAD": COUNT}


def test_an_event_twice(filled: AuditTrail) -> None:
    """With the keys, and without the unique index."""
    unique = "DROP INDEX event_id ON audit_entries"
    if filled.engine.dialect.name == "sqlite":
        filled.sql("CREATE TABLE copied AS SELECT * FROM audit_entries")
        filled.sql("DROP TABLE audit_entries")
        unique = "ALTER TABLE copied RENAME TO audit_entries"
    filled.sql(unique)
    ((event_id, payload),) = filled.sql(
        "SELECT event_id, payload FROM audit_entries WHERE position = 3"
    )
    columns = "event_id, record_time, occur_time, act, actor_id, institution_id, payload"
    head = filled.head()
    mac = filled.chain.mac(10, NOW, filled.chain.decrypt(event_id, bytes(payload)), head.mac)
    filled.sql(
        f"INSERT INTO audit_entries (position, mac, {columns}) "
        f"SELECT 10, :mac, {columns} FROM audit_entries WHERE position = 3",
        mac=mac,
    )
    filled.sql(
        "INSERT INTO audit_persons (person_id, position) "
        "SELECT person_id, 10 FROM audit_persons WHERE position = 3"
    )
    put_head_back(filled)
    report = filled.verify()
    assert plain(report.counts) == {"DOUBLE": 1}
    assert report.first is not None
    assert report.first.position == 10


def test_a_position_twice(filled: AuditTrail) -> None:
    """Without the primary key."""
    filled.sql("CREATE TABLE copied AS SELECT * FROM audit_entries")
    filled.sql("INSERT INTO copied SELECT * FROM audit_entries WHERE position = 4")
    filled.sql("DROP TABLE audit_entries")
    filled.sql("ALTER TABLE copied RENAME TO audit_entries")
    faults = filled.faults()
    assert (faults["POSITION"], faults["DOUBLE"]) == (1, 1)


def test_what_is_not_shown_is_counted(trail: AuditTrail) -> None:
    trail.fill(SHOWN + 5)
    trail.sql("UPDATE audit_entries SET act = 2")
    report = trail.verify()
    assert len(report.shown) == SHOWN
    assert plain(report.counts) == {"COLUMN": SHOWN + 5}


def test_verification_changes_nothing(filled: AuditTrail) -> None:
    tables = ("audit_entries", "audit_persons", "audit_head")
    before = [filled.sql(f"SELECT * FROM {table}") for table in tables]
    filled.sql("UPDATE audit_head SET position = position")
    filled.verify()
    assert [filled.sql(f"SELECT * FROM {table}") for table in tables] == before


def test_appends_and_anchors_during_a_verification(
    filled: AuditTrail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sees one state; what comes later is neither read nor missed."""
    file = tmp_path / "host.jsonl"
    append_anchor(file, filled.head(), utc_now())
    walk = verification._Walk._entry

    def slow(self: verification._Walk, *arguments: object) -> None:
        filled.append(event())
        append_anchor(file, filled.head(), utc_now())
        walk(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(verification._Walk, "_entry", slow)
    report = filled.verify(tmp_path)
    assert (report.whole, report.entries, report.anchors) == (True, COUNT, 1), report.shown
    monkeypatch.undo()
    assert filled.verify(tmp_path).anchors == COUNT + 1
    assert filled.faults(tmp_path) == {}


def test_a_path_without_anchors(filled: AuditTrail, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        filled.verify(tmp_path / "nothing")
    assert filled.verify(tmp_path).anchors == 0


def test_a_damaged_file_of_anchors(filled: AuditTrail, tmp_path: Path) -> None:
    file = tmp_path / "host.jsonl"
    for _ in range(3):
        append_anchor(file, filled.head(), utc_now())
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(lines[0] + lines[1][:40] + "\n" + lines[2])
    report = filled.verify(file)
    assert plain(report.counts) == {"ANCHOR_LINE": 1}
    assert report.first is not None
    assert report.first.position is None
    assert "line 2" in report.first.detail
    assert report.anchors == 2
    file.write_text(lines[0] + lines[1][:40])
    report = filled.verify(file)
    assert (report.whole, report.anchors, len(report.warnings)) == (True, 1, 1)


def test_the_first_finding_is_that_of_the_lowest_position(filled: AuditTrail) -> None:
    filled.sql("UPDATE audit_entries SET act = 2 WHERE position = 7")
    report = filled.verify(heads=[replace(filled.head(), position=4)])
    assert report.first is not None
    assert (report.first.position, report.first.fault) == (4, "ANCHOR")
    assert [finding.position for finding in report.shown] == [7, 4]


def test_times_are_compared_to_the_microsecond(trail: AuditTrail) -> None:
    moment = datetime.datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=datetime.UTC)
    trail.append(event(when=moment, persons=ids(1)), now=moment)
    assert trail.faults() == {}
