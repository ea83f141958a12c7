import asyncio
import datetime
import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from mediq.institution.v1.institution_pb2 import Institution
from mediq.institution.v1.institution_service_pb2 import (
    CreateInstitutionRequest,
    UpdateInstitutionRequest,
)
from sqlalchemy import Column, MetaData, String, Table, func, insert, select, update
from sqlalchemy.orm import Session

from mesh.clock import utc_now
from mesh.encryption.field_cipher import FieldCipher
from mesh.errors import MeshError, StatusCode
from mesh.idempotency import Idempotency, idempotency_table
from mesh.messaging.events import Event, LocalBus
from mesh.persistence.database import Database, UtcDateTime, make_engine
from mesh.persistence.outbox import Outbox, outbox_table
from tests.support.waiting import PATIENCE_SECONDS, eventually

METADATA = MetaData()
NOTES = Table(
    "notes",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("at", UtcDateTime(), nullable=True),
)
IDEMPOTENCY = idempotency_table(METADATA)
OUTBOX = outbox_table(METADATA)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    METADATA.create_all(opened.engine)
    yield opened
    await opened.close()


def add(session: Session) -> None:
    session.execute(insert(NOTES).values(id=str(uuid4())))


def count(session: Session) -> int:
    return session.execute(select(func.count()).select_from(NOTES)).scalar_one()


class TestDatabase:
    async def test_a_unit_of_work_is_whole_or_nothing(self, database: Database) -> None:
        def fail(session: Session) -> None:
            add(session)
            raise ValueError("half-way")

        await database.write(add)
        with pytest.raises(ValueError, match="half-way"):
            await database.write(fail)
        assert await database.read(count) == 1

    async def test_writers_at_the_same_time(self, database: Database) -> None:
        await asyncio.gather(*(database.write(add) for _ in range(40)))
        assert await database.read(count) == 40

    async def test_times_keep_zone_and_microseconds(self, database: Database) -> None:
        wib = datetime.timezone(datetime.timedelta(hours=7))
        moment = datetime.datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=wib)
        await database.write(lambda s: s.execute(insert(NOTES).values(id="1", at=moment)))
        found = await database.read(lambda s: s.execute(select(NOTES.c.at)).scalar_one())
        assert found == moment
        assert found.utcoffset() == datetime.timedelta(0)


async def test_database_that_cannot_be_reached() -> None:
    gone = Database("mysql+pymysql://root@127.0.0.1:1/none")
    with pytest.raises(MeshError) as caught:
        await gone.ping()
    assert caught.value.kind is StatusCode.UNAVAILABLE
    await gone.close()


async def test_sqlite_survives_a_busy_writer(tmp_path: Path) -> None:
    path = tmp_path / "busy.db"
    database = Database(f"sqlite:///{path}")
    METADATA.create_all(database.engine)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.ensure_future(database.write(add))
        # A fault may be missed on a slow machine; a sound one never fails.
        await asyncio.sleep(0.3)
        assert not writing.done()
        other.execute("COMMIT")
    other.close()
    await writing
    await database.close()


def test_other_databases_are_refused() -> None:
    with pytest.raises(ValueError, match="not supported"):
        make_engine("postgresql://localhost/x")


