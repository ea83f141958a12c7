"""What the audit recorder writes, and when: how long an access stands, who hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from uuid import uuid4

import pytest
from mediq.audit.v1.audit_pb2 import AuditEvent
from mediq.policy.v1.policy_pb2 import Peer, Role, Scope
from mediq.user.v1 import user_service_pb2 as requests
from mediq.user.v1.user_pb2 import User
from sqlalchemy import MetaData, event, select, update
from sqlalchemy.orm import Session

from mesh.audit_trail.events import command_event
from mesh.audit_trail.recorder import (
    ACCESS_SECONDS,
    AuditRecorder,
    audit_table,
    event_associated_data,
)
from mesh.clock import utc_now
from mesh.contract.call import Call, Principal
from mesh.contract.methods import methods
from mesh.encryption.field_cipher import FieldCipher
from mesh.persistence.database import Database, Result
from tests.support.audit import REFUSED
from tests.support.waiting import eventually

METADATA = MetaData()
AUDIT = audit_table(METADATA)
CIPHER = FieldCipher("a", {"a": b"1" * 32}, b"2" * 32)
FACILITY = str(uuid4())


class Held(Database):
    """A database that a test can hold up."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.before: Callable[[], None] = lambda: None
        self.free = asyncio.Event()
        self.free.set()

    async def write(self, work: Callable[[Session], Result]) -> Result:
        self.before()
        await self.free.wait()
        return await super().write(work)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Held]:
    opened = Held(database_url)
    METADATA.create_all(opened.engine)
    yield opened
    await opened.close()


async def nowhere(_: object) -> None:
    raise AssertionError("nothing is sent here")


@pytest.fixture
def recorder(database: Held) -> AuditRecorder:
    return AuditRecorder(AUDIT, database, CIPHER, nowhere, utc_now)


def call(method: str = "GetUser") -> Call:
    """A call of an administrator of the network."""
    (found,) = (one for one in methods().values() if one.name == method)
    session = Principal(str(uuid4()), Role.ROLE_ADMIN_FASKES, Scope.SCOPE_UNSPECIFIED, "", "s", 0)
    return Call(found, Peer.PEER_EDGE, "", None, session)


def refused() -> AuditEvent:
    return command_event("user_svc", "x", REFUSED, utc_now)


async def show(
    recorder: AuditRecorder, seeing: Call, person: str, institution_id: str = FACILITY
) -> None:
    answer = User(id=person, institution_id=institution_id)
    await recorder.record_access(seeing, requests.GetUserRequest(id=person), answer)


async def written(database: Database) -> list[AuditEvent]:
    """The events that wait, in order."""
    query = select(AUDIT).order_by(AUDIT.c.position)
    rows = await database.read(lambda session: session.execute(query).all())
    return [
        AuditEvent.FromString(CIPHER.decrypt(row.payload, event_associated_data(row.event_id)))
        for row in rows
    ]


async def test_an_access_stands_from_its_time_and_not_from_its_writing(
    database: Held,
) -> None:
    """Whoever asks for a window counts ACCESS_SECONDS from the time in the event."""
    now = [1000.0]

    def slow() -> None:
        now[0] += 4

    recorder = AuditRecorder(AUDIT, database, CIPHER, nowhere, utc_now, monotonic=lambda: now[0])
    seeing, person = call(), str(uuid4())
    database.before = slow
    await show(recorder, seeing, person)
    now[0] = 1000.0 + ACCESS_SECONDS - 1
    await show(recorder, seeing, person)
    assert len(await written(database)) == 1
    now[0] = 1000.0 + ACCESS_SECONDS + 1
    await show(recorder, seeing, person)
    assert len(await written(database)) == 2


async def test_the_same_person_at_two_facilities(recorder: AuditRecorder, database: Held) -> None:
    """Each facility's administrator asks only for what belongs to it."""
    seeing, person, other = call(), str(uuid4()), str(uuid4())
    for institution_id in (FACILITY, other, FACILITY, other):
        await show(recorder, seeing, person, institution_id)
    assert [one.institution_id for one in await written(database)] == [FACILITY, other]


async def test_a_long_list_is_one_transaction(recorder: AuditRecorder, database: Held) -> None:
    people = [str(uuid4()) for _ in range(1200)]
    commits: list[object] = []
    event.listen(database.engine, "commit", commits.append)
    answer = requests.ListUsersResponse(users=[User(id=one) for one in people])
    await recorder.record_access(call("ListUsers"), requests.ListUsersRequest(), answer)
    assert len(commits) == 1
    events = await written(database)
    assert [person for one in events for person in one.person_ids] == people


async def test_who_hangs_up_is_written_down(recorder: AuditRecorder, database: Held) -> None:
    """Also when others are being written down at that moment."""
    database.free.clear()
    busy = asyncio.create_task(recorder.record(refused()))
    await asyncio.sleep(0)
    event_ = refused()
    gone = asyncio.create_task(recorder.record_refusal(event_))
    for _ in range(3):
        await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    database.free.set()
    await busy
    # It waits with the same key, behind the refusal.
    await recorder.record(refused())
    assert event_.id in [one.id for one in await written(database)]


async def test_what_does_not_decrypt_holds_up_no_other(
    database: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.persistence.outbox.IDLE_SECONDS", 0.01)
    sent: asyncio.Queue[str] = asyncio.Queue()

    async def send(events: Sequence[AuditEvent]) -> None:
        for one in events:
            sent.put_nowait(one.id)

    recorder = AuditRecorder(AUDIT, database, CIPHER, send, utc_now)
    first, damaged, second, later = (refused() for _ in range(4))
    await recorder.record(first, damaged, second)
    with database.engine.begin() as connection:
        spoil = update(AUDIT).where(AUDIT.c.event_id == damaged.id)
        connection.execute(spoil.values(payload=b"a:damaged"))
    relay = asyncio.create_task(recorder.relay())
    assert [await sent.get(), await sent.get()] == [first.id, second.id]
    await recorder.record(later)
    assert await sent.get() == later.id

    async def alone() -> bool:
        return await waiting(database) == [damaged.id]

    await eventually(alone)
    relay.cancel()
    await asyncio.gather(relay, return_exceptions=True)
    assert sent.empty()


async def waiting(database: Database) -> Sequence[str]:
    """Events that wait, by identifier."""
    query = select(AUDIT.c.event_id).order_by(AUDIT.c.position)
    return await database.read(lambda session: session.scalars(query).all())
