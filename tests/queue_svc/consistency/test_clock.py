"""A clock that is put back, and midnight in each zone: times, numbers and days stay right."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable

import pytest
from mediq.queue.v1 import live_service_pb2 as live_requests
from mediq.queue.v1 import report_service_pb2 as report_requests
from mediq.queue.v1 import ticket_service_pb2 as ticket_requests
from mediq.queue.v1.queue_pb2 import Ticket

from mesh.persistence.database import make_engine
from tests.queue_svc import ledger
from tests.queue_svc.conftest import (
    DONE,
    HIGH,
    LOW,
    MORNING,
    NO_SHOW,
    SERVING,
    SKIPPED,
    URGENT,
    WAITING,
    Place,
    World,
)
from tests.queue_svc.watching import board, until
from tests.support.mesh import problem

ZONES = {"Asia/Jakarta": 7, "Asia/Makassar": 8, "Asia/Jayapura": 9}
"""WIB, WITA and WIT: hours before UTC."""


def sound(world: World) -> list[ledger.Book]:
    """Fails when something in the database does not fit together; gives its queues."""
    engine = make_engine(world.settings.database, 1)
    books = ledger.books(engine)
    engine.dispose()
    for book in books:
        ledger.check(book)
    return books


async def nothing_is_negative(world: World) -> None:
    """No estimate and no wait of any list, board or report is below zero."""
    place, operator = world.place, world.operator
    listed = await world.stub.ListTickets(
        ticket_requests.ListTicketsRequest(institution_id=place.facility), metadata=operator
    )
    for ticket in listed.tickets:
        for wait in (
            ticket.estimated_wait,
            ticket.estimated_wait_low,
            ticket.estimated_wait_high,
        ):
            assert wait.ToTimedelta() >= datetime.timedelta(0)
        assert ticket.people_ahead >= 0
        position = await world.stub.GetTicketPosition(
            ticket_requests.GetTicketPositionRequest(id=ticket.id), metadata=operator
        )
        assert position.estimated_wait.ToTimedelta() >= datetime.timedelta(0)
    now = await world.stub.GetQueueStats(
        report_requests.GetQueueStatsRequest(institution_id=place.facility), metadata=operator
    )
    waits = [now.mean_wait, now.median_wait, now.p90_wait]
    waits += [one.longest_wait for one in now.services]
    day = await stats(world, place)
    waits += [day.mean_wait, day.median_wait, day.mean_service, day.p90_service]
    assert all(wait.ToTimedelta() >= datetime.timedelta(0) for wait in waits)


async def stats(world: World, place: Place, day: str = "") -> report_requests.DailyStats:
    return await world.stub.GetDailyStats(
        report_requests.GetDailyStatsRequest(institution_id=place.facility, day=day),
        metadata=world.operator_of(place),
    )


async def to_pharmacy(world: World, ticket: Ticket, place: Place | None = None) -> Ticket:
    place = place or world.place
    return await world.stub.TransferTicket(
        ticket_requests.TransferTicketRequest(
            id=ticket.id, service_id=place.pharmacy, reason="resep"
        ),
        metadata=world.operator_of(place),
    )


async def next_of(world: World, place: Place) -> Ticket:
    return await world.stub.CallNextTicket(
        ticket_requests.CallNextTicketRequest(
            institution_id=place.facility,
            service_id=place.service,
            counter_id=place.counters[0],
        ),
        metadata=world.operator_of(place),
    )


async def moved(world: World, place: Place, ticket: Ticket, status: int) -> Ticket:
    return await world.stub.UpdateTicketStatus(
        ticket_requests.UpdateTicketStatusRequest(id=ticket.id, status=status),  # type: ignore[arg-type]
        metadata=world.operator_of(place),
    )


BACK = [{"minutes": 7}, {"hours": 3}, {"hours": 10}, {"days": 40}]
"""How far the clock jumps back. Ten hours before nine in the morning is yesterday."""


@pytest.mark.parametrize("back", BACK, ids=str)
class TestPutBack:
    async def test_times_of_a_ticket_never_go_back(
        self, world: World, back: dict[str, float]
    ) -> None:
        ticket = await world.take()
        steps: list[Callable[[], Awaitable[Ticket]]] = [
            lambda: world.call(ticket),
            lambda: world.move(ticket, WAITING, "salah tekan"),
            lambda: world.call(ticket),
            lambda: world.call(ticket),
            lambda: world.move(ticket, SKIPPED),
            lambda: world.move(ticket, WAITING),
            lambda: world.call(ticket),
            lambda: world.move(ticket, SERVING),
            lambda: world.move(ticket, DONE),
        ]
        for number, step in enumerate(steps):
            world.clock.forward(**{name: (-1) ** number * amount for name, amount in back.items()})
            await step()
            await nothing_is_negative(world)
            sound(world)
        history = await world.stub.GetTicketHistory(
            ticket_requests.GetTicketHistoryRequest(id=ticket.id), metadata=world.operator
        )
        times = [one.occur_time.ToDatetime() for one in history.changes]
        assert times == sorted(times)
        assert len(times) == len(steps) + 1

    async def test_tickets_taken_while_it_is_back_come_after_the_others(
        self, world: World, back: dict[str, float]
    ) -> None:
        first = await world.take()
        world.clock.forward(**{name: -amount for name, amount in back.items()})
        later = [await world.take() for _ in range(2)]
        await nothing_is_negative(world)
        books = sound(world)
        if first.service_day == later[0].service_day:
            assert [one.number for one in later] == ["A-002", "A-003"]
            assert later[0].create_time.ToDatetime() >= first.create_time.ToDatetime()
            assert [(await world.next()).id for _ in range(3)] == [
                *(one.id for one in (first, *later)),
            ]
        else:
            # Another day of the facility has numbers of its own.
            assert [one.number for one in later] == ["A-001", "A-002"]
            assert len(books) == 2
        world.clock.now = MORNING
        await world.take()
        sound(world)

    async def test_a_visit_goes_on_in_order(self, world: World, back: dict[str, float]) -> None:
        ticket = await world.take()
        world.clock.forward(minutes=20)
        await world.move(await world.next(), SERVING)
        world.clock.forward(**{name: -amount for name, amount in back.items()})
        medicine = await to_pharmacy(world, ticket)
        journey = await world.stub.GetJourney(
            ticket_requests.GetJourneyRequest(id=ticket.journey_id), metadata=world.operator
        )
        assert [one.id for one in journey.tickets] == [ticket.id, medicine.id]
        assert medicine.create_time.ToDatetime() >= journey.tickets[0].close_time.ToDatetime()
        tasks = [one.occur_time.ToDatetime() for one in journey.bpjs_tasks]
        assert tasks == sorted(tasks)
        await nothing_is_negative(world)
        sound(world)


@pytest.mark.parametrize("back", BACK[:2], ids=str)
async def test_a_board_hears_everything_in_order(world: World, back: dict[str, float]) -> None:
    await world.take()
    async with board(world) as stream:
        assert (await anext(stream)).HasField("board")
        world.clock.forward(hours=1)
        other = await world.take()
        world.clock.forward(hours=-1)
        world.clock.forward(**{name: -amount for name, amount in back.items()})
        await world.call(other)
        await world.move(other, NO_SHOW)
        world.clock.now = MORNING
        await world.take()
        events, cursor = await until(stream, 4)
    assert [one.revision for one in events] == [2, 3, 4, 5]
    times = [one.occur_time.ToDatetime() for one in events]
    assert times == sorted(times)
    async with board(world, cursor) as stream:
        await world.take()
        (event,), _ = await until(stream, 1)
        assert event.revision == 6


@pytest.mark.parametrize("back", BACK[2:], ids=str)
async def test_a_board_of_another_day_begins_again(world: World, back: dict[str, float]) -> None:
    """The clock goes to another day and back: what the board shows then is right."""
    ticket = await world.take()
    async with board(world) as stream:
        assert (await anext(stream)).board.services[0].waiting == 1
        world.clock.forward(**{name: -amount for name, amount in back.items()})
        other = await world.take()
        await world.call(ticket)
        world.clock.now = MORNING
        last = await world.take()
        shown: dict[str, int] = {}
        while shown.get(last.id) != WAITING:
            message = await anext(stream)
            assert not message.HasField("end")
            if message.HasField("board"):
                days = message.board.services
                shown = {one.ticket_id: one.status for two in days for one in two.current}
                if sum(one.waiting for one in days) == 1 and ticket.id in shown:
                    shown[last.id] = WAITING
            if message.HasField("event"):
                shown[message.event.ticket_id] = message.event.status
        assert other.id not in shown or other.service_day != last.service_day
        now = await world.stub.GetBoard(
            live_requests.GetBoardRequest(institution_id=world.place.facility)
        )
        assert [one.ticket_id for one in now.services[0].current] == [ticket.id]
        assert now.services[0].waiting == 1
    sound(world)


async def test_a_ticket_that_was_forgotten_for_a_month_can_be_closed(world: World) -> None:
    """Its times are longer than a column of 32 bits holds in milliseconds."""
    waiting, served = await world.take(), await world.take()
    await world.move(await world.call(served), SERVING)
    world.clock.forward(days=31)
    done = await world.move(served, DONE)
    assert done.close_time.seconds - done.serve_time.seconds == 31 * 24 * 3600
    await world.call(waiting, counter=1)
    await world.move(waiting, SERVING)
    await world.move(waiting, DONE)
    (book,) = sound(world)
    assert book.queue.waiting == 0
    assert (await world.take()).estimated_wait.seconds >= 0


async def test_before_everybody_came_the_order_is_that_of_the_classes(world: World) -> None:
    """Nobody has waited yet, as the clock says: priorities decide, then who came first."""
    tickets = [await world.take(priority) for priority in (LOW, HIGH, URGENT)]
    world.clock.forward(minutes=1)
    last = await world.take(HIGH)
    world.clock.forward(minutes=-30)
    low, high, urgent = tickets
    order = [urgent.number, high.number, last.number, low.number]
    assert await world.upcoming() == order
    assert [(await world.next()).number for _ in range(4)] == order


async def test_yesterdays_patient_comes_first_when_the_clock_says_nobody_has_waited(
    world: World,
) -> None:
    """Both are of one priority: the numbers of two days do not compare."""
    midnight = MORNING.replace(hour=17)

    def at(minutes: int) -> None:
        world.clock.now = midnight + datetime.timedelta(minutes=minutes)

    at(-5)
    first = await world.take()
    at(5)
    await world.call(first)
    at(-2)
    yesterday = await world.take()
    at(10)
    today = await world.take()
    assert (yesterday.number, today.number) == ("A-002", "A-001")
    assert yesterday.service_day < today.service_day
    at(2)
    assert await world.upcoming() == [yesterday.number, today.number]
    assert (await world.next()).id == yesterday.id
    assert (await world.next()).id == today.id


@pytest.mark.parametrize(("zone", "hours"), ZONES.items())
class TestMidnight:
    def place(self, world: World, zone: str, hours: int) -> Place:
        """A facility, half an hour before its midnight."""
        made = world.facilities.open(zone)
        midnight = datetime.datetime(2026, 3, 3, tzinfo=datetime.UTC)
        world.clock.now = midnight - datetime.timedelta(hours=hours, minutes=30)
        return made

    async def test_who_waits_is_called_until_the_morning(
        self, world: World, zone: str, hours: int
    ) -> None:
        place = self.place(world, zone, hours)
        waiting = [await world.take(place=place) for _ in range(3)]
        assert {one.service_day for one in waiting} == {"2026-03-02"}
        world.clock.forward(minutes=31)
        today = await world.take(place=place)
        assert (today.number, today.service_day) == ("A-001", "2026-03-03")
        assert today.people_ahead == 3
        assert (await next_of(world, place)).id == waiting[0].id
        world.clock.forward(hours=5, minutes=58)
        assert (await next_of(world, place)).id == waiting[1].id
        # Six o'clock: who waited since yesterday has gone home.
        world.clock.forward(minutes=1)
        assert (await next_of(world, place)).id == today.id
        assert await problem(next_of(world, place)) == ("NOT_FOUND", "QUEUE_EMPTY")
        left = await world.stub.GetTicket(
            ticket_requests.GetTicketRequest(id=waiting[2].id), metadata=world.operator_of(place)
        )
        assert (left.status, left.people_ahead) == (WAITING, 0)
        sound(world)

    async def test_numbers_count_for_the_day_of_the_ticket_in_the_hour_of_the_act(
        self, world: World, zone: str, hours: int
    ) -> None:
        place = self.place(world, zone, hours)
        await world.take(place=place)
        world.clock.forward(minutes=29, seconds=59)
        await world.take(place=place)
        world.clock.forward(seconds=1)
        await world.take(place=place)
        world.clock.forward(minutes=10)
        called = await next_of(world, place)
        world.clock.forward(minutes=55)
        await moved(world, place, called, SERVING)
        await moved(world, place, called, DONE)
        before = await stats(world, place, "2026-03-02")
        after = await stats(world, place)
        assert after.day == "2026-03-03"
        assert (before.issued, before.called, before.done) == (2, 1, 1)
        assert (after.issued, after.called, after.done) == (1, 0, 0)
        assert [(one.key, one.issued, one.called, one.done) for one in before.hours] == [
            *(("00", 0, 1, 0), ("01", 0, 0, 1), ("23", 2, 0, 0)),
        ]
        assert [(one.key, one.issued) for one in after.hours] == [("00", 1)]
        assert before.mean_wait.seconds == 40 * 60
        sound(world)

    async def test_a_patient_is_sent_on_after_midnight(
        self, world: World, zone: str, hours: int
    ) -> None:
        place = self.place(world, zone, hours)
        ticket = await world.take(place=place)
        await moved(world, place, await next_of(world, place), SERVING)
        world.clock.forward(minutes=45)
        medicine = await to_pharmacy(world, ticket, place)
        assert (medicine.number, medicine.service_day) == ("B-001", "2026-03-03")
        assert medicine.journey_id == ticket.journey_id
        assert medicine.arrive_time == ticket.create_time
        before, after = await stats(world, place, "2026-03-02"), await stats(world, place)
        assert (before.issued, before.transferred, after.issued) == (1, 1, 1)
        assert [(one.key, one.transferred) for one in before.hours] == [("00", 1), ("23", 0)]
        assert [(one.key, one.issued) for one in after.hours] == [("00", 1)]
        sound(world)

    async def test_the_clock_goes_back_over_midnight(
        self, world: World, zone: str, hours: int
    ) -> None:
        """The old day goes on where it was, and nobody of the new day is lost."""
        place = self.place(world, zone, hours)
        early = await world.take(place=place)
        world.clock.forward(minutes=40)
        new = await world.take(place=place)
        world.clock.forward(minutes=-20)
        again = await world.take(place=place)
        assert (again.number, again.service_day) == ("A-002", early.service_day)
        assert (await next_of(world, place)).id == early.id
        world.clock.forward(minutes=20)
        assert [(await next_of(world, place)).id for _ in range(2)] == [again.id, new.id]
        assert (await world.take(place=place)).number == "A-002"
        sound(world)