class TestIdempotency:
    @pytest.fixture
    def idempotency(self, database: Database) -> Idempotency:
        return Idempotency(
            IDEMPOTENCY, FieldCipher("a", {"a": b"1" * 32}, b"2" * 32), database, None, utc_now
        )

    async def test_effect_once(self, database: Database, idempotency: Idempotency) -> None:
        request = CreateInstitutionRequest(request_id=str(uuid4()), name="RSUD")

        def work(session: Session) -> Institution:
            add(session)
            return Institution(id=str(uuid4()))

        answers = await asyncio.gather(
            *(idempotency.once("a", request, Institution, work) for _ in range(8))
        )
        assert len({answer.id for answer in answers}) == 1
        assert await database.read(count) == 1

    async def test_other_caller_other_answer(
        self, database: Database, idempotency: Idempotency
    ) -> None:
        request = CreateInstitutionRequest(request_id=str(uuid4()))

        def work(session: Session) -> Institution:
            add(session)
            return Institution()

        await idempotency.once("a", request, Institution, work)
        await idempotency.once("b", request, Institution, work)
        assert await database.read(count) == 2

    async def test_other_body_is_refused(self, idempotency: Idempotency) -> None:
        request = CreateInstitutionRequest(request_id=str(uuid4()), name="A")
        await idempotency.once("a", request, Institution, lambda _: Institution())
        request.name = "B"
        with pytest.raises(MeshError, match="REQUEST_ID_REUSED"):
            await idempotency.once("a", request, Institution, lambda _: Institution())

    async def test_failed_effect_is_not_remembered(
        self, database: Database, idempotency: Idempotency
    ) -> None:
        request = CreateInstitutionRequest(request_id=str(uuid4()))

        def fail(session: Session) -> Institution:
            add(session)
            raise MeshError("no", StatusCode.NOT_FOUND, "NO")

        for _ in range(2):
            with pytest.raises(MeshError, match="NO"):
                await idempotency.once("a", request, Institution, fail)
        assert await database.read(count) == 0

    async def test_answers_about_something_are_forgotten(
        self, database: Database, idempotency: Idempotency
    ) -> None:
        """Of every caller, but of one kind of request; one that does not open is left alone."""
        gone, stays, damaged, other = str(uuid4()), str(uuid4()), str(uuid4()), str(uuid4())

        async def ask(
            kind: type[CreateInstitutionRequest | UpdateInstitutionRequest],
            caller: str,
            request_id: str,
            answer: str,
        ) -> str:
            request = kind(request_id=request_id)
            answered = await idempotency.once(
                caller, request, Institution, lambda _: Institution(id=answer)
            )
            return answered.id

        create, change = CreateInstitutionRequest, UpdateInstitutionRequest
        for caller in ("a", "b"):
            await ask(create, caller, gone, "erased")
        await ask(create, "a", stays, "other")
        await ask(create, "a", damaged, "erased")
        await ask(change, "a", other, "erased")
        lost = IDEMPOTENCY.c.request_id == damaged
        await database.write(
            lambda session: session.execute(
                update(IDEMPOTENCY).where(lost).values(answer=b"damaged")
            )
        )
        await database.write(
            lambda session: idempotency.forget_about(
                session, create, Institution, lambda answer: answer.id == "erased"
            )
        )
        assert [await ask(create, caller, gone, "new") for caller in ("a", "b")] == ["new", "new"]
        assert await ask(create, "a", stays, "new") == "other"
        assert await ask(change, "a", other, "new") == "erased"
        rows = await database.read(
            lambda session: session.execute(select(IDEMPOTENCY.c.answer).where(lost)).all()
        )
        assert [tuple(row) for row in rows] == [(b"damaged",)]


class FailingBus(LocalBus):
    """Refuses the first events that it is given."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def publish(self, event: Event) -> None:
        if self.failures:
            self.failures -= 1
            raise MeshError("down", StatusCode.UNAVAILABLE, "BROKER_UNAVAILABLE")
        await super().publish(event)


@pytest.mark.parametrize("failures", [0, 2])
async def test_outbox_publishes_in_order_whatever_the_bus_does(
    database: Database, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.persistence.outbox.RETRY_SECONDS", 0.01)
    bus = FailingBus(failures)
    outbox = Outbox(OUTBOX, database, bus, utc_now)
    async with bus.subscribe("#") as subscription:
        relay = asyncio.ensure_future(outbox.relay())
        for number in range(5):
            event = Event(str(uuid4()), f"a.b.{number}", b"x")
            await database.write(partial(outbox.add, event=event))
        outbox.wake()
        topics = []
        for _ in range(5):
            event_or_none = await subscription.next(PATIENCE_SECONDS)
            assert event_or_none is not None
            topics.append(event_or_none.topic)
        assert topics == [f"a.b.{number}" for number in range(5)]

        async def happened() -> bool:
            return not await outbox.depth()

        await eventually(happened)
        relay.cancel()


async def test_a_slow_subscriber_is_told() -> None:
    bus = LocalBus()
    async with bus.subscribe("a.*") as subscription:
        for _ in range(1001):
            await bus.publish(Event("1", "a.b", b""))
        await bus.publish(Event("1", "b.b", b""))
        assert subscription.overflowed
        assert await subscription.next(PATIENCE_SECONDS) is not None
    await bus.publish(Event("1", "a.b", b""))
