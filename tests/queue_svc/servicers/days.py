"""A day with visits, and the numbers that the service gives of it."""

from __future__ import annotations

from mediq.queue.v1 import report_service_pb2 as report_requests
from mediq.queue.v1 import ticket_service_pb2 as ticket_requests
from mediq.queue.v1.queue_pb2 import Ticket
from mediq.queue.v1.report_service_pb2 import DailyStats, StatsGroup, WeeklyStats

from tests.queue_svc.conftest import (
    CANCELLED,
    DONE,
    HIGH,
    NO_SHOW,
    NORMAL,
    SERVING,
    URGENT,
    World,
)

TODAY = "2026-03-02"
COUNTED = ("issued", "called", "done", "no_show", "cancelled", "transferred", "within_standard")


async def daily(world: World, day: str = "") -> DailyStats:
    return await world.stub.GetDailyStats(
        report_requests.GetDailyStatsRequest(institution_id=world.place.facility, day=day),
        metadata=world.operator,
    )


async def weekly(world: World, last_day: str = "") -> WeeklyStats:
    return await world.stub.GetWeeklyStats(
        report_requests.GetWeeklyStatsRequest(
            institution_id=world.place.facility, last_day=last_day
        ),
        metadata=world.operator,
    )


async def served(world: World, ticket: Ticket, counter: int, wait: float, minutes: float) -> None:
    """A visit: called after a wait, served at once for some minutes."""
    world.clock.forward(minutes=wait)
    await world.call(ticket, counter)
    await world.move(ticket, SERVING)
    world.clock.forward(minutes=minutes)
    await world.move(ticket, DONE)


def counts(numbers: DailyStats | StatsGroup) -> dict[str, int]:
    return {name: getattr(numbers, name) for name in COUNTED if getattr(numbers, name)}


async def a_day(world: World) -> None:
    """From 09:00: two served, one absent, one gone, one sent on; waits of 10 to 90 minutes."""
    first, second, third, fourth, fifth = [
        await world.take(priority) for priority in (NORMAL, HIGH, NORMAL, NORMAL, URGENT)
    ]
    await served(world, fifth, 0, 10, 5)  # called 09:10, until 09:15
    await served(world, second, 1, 15, 20)  # called 09:30, until 09:50
    world.clock.forward(minutes=20)
    await world.call(first, 0)  # 10:10
    await world.move(first, NO_SHOW)
    world.clock.forward(minutes=20)
    await world.call(third, 0)  # 10:30
    await world.move(third, SERVING)
    world.clock.forward(minutes=10)
    await world.stub.TransferTicket(
        ticket_requests.TransferTicketRequest(id=third.id, service_id=world.place.pharmacy),
        metadata=world.operator,
    )  # 10:40
    await world.move(fourth, CANCELLED, "pulang")
