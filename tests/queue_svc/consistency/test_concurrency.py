"""Many at once: numbers without gap or duplicate, each patient called once, nobody sent away."""

import asyncio
import datetime
from collections import Counter

import pytest
from mediq.queue.v1 import ticket_service_pb2 as requests

from mesh.contract.access_scope import AccessScope
from queue_svc.application.change_ticket import MoveTicket
from queue_svc.domain.states import Status
from queue_svc.domain.tickets import Ticket as Changed
from queue_svc.persistence.ticket_repository import TicketRepository
from tests.queue_svc.conftest import CANCELLED, SERVING, WAITING, World, uid
from tests.support.mesh import problem
from tests.support.waiting import PATIENCE_SECONDS


async def test_writers_make_no_duplicate_and_no_gap(world: World) -> None:
    async def writer() -> list[str]:
        return [(await world.take()).number for _ in range(25)]

    numbers = [
        number for part in await asyncio.gather(*(writer() for _ in range(8))) for number in part
    ]
    assert sorted(numbers) == [f"A-{number:03d}" for number in range(1, 201)]


async def test_operators_never_share_a_patient_and_are_never_sent_away(world: World) -> None:
    """Patients arrive while eight operators call without pause.

    An operator may be told "empty" only when everyone who had a ticket as the call began is
    taken: by an answered call, or by one that is on its way.
    """
    patients, issued, on_the_way = 100, 0, 0
    called: Counter[str] = Counter()
    empty = 0

    async def arrive() -> None:
        nonlocal issued
        for _ in range(patients // 4):
            await world.take()
            issued += 1

    async def operate(counter: int) -> None:
        nonlocal on_the_way, empty
        while len(called) < patients:
            known = issued
            on_the_way += 1
            try:
                called[(await world.next(counter)).id] += 1
            except Exception as error:
                assert "nobody waits" in str(error)  # noqa: PT017 - any other one fails the test
                assert known <= len(called) + on_the_way - 1
                empty += 1
            finally:
                on_the_way -= 1

    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(
            *(arrive() for _ in range(4)), *(operate(counter) for counter in range(8))
        )
    assert len(called) == issued == patients
    assert set(called.values()) == {1}
    assert await problem(world.next()) == ("NOT_FOUND", "QUEUE_EMPTY")


async def test_a_full_queue_is_drained_without_one_false_empty(world: World) -> None:
    for _ in range(100):
        await world.take()
    called = [
        ticket.id
        for part in range(0, 100, 8)
        for ticket in await asyncio.gather(
            *(world.next(counter) for counter in range(min(8, 100 - part)))
        )
    ]
    assert len(set(called)) == len(called) == 100
    assert await world.upcoming() == []


async def test_the_same_request_at_the_same_moment(world: World) -> None:
    for _ in range(5):
        await world.take()
    key = uid()
    answers = await asyncio.gather(*(world.next(request_id=key) for _ in range(6)))
    assert len({answer.id for answer in answers}) == 1
    assert len(await world.upcoming()) == 4


@pytest.mark.parametrize("attempt", range(4))
async def test_the_last_patient_asked_for_twice_with_one_key(world: World, attempt: int) -> None:
    """The second one finds the queue empty because of the first: that is not its answer."""
    await world.take()
    key = uid()
    answers = await asyncio.gather(*(world.next(request_id=key) for _ in range(6)))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1


async def test_one_patient_at_two_counters_gets_one_ticket(world: World) -> None:
    patient = uid()
    results = await asyncio.gather(
        *(world.take(patient=patient) for _ in range(5)), return_exceptions=True
    )
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert (await world.take()).number == "A-002"


async def test_two_counters_that_want_one_patient(world: World) -> None:
    ticket = await world.take()
    results = await asyncio.gather(
        *(world.call(ticket, counter) for counter in range(8)), return_exceptions=True
    )
    winners = [result for result in results if not isinstance(result, BaseException)]
    assert len(winners) == 1
    assert (await world.get(ticket)).counter_name == winners[0].counter_name


async def test_of_two_changes_one_wins(world: World) -> None:
    ticket = await world.take()
    await world.next()
    results = await asyncio.gather(
        world.move(ticket, SERVING), world.move(ticket, CANCELLED), return_exceptions=True
    )
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert (await world.get(ticket)).version == 3


class BrokenMove(MoveTicket):
    """Fails after it has written."""

    def apply(self, tickets: TicketRepository, now: datetime.datetime) -> Changed:
        super().apply(tickets, now)
        raise RuntimeError("after it has written")


async def test_one_that_breaks_a_transaction_does_not_break_the_others(world: World) -> None:
    tickets = [await world.take() for _ in range(4)]
    commands, scope = world.dependencies.commands, AccessScope(institution_id=world.place.facility)

    def cancel(ticket: str, *, broken: bool) -> MoveTicket:
        return (BrokenMove if broken else MoveTicket)(
            caller="me",
            request=requests.CancelTicketRequest(),
            scope=scope,
            ticket_id=ticket,
            status=Status.CANCELLED,
            reason="",
        )

    results = await asyncio.gather(
        *(
            commands.change("key", cancel(ticket.id, broken=number == 2))
            for number, ticket in enumerate(tickets)
        ),
        return_exceptions=True,
    )
    assert [isinstance(result, RuntimeError) for result in results] == [False, False, True, False]
    states = [(await world.get(ticket)).status for ticket in tickets]
    assert states == [CANCELLED, CANCELLED, WAITING, CANCELLED]
