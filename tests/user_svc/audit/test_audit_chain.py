"""The chain on every kind of database, without a server around it."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from mediq.audit.v1.audit_pb2 import AuditEvent
from sqlalchemy import select
from sqlalchemy.orm import Session

from mesh.encryption.field_cipher import FieldCipher
from mesh.errors import MeshError
from mesh.persistence.database import Database
from tests.user_svc.audit.audit_trail import (
    CHAIN_KEY,
    DATA_KEY,
    MINUTE,
    NOW,
    AuditTrail,
    event,
    ids,
)
from user_svc.audit.chain import AuditChain
from user_svc.domain.audit_trail import FIRST_MAC, Head
from user_svc.persistence.audit_models import AUDIT_ENTRIES

POSITIONS = "SELECT position FROM audit_entries ORDER BY position"


def stored(trail: AuditTrail) -> list[AuditEvent]:
    with trail.engine.connect() as connection:
        rows = connection.execute(select(AUDIT_ENTRIES).order_by(AUDIT_ENTRIES.c.position)).all()
    return [trail.chain.entry(row).event for row in rows]


def crash(trail: AuditTrail) -> None:
    """Appends, and dies before the commit."""
    with Session(trail.engine) as session, session.begin():
        trail.chain.append(session, [event(), event()], NOW)
        raise ZeroDivisionError


def test_events_stand_in_the_order_in_which_they_came(trail: AuditTrail) -> None:
    first, second = [event() for _ in range(3)], [event(reason="éü", persons=[])]
    assert (trail.append(*first), trail.append(*second), trail.append()) == (3, 1, 0)
    assert stored(trail) == [*first, *second]
    assert trail.sql(POSITIONS) == [(1,), (2,), (3,), (4,)]
    assert trail.head().position == 4


def test_the_first_entry_follows_nothing(trail: AuditTrail) -> None:
    assert trail.head() == Head(0, "0" * 64)
    assert trail.faults() == {}


def test_the_format_is_the_documented_one(trail: AuditTrail) -> None:
    """Written from docs/compliance/audit.md alone, with nothing of the chain."""
    one, two = event(reason="a"), event(reason="b", institution_id=ids(1)[0])
    trail.append(one, two)
    before = "0" * 64
    for position, made in enumerate((one, two), 1):
        plain = made.SerializeToString(deterministic=True)
        micros = 1_772_352_000_123_456
        assert micros == round(NOW.timestamp() * 1e6)
        text = b"mediq.audit.v1\n" + b"".join(
            number.to_bytes(8, "big") for number in (position, micros, len(plain))
        )
        text += plain + before.encode("ascii")
        before = hmac.new(CHAIN_KEY, text, hashlib.sha256).hexdigest()
        ((found,),) = trail.sql("SELECT mac FROM audit_entries WHERE position = :p", p=position)
        assert found == before
    assert trail.head() == Head(2, before)


def test_an_event_comes_in_once(trail: AuditTrail) -> None:
    one, two, three = event(), event(), event()
    assert trail.append(one, two, one) == 2
    assert trail.append(two, one) == 0
    again = AuditEvent()
    again.CopyFrom(one)
    again.id = one.id.upper()
    assert trail.append(again, three) == 1
    assert stored(trail) == [one, two, three]
    assert trail.faults() == {}


def test_the_first_of_two_events_with_one_identifier_stays(trail: AuditTrail) -> None:
    one = event(reason="first")
    trail.append(one)
    assert trail.append(event(id=one.id, reason="second")) == 0
    two = event(reason="first")
    assert trail.append(two, event(id=two.id, reason="second")) == 1
    assert stored(trail) == [one, two]


def test_identifiers_are_found_in_lower_case(trail: AuditTrail) -> None:
    person, facility = ids(2)
    made = event(persons=[person.upper(), person], institution_id=facility.upper())
    made.actor.id = made.actor.id.upper()
    trail.append(made)
    assert trail.sql("SELECT person_id, position FROM audit_persons") == [(person, 1)]
    row = trail.sql("SELECT event_id, actor_id, institution_id FROM audit_entries")
    assert row == [(made.id, made.actor.id.lower(), facility)]
    assert stored(trail) == [made]
    assert trail.faults() == {}


def test_the_largest_event_has_room(trail: AuditTrail) -> None:
    made = event(persons=ids(1000), object_ids=ids(1000), reason="x" * 500)
    assert trail.append(made) == 1
    assert stored(trail) == [made]
    assert trail.sql("SELECT COUNT(*) FROM audit_persons") == [(1000,)]
    assert trail.faults() == {}


@pytest.mark.parametrize(("seconds", "nanos"), [(-1, 0), (253_402_300_800, 0), (0, 10**9)])
def test_a_time_that_is_none_is_refused(trail: AuditTrail, seconds: int, nanos: int) -> None:
    made = event()
    made.occur_time.seconds, made.occur_time.nanos = seconds, nanos
    with pytest.raises(MeshError, match="TIME_INVALID"):
        trail.append(event(), made)
    assert trail.sql(POSITIONS) == []


def test_a_crash_leaves_nothing_or_everything(trail: AuditTrail) -> None:
    trail.fill(2)
    with pytest.raises(ZeroDivisionError):
        crash(trail)
    assert (trail.head().position, trail.sql(POSITIONS)) == (2, [(1,), (2,)])
    assert trail.sql("SELECT COUNT(*) FROM audit_persons") == [(4,)]
    trail.fill(1)
    assert trail.faults() == {}


def test_without_its_head_the_trail_does_not_go_on(trail: AuditTrail) -> None:
    trail.fill(1)
    trail.sql("DELETE FROM audit_head")
    with pytest.raises(MeshError, match="AUDIT_HEAD_LOST"):
        trail.append(event())
    with pytest.raises(MeshError, match="AUDIT_HEAD_LOST"):
        trail.head()


def test_payloads_are_encrypted_and_bound_to_their_event(trail: AuditTrail) -> None:
    made = [event(reason="DEMAM BERDARAH"), event()]
    trail.append(*made)
    payloads = trail.sql("SELECT payload FROM audit_entries ORDER BY position")
    for (payload,) in payloads:
        assert b"DEMAM" not in bytes(payload)
    one, two = (bytes(payload) for (payload,) in payloads)
    trail.sql("UPDATE audit_entries SET payload = :p WHERE position = 1", p=two)
    with pytest.raises(MeshError, match="AUDIT_ENTRY_DAMAGED") as caught:
        stored(trail)
    assert caught.value.metadata == {"position": "1"}
    trail.sql("UPDATE audit_entries SET payload = :p WHERE position = 1", p=one)
    assert stored(trail) == made


def test_encrypting_again_keeps_the_chain(trail: AuditTrail) -> None:
    events = trail.fill(3)
    new = FieldCipher("n", {"k": DATA_KEY, "n": bytes(32)}, bytes(32))
    for event_id, payload in trail.sql("SELECT event_id, payload FROM audit_entries"):
        associated_data = f"audit/{event_id}"
        trail.sql(
            "UPDATE audit_entries SET payload = :p WHERE event_id = :e",
            p=new.encrypt(new.decrypt(bytes(payload), associated_data), associated_data),
            e=event_id,
        )
    # The old key is thrown away.
    trail.chain = AuditChain(FieldCipher("n", {"n": bytes(32)}, bytes(32)), CHAIN_KEY)
    assert trail.faults() == {}
    assert stored(trail) == events


def test_record_times_may_lie_beside_each_other(trail: AuditTrail) -> None:
    """Clocks of two replicas differ: the order is that of the positions."""
    trail.append(event(), now=NOW)
    trail.append(event(), now=NOW - MINUTE)
    zone = datetime.timezone(datetime.timedelta(hours=7))
    trail.append(event(), now=(NOW + MINUTE).astimezone(zone))
    assert trail.faults() == {}


APPENDER = """
import sys
from mesh.persistence.database import make_engine
from tests.user_svc.audit.audit_trail import AuditTrail
trail = AuditTrail(sys.argv[1], make_engine(sys.argv[1], 1))
while True:
    trail.fill(20)
    print(trail.head().position, flush=True)
