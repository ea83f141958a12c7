"""What is asked of institution_svc, and what works without it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mediq.institution.v1.institution_pb2 import Counter

from tests.queue_svc.conftest import World, uid, world_of
from tests.support.backends.databases import migrated_sqlite
from tests.support.mesh import Mesh, problem


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: what is asked of another service is not in it."""
    return migrated_sqlite("queue_svc", tmp_path / "queue.db")


@pytest.fixture
async def forgetful(mesh: Mesh, database_url: str) -> AsyncIterator[World]:
    """A service whose cached answers are old at once."""
    async with world_of(mesh, database_url, facts_seconds=0.0) as made:
        yield made


async def test_facts_are_asked_for_once(world: World) -> None:
    for _ in range(5):
        await world.take()
    await world.next()
    assert world.facilities.asked == 1


async def test_a_new_counter_is_known_at_once(world: World) -> None:
    await world.take()
    added = Counter(id=uid(), institution_id=world.place.facility, name="Loket baru")
    world.facilities.facts[world.place.facility].counters.append(added)
    world.place.counters.append(added.id)
    assert (await world.next(counter=-1)).counter_name == "Loket baru"


async def test_an_old_copy_stands_in(forgetful: World) -> None:
    await forgetful.take()
    forgetful.facilities.down = True
    assert (await forgetful.take()).number == "A-002"
    assert (await forgetful.next()).number == "A-001"


async def test_without_any_copy_it_says_so(world: World) -> None:
    world.facilities.down = True
    assert await problem(world.take()) == ("UNAVAILABLE", "INSTITUTION_SVC_UNAVAILABLE")


async def test_tickets_are_read_and_moved_without_the_facility(world: World) -> None:
    ticket = await world.take()
    world.facilities.down = True
    await world.server.stop()
    await world.start()
    assert (await world.get(ticket)).people_ahead == 0
    assert (await world.move(ticket, 7)).version == 2  # type: ignore[arg-type]


async def test_a_closed_facility_is_not_served_from_a_copy(forgetful: World) -> None:
    await forgetful.take()
    forgetful.facilities.facts.clear()
    assert (await problem(forgetful.take()))[0] == "NOT_FOUND"
    forgetful.facilities.down = True
    assert (await problem(forgetful.take()))[0] == "UNAVAILABLE"
