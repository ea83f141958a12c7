"""The numbers in the database equal a recount."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, insert, select
from sqlalchemy.orm import Session

from mesh.persistence.database import make_engine
from queue_svc.domain.numbers import DayPart, Tally
from queue_svc.domain.states import Priority, Status
from queue_svc.domain.tickets import Counter, Queue
from queue_svc.persistence.mapping import new_queue, queue_of
from queue_svc.persistence.models import QueueRow, RollupRow, RollupSampleRow
from queue_svc.persistence.statistics_rollups import Rollups, tallies
from tests.queue_svc.counting import (
    COUNTERS,
    MORNING,
    Numbers,
    Step,
    change,
    new_ticket,
    recounted,
    walks,
)
from tests.queue_svc.samples import SERVICE

S = Status


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = make_engine(database_url)
    yield made
    made.dispose()


def a_queue(session: Session, number: int) -> Queue:
    """A queue of a day of its own."""
    day = (datetime.date(2026, 3, 2) + datetime.timedelta(days=number)).isoformat()
    session.execute(insert(QueueRow).values(new_queue(SERVICE, day, MORNING)))
    return queue_of(session.scalars(select(QueueRow).where(QueueRow.day == day)).one())


def written(engine: Engine, queue: Queue, steps: list[Step], batch: int = 1000) -> None:
    """Writes what changes add, so many of them in each unit of work."""
    for start in range(0, len(steps), batch):
        with Session(engine) as session, session.begin():
            rollups = Rollups(session)
            for step in steps[start : start + batch]:
                rollups.add(queue.id, step.before, step.after)
            rollups.flush()


def read(engine: Engine, queue: Queue) -> Numbers:
    with Session(engine) as session:
        found = tallies(session, [queue.id])[queue.id]
    return {
        (part.hour, part.priority, part.counter_id): named
        for part, tally in found.items()
        if (named := numbers_of(tally))
    }


def numbers_of(tally: Tally) -> dict[str, int]:
    samples = {
        f"{sample.name} {bucket}": count
        for sample, buckets in tally.samples.items()
        for bucket, count in buckets.items()
    }
    return {**{name: count for name, count in tally.counts.items() if count}, **samples}


class TestRollups:
    def test_random_changes_equal_a_recount(self, engine: Engine) -> None:
        numbers = iter(range(10_000))

        @settings(
            max_examples=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        @given(walks(), st.integers(1, 12))
        def check(steps: list[Step], batch: int) -> None:
            with Session(engine) as session, session.begin():
                queue = a_queue(session, next(numbers))
            written(engine, queue, steps, batch)
            assert read(engine, queue) == recounted(steps)

        check()

    def test_two_statements_for_any_number_of_changes(self, engine: Engine) -> None:
        statements: list[str] = []

        def count_statement(_c: object, _cursor: object, statement: str, *_: object) -> None:
            statements.append(statement)

        with Session(engine) as session, session.begin():
            queue = a_queue(session, 0)
            rollups = Rollups(session)
            for number in range(40):
                created = MORNING + datetime.timedelta(minutes=11 * number)
                ticket = new_ticket(f"t{number}", queue, created)
                called = change(ticket, number, S.CALLED)
                rollups.add(queue.id, None, ticket)
                rollups.add(queue.id, ticket, called)
            event.listen(engine, "before_cursor_execute", count_statement)
            before = questions(session)
            rollups.flush()
            sent = questions(session) - before
            event.remove(engine, "before_cursor_execute", count_statement)
        assert len([one for one in statements if one.startswith("INSERT")]) == 2
        # MariaDB got these two and the last question itself: no row was sent alone.
        assert sent in (0, 3)
        found = Tally.total(parts(engine, queue).values())
        assert (found.counts["issued"], found.counts["called"]) == (40, 40)

    def test_what_cancels_out_is_not_written(self, engine: Engine) -> None:
        with Session(engine) as session, session.begin():
            queue = a_queue(session, 0)
        ticket = new_ticket(queue=queue)
        called = change(ticket, 5, S.CALLED)
        undone = change(called, 5, S.WAITING)
        written(engine, queue, [Step(ticket, called), Step(called, undone)])
        with Session(engine) as session:
            assert session.scalars(select(RollupRow)).all() == []
            assert session.scalars(select(RollupSampleRow)).all() == []

    def test_a_flush_writes_once(self, engine: Engine) -> None:
        with Session(engine) as session, session.begin():
            queue = a_queue(session, 0)
            rollups = Rollups(session)
            rollups.add(queue.id, None, new_ticket(queue=queue))
            rollups.flush()
            rollups.flush()
        assert Tally.total(parts(engine, queue).values()).counts["issued"] == 1

    def test_nothing_stays_of_a_transaction_that_failed(self, engine: Engine) -> None:
        with Session(engine) as session, session.begin():
            queue = a_queue(session, 0)

        def fail() -> None:
            with Session(engine) as session, session.begin():
                rollups = Rollups(session)
                rollups.add(queue.id, None, new_ticket(queue=queue))
                rollups.flush()
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        assert parts(engine, queue) == {}

    def test_a_counter_has_its_newest_name(self, engine: Engine) -> None:
        with Session(engine) as session, session.begin():
            queue = a_queue(session, 0)
        for name in ("Loket 1", "Loket Lansia"):
            ticket = new_ticket(queue=queue)
            called = change(ticket, 5, S.CALLED, Counter("c1", name))
            written(engine, queue, [Step(ticket, called)])
        (part,) = parts(engine, queue)
        assert (part, part.counter_name) == (DayPart(8, Priority.NORMAL, "c1"), "Loket Lansia")

    def test_queues_are_apart(self, engine: Engine) -> None:
        with Session(engine) as session, session.begin():
            one, other, empty = (a_queue(session, number) for number in range(3))
            rollups = Rollups(session)
            for queue, count in ((one, 1), (other, 2)):
                for _ in range(count):
                    ticket = new_ticket(queue=queue)
                    rollups.add(queue.id, None, ticket)
                    rollups.add(queue.id, ticket, change(ticket, 5, S.CALLED, COUNTERS[1]))
            rollups.flush()
        with Session(engine) as session:
            found = tallies(session, [one.id, other.id, empty.id])
        called = {key: Tally.total(of.values()).counts["called"] for key, of in found.items()}
        assert called == {one.id: 1, other.id: 2, empty.id: 0}

    def test_counts_without_times(self, engine: Engine) -> None:
        with Session(engine) as session, session.begin():
            queue = a_queue(session, 0)
        ticket = new_ticket(queue=queue)
        written(engine, queue, [Step(ticket, change(ticket, 5, S.CALLED))])
        with Session(engine) as session:
            (tally,) = tallies(session, [queue.id], samples=False)[queue.id].values()
        assert (tally.counts["called"], tally.mean_wait_ms) == (1, 300_000)
        assert not tally.samples


def parts(engine: Engine, queue: Queue) -> dict[DayPart, Tally]:
    with Session(engine) as session:
        return tallies(session, [queue.id])[queue.id]


def questions(session: Session) -> int:
    """Statements that the server has got on this connection; always 0 on SQLite."""
    if session.get_bind().dialect.name == "sqlite":
        return 0
    connection = session.connection()
    return int(connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Questions'").one()[1])