"""


def test_killed_writers_leave_a_whole_trail(trail: AuditTrail) -> None:
    """SIGKILL at any moment: what was reported as done is there, and nothing is there by half."""
    for life in range(4):
        command = [sys.executable, "-c", APPENDER, trail.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            reported = [int(process.stdout.readline()) for _ in range(3 + life)][-1]
            time.sleep(random.uniform(0, 0.02))
            process.kill()
        report = trail.verify()
        assert (report.whole, report.last) == (True, trail.head()), report.shown
        assert report.entries >= reported
        assert report.entries % 20 == 0
        trail.fill(20)
    assert trail.faults() == {}


@pytest.mark.parametrize("seed", range(3))
def test_replicas_that_append_at_once_make_one_chain(trail: AuditTrail, seed: int) -> None:
    """Eight threads on two engines; what each sends overlaps with what the others send."""
    chance = random.Random(seed)
    known = [event(persons=ids(chance.randrange(4))) for _ in range(400)]
    replicas = [Database(trail.url, 4) for _ in range(2)]

    def work(number: int) -> int:
        own, added = random.Random(f"{seed}/{number}"), 0
        for _ in range(12):
            batch = own.choices(known, k=own.randrange(1, 30))
            added += replicas[number % 2]._attempt(
                lambda session, batch=batch: trail.chain.append(session, batch, NOW),  # type: ignore[misc]
                read=False,
            )
            if own.random() < 0.2:
                with pytest.raises(ZeroDivisionError):
                    crash(trail)
        return added

    with ThreadPoolExecutor(8) as threads:
        added = sum(threads.map(work, range(8)))
    for replica in replicas:
        replica.engine.dispose()
    report = trail.verify()
    assert (report.whole, report.entries) == (True, added), report
    ((count,),) = trail.sql("SELECT COUNT(DISTINCT event_id) FROM audit_entries")
    assert count == added == trail.head().position
    found = {one.id: one for one in stored(trail)}
    assert found == {one.id: one for one in known if one.id in found}


def test_the_seed_of_the_chain_is_constant() -> None:
    assert FIRST_MAC == "0" * 64
