"""Leased rows and the runner of their steps, with a workflow of two steps."""

import asyncio
import datetime
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from sqlalchemy.orm import DeclarativeBase, Session

from mesh.clock import utc_now
from mesh.errors import unavailable
from mesh.persistence.database import Database
from mesh.workflow.leases import LeasedRow, LeaseRepository
from mesh.workflow.runner import WorkflowRunner, pause_seconds
from tests.support.waiting import eventually

NOW = datetime.datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(seconds=10)
UNFINISHED = ("BEGUN", "HALFWAY")


class Base(DeclarativeBase):
    pass


class JobRow(LeasedRow, Base):
    __tablename__ = "jobs"


@dataclass(frozen=True)
class Job:
    id: str
    state: str
    attempts: int
    lease_until: datetime.datetime | None

    def is_unfinished(self) -> bool:
        return self.state in UNFINISHED

    def is_leased(self, now: datetime.datetime) -> bool:
        return self.is_unfinished() and self.lease_until is not None and self.lease_until > now


class Jobs(LeaseRepository[JobRow, Job]):
    """The leases of the table, and the end of a step."""

    def _item(self, row: JobRow) -> Job:
        return Job(row.id, row.state, row.attempts, row.lease_until)

    def add(self, job_id: str, first_attempt_time: datetime.datetime) -> None:
        self._session.add(
            JobRow(
                id=job_id,
                state="BEGUN",
                attempts=0,
                next_attempt_time=first_attempt_time,
                lease_owner="",
                update_time=first_attempt_time,
            )
        )
        self._session.flush()

    def step_done(self, job: Job, owner: str, now: datetime.datetime) -> None:
        change = self._owned(job.id, owner, now)
        if job.state == "BEGUN":
            self._session.execute(change.values(state="HALFWAY", attempts=0))
        else:
            self._session.execute(change.values(state="DONE", lease_owner="", lease_until=None))


def jobs(session: Session) -> Jobs:
    return Jobs(session, JobRow, UNFINISHED)


class TwoSteps(WorkflowRunner[Job]):
    """Carries jobs through both steps; a test holds them up or lets them fail."""

    name = "job"

    def __init__(self, database: Database) -> None:
        super().__init__(database, jobs, utc_now, lease_seconds=10, poll_seconds=0.01)
        self.failures: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.steps: list[str] = []

    async def _run_step(self, item: Job, owner: str) -> bool:
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.steps.append(item.state)
        await self._database.write(lambda session: jobs(session).step_done(item, owner, utc_now()))
        return item.state == "BEGUN"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    Base.metadata.create_all(opened.engine)
    yield opened
    await opened.close()


@pytest.fixture
async def workflow(database: Database) -> AsyncIterator[TwoSteps]:
    made = TwoSteps(database)
    yield made
    await made.close()


async def add(database: Database, job_id: str, first_attempt_time: datetime.datetime = NOW) -> None:
    await database.write(lambda session: jobs(session).add(job_id, first_attempt_time))


async def get(database: Database, job_id: str) -> Job:
    return await database.read(lambda session: jobs(session).get(job_id))


async def due(database: Database, now: datetime.datetime) -> list[str]:
    return list(await database.read(lambda session: jobs(session).due(now, 9)))


async def test_one_lease_at_a_time(database: Database) -> None:
    await add(database, "a")

    async def claim(owner: str, now: datetime.datetime = NOW) -> bool:
        until = now + datetime.timedelta(seconds=10)
        found = await database.write(lambda session: jobs(session).claim("a", owner, now, until))
        return found is not None

    won = await asyncio.gather(*(claim(f"owner-{number}") for number in range(8)))
    assert sum(won) == 1
    winner = f"owner-{won.index(True)}"
    assert await due(database, NOW) == []
    assert await claim(winner)
    assert not await claim("another", LATER - datetime.timedelta(microseconds=1))
    assert await due(database, LATER) == ["a"]
    assert await claim("another", LATER)
    # Who lost the lease changes nothing.
    job = await get(database, "a")
    await database.write(lambda session: jobs(session).step_done(job, winner, LATER))
    assert await get(database, "a") == job


