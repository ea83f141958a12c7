"""Cached values: used while nothing changes, never seen after a change."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from mediq.policy.v1.policy_pb2 import Role
from mediq.queue.v1 import live_service_pb2 as live_requests
from mediq.queue.v1 import report_service_pb2 as report_requests
from mediq.queue.v1 import ticket_service_pb2 as ticket_requests
from mediq.queue.v1.queue_pb2 import Ticket

from mesh.messaging.events import LocalBus
from queue_svc.persistence.facility_queries import FacilityQueries
from tests.queue_svc.conftest import (
    CANCELLED,
    DONE,
    HIGH,
    LOW,
    NO_SHOW,
    NORMAL,
    SERVING,
    SKIPPED,
    URGENT,
    WAITING,
    Place,
    World,
    uid,
    world_of,
)
from tests.support.backends.databases import on_sqlite_only
from tests.support.mesh import Mesh, problem
from tests.support.runs.depth import DEPTH
from tests.support.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.usefixtures("patient_redis")
REDIS_URL = os.environ.get("MEDIQ_TEST_REDIS_URL", "redis://127.0.0.1:6379/15")
GONE = "redis://127.0.0.1:1/0"
"""Nobody listens there."""


@asynccontextmanager
async def caching(mesh: Mesh, database_url: str, redis_url: str) -> AsyncIterator[World]:
    """A service whose cached values would be used for long, if they were not made old."""
    settings = {"redis_url": redis_url, "copy_seconds": 3600.0, "heartbeat_seconds": 0.2}
    async with world_of(mesh, database_url, **settings) as made:  # type: ignore[arg-type]
        yield made


@pytest.fixture(params=["memory", "gone", pytest.param("redis", marks=pytest.mark.backends)])
async def cached(
    request: pytest.FixtureRequest, mesh: Mesh, database_url: str
) -> AsyncIterator[World]:
    """With a cache in the process, with a Redis that is gone, and with a real one."""
    urls = {"memory": "", "gone": GONE, "redis": REDIS_URL}
    async with caching(mesh, database_url, urls[request.param]) as made:
        yield made


@pytest.fixture
async def world(mesh: Mesh, database_url: str) -> AsyncIterator[World]:
    """With a cache in the process."""
    async with caching(mesh, database_url, "") as made:
        yield made


async def board(world: World) -> live_requests.Board:
    return await world.stub.GetBoard(
        live_requests.GetBoardRequest(institution_id=world.place.facility)
    )


async def stats(world: World) -> report_requests.QueueStats:
    return await world.stub.GetQueueStats(
        report_requests.GetQueueStatsRequest(institution_id=world.place.facility),
        metadata=world.operator,
    )


async def position(world: World, ticket: Ticket) -> ticket_requests.TicketPosition:
    return await world.stub.GetTicketPosition(
        ticket_requests.GetTicketPositionRequest(id=ticket.id),
        metadata=world.session(ticket.patient_id),
    )


async def everything(world: World, tickets: list[Ticket]) -> list[object]:
    """What can be cached."""
    return [
        await board(world),
        await stats(world),
        *(await asyncio.gather(*(position(world, ticket) for ticket in tickets))),
    ]


async def change(world: World, chance: random.Random, tickets: list[Ticket]) -> bool:
    """Some change that somebody may make; whether it was allowed."""
    pharmacy = Place(world.place.facility, world.place.pharmacy, world.place.counters, "")
    ticket = chance.choice(tickets) if tickets else None
    pick = chance.randrange(8)
    try:
        if ticket is None or pick < 2:
            place = chance.choice([world.place, world.place, pharmacy])
            priority = chance.choice([NORMAL, NORMAL, HIGH, LOW, URGENT])
            tickets.append(await world.take(priority, place=place))
        elif pick == 2:
            await world.next(chance.randrange(3))
        elif pick == 3:
            await world.call(ticket, chance.randrange(3))
        elif pick == 4:
            request = ticket_requests.TransferTicketRequest(
                id=ticket.id, service_id=pharmacy.service
            )
            made = await world.stub.TransferTicket(request, metadata=world.operator)
            tickets.append(made)
        elif pick == 5:
            await world.stub.SetTicketPriority(
                ticket_requests.SetTicketPriorityRequest(
                    id=ticket.id, priority=chance.choice([LOW, NORMAL, HIGH])
                ),
                metadata=world.operator,
            )
        else:
            states = [SERVING, DONE, SKIPPED, WAITING, NO_SHOW, CANCELLED]
            await world.move(ticket, chance.choice(states), "alasan")
    except grpc.aio.AioRpcError as error:
        if error.code().name not in ("FAILED_PRECONDITION", "NOT_FOUND", "INVALID_ARGUMENT"):
            raise
        return False
    return True


async def take(world: World, place: Place | None = None) -> None:
    """A ticket whose event has come: nothing more makes cached values old."""
    cache = world.dependencies.tickets._cache
    await cache.generation((place or world.place).facility)
    told, real = list[str](), cache.invalidate

    async def invalidate(group: str) -> None:
        await real(group)
        told.append(group)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "invalidate", invalidate)
        await world.take(place=place)
        # With the commit, and with the event.
        await eventually(lambda: len(told) == 2)


@pytest.mark.deep
@on_sqlite_only
@pytest.mark.parametrize("seed", range(2 * DEPTH))
async def test_after_every_change_a_copy_is_as_good_as_a_fresh_read(
    cached: World, seed: int
) -> None:
    chance, tickets = random.Random(seed), list[Ticket]()
    changes = 0
    while changes < 12:
        cached.clock.forward(seconds=chance.randrange(1, 90))
        if not await change(cached, chance, tickets):
            continue
        changes += 1
        found = await everything(cached, tickets)
        assert await everything(cached, tickets) == found
        await cached.dependencies.tickets._cache.invalidate(cached.place.facility)
        assert await everything(cached, tickets) == found
        states = [await cached.get(ticket) for ticket in tickets]
        assert [(one.ticket_id, one.status, one.people_ahead) for one in found[2:]] == [  # type: ignore[attr-defined]
            (one.id, one.status, one.people_ahead) for one in states
        ]


async def test_a_copy_is_used_while_nothing_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, real = [], FacilityQueries.board

    def counted(reader: FacilityQueries, *place: object) -> object:
        reads.append(place)
        return real(reader, *place)  # type: ignore[arg-type]

    monkeypatch.setattr(FacilityQueries, "board", counted)
    await take(world)
    for _ in range(10):
        await board(world)
    assert len(reads) == 1
    await take(world)
    assert (await board(world)).services[0].waiting == 2
    assert len(reads) == 2


@on_sqlite_only
async def test_who_was_told_of_a_change_sees_it_however_many_read(cached: World) -> None:
    """Readers that are under way while the change is made must not leave an old value."""
    watched = await cached.take(LOW)
    stop = asyncio.Event()

    async def read() -> None:
        while not stop.is_set():
            await everything(cached, [watched])

    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        for _ in range(6):
            tasks.create_task(read())
        for number in range(1, 9):
            await cached.take()
            found = await board(cached)
            assert found.services[0].waiting == number + 1
            assert (await position(cached, watched)).people_ahead == number
            assert (await stats(cached)).issued == number + 1
        stop.set()


async def test_another_hall_keeps_its_copy(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, real = [], FacilityQueries.board

    def counted(reader: FacilityQueries, *place: object) -> object:
        reads.append(place)
        return real(reader, *place)  # type: ignore[arg-type]

    other = world.facilities.open()
    await take(world)
    await board(world)
    monkeypatch.setattr(FacilityQueries, "board", counted)
    await take(world, other)
    await board(world)
    assert not reads


@on_sqlite_only
class TestPositionOfOthers:
    async def test_a_copy_does_not_show_it_to_a_stranger(self, cached: World) -> None:
        patient = uid()
        ticket = await cached.take(patient=patient)
        request = ticket_requests.GetTicketPositionRequest(id=ticket.id)
        owners = [
            cached.patient(patient),
            cached.session(patient),
            cached.operator,
            cached.mesh.token(Role.ROLE_ADMIN_FASKES),
        ]
        strangers = [
            cached.patient(uid()),
            cached.session(uid()),
            cached.operator_of(cached.facilities.open()),
            cached.mesh.token(Role.ROLE_OPERATOR),
        ]
        for metadata in strangers:
            call = cached.stub.GetTicketPosition(request, metadata=metadata)
            assert await problem(call) == ("NOT_FOUND", "TICKET_NOT_FOUND")
        for metadata in owners:
            found = await cached.stub.GetTicketPosition(request, metadata=metadata)
            assert found.ticket_id == ticket.id
            for stranger in strangers:
                call = cached.stub.GetTicketPosition(request, metadata=stranger)
                assert await problem(call) == ("NOT_FOUND", "TICKET_NOT_FOUND")

    async def test_a_ticket_of_nowhere(self, cached: World) -> None:
        request = ticket_requests.GetTicketPositionRequest(id=uid())
        for _ in range(2):
            call = cached.stub.GetTicketPosition(request, metadata=cached.operator)
            assert await problem(call) == ("NOT_FOUND", "TICKET_NOT_FOUND")

    async def test_stats_of_others(self, cached: World) -> None:
        await cached.take()
        await stats(cached)
        request = report_requests.GetQueueStatsRequest(institution_id=cached.place.facility)
        other = cached.operator_of(cached.facilities.open())
        call = cached.stub.GetQueueStats(request, metadata=other)
        assert await problem(call) == ("PERMISSION_DENIED", "OTHER_INSTITUTION")


class TestReplicas:
    """Two processes of the service on one database."""

    @pytest.mark.backends
    async def test_a_shared_redis_makes_cached_values_old_everywhere_at_once(
        self, mesh: Mesh, database_url: str
    ) -> None:
        async with caching(mesh, database_url, REDIS_URL) as world:
            one = world.stub
            # No event reaches the other process: Redis alone tells.
            world.bus = LocalBus()
            await world.start()
            two = world.stub
            for number in range(1, 11):
                world.stub = (one, two)[number % 2]
                ticket = await world.take()
                for stub in (two, one):
                    world.stub = stub
                    assert (await board(world)).services[0].waiting == number
                    assert (await stats(world)).issued == number
                    assert (await position(world, ticket)).people_ahead == number - 1

    async def test_an_event_makes_cached_values_of_another_process_old(
        self, mesh: Mesh, database_url: str
    ) -> None:
        async with caching(mesh, database_url, "") as world:
            await world.take()
            one = world.stub
            await board(world)
            await world.start()
            await world.take()
            world.stub = one

            async def happened() -> bool:
                return (await board(world)).services[0].waiting == 2

            await eventually(happened)