async def test_a_rescheduled_row_is_due_later(database: Database) -> None:
    await add(database, "a")
    await database.write(lambda session: jobs(session).claim("a", "me", NOW, LATER))
    await database.write(lambda session: jobs(session).reschedule("a", "me", LATER, NOW))
    assert await due(database, NOW) == []
    assert await due(database, LATER) == ["a"]
    assert await get(database, "a") == Job("a", "BEGUN", 1, None)


async def test_a_released_row_is_due_at_once(database: Database) -> None:
    await add(database, "a")
    await database.write(lambda session: jobs(session).claim("a", "me", NOW, LATER))
    assert await due(database, NOW) == []
    await database.write(lambda session: jobs(session).release("a", "me", NOW))
    assert await due(database, NOW) == ["a"]
    assert await get(database, "a") == Job("a", "BEGUN", 0, None)


async def test_the_longest_waiting_row_comes_first(database: Database) -> None:
    await add(database, "young", LATER)
    await add(database, "old", NOW)
    assert await due(database, LATER) == ["old", "young"]


async def test_a_caller_waits_for_all_steps(database: Database, workflow: TwoSteps) -> None:
    await add(database, "a", utc_now())
    done = await workflow.run_until("a", 60)
    assert (done.state, workflow.steps) == ("DONE", ["BEGUN", "HALFWAY"])


async def test_steps_go_on_when_the_caller_has_no_time(
    database: Database, workflow: TwoSteps
) -> None:
    await add(database, "a", utc_now())
    workflow.gate.clear()
    assert (await workflow.run_until("a", 0)).state == "BEGUN"
    workflow.gate.set()

    async def is_done() -> bool:
        return (await get(database, "a")).state == "DONE"

    await eventually(is_done)


@pytest.mark.parametrize("failure", [unavailable("down", "DOWN"), ValueError("broken")])
async def test_a_failed_step_is_tried_again(
    database: Database, workflow: TwoSteps, failure: Exception
) -> None:
    await add(database, "a", utc_now())
    workflow.failures = [failure]
    waiting = await workflow.run_until("a", 60)
    assert (waiting.state, waiting.attempts, waiting.lease_until) == ("BEGUN", 1, None)
    background = asyncio.create_task(workflow.run())

    async def is_done() -> bool:
        return (await get(database, "a")).state == "DONE"

    await eventually(is_done)
    background.cancel()


async def test_a_caller_waits_for_another_process(database: Database, workflow: TwoSteps) -> None:
    await add(database, "a", utc_now())
    workflow.gate.clear()
    first = asyncio.create_task(workflow.run_until("a", 60))

    async def is_leased() -> bool:
        return (await get(database, "a")).is_leased(utc_now())

    await eventually(is_leased)
    other = TwoSteps(database)
    assert (await other.run_until("a", 0)).state == "BEGUN"
    second = asyncio.create_task(other.run_until("a", 60))
    workflow.gate.set()
    assert (await first).state == (await second).state == "DONE"
    assert other.steps == []


async def test_closing_gives_the_leases_back(database: Database, workflow: TwoSteps) -> None:
    await add(database, "a", utc_now())
    workflow.gate.clear()
    await workflow.run_until("a", 0)

    async def is_leased() -> bool:
        return (await get(database, "a")).is_leased(utc_now())

    await eventually(is_leased)
    await workflow.close()
    assert await due(database, utc_now()) == ["a"]


async def test_outside_of_a_call_nobody_waits(database: Database, workflow: TwoSteps) -> None:
    await add(database, "a", utc_now())
    workflow.gate.clear()
    assert (await workflow.run_for_call("a", 0.5)).state == "BEGUN"


def test_pauses_grow_up_to_the_longest() -> None:
    pauses = [pause_seconds(attempts) for attempts in range(200)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[1], pauses[-1]) == (0.5, 1.0, 30.0)
