"""The numbers of a facility as a manager asks for them: now, a day, a week, a file."""

from __future__ import annotations

import datetime
from collections import Counter

import pytest
from mediq.policy.v1.policy_pb2 import Role
from mediq.queue.v1 import report_service_pb2 as requests
from mediq.queue.v1.report_service_pb2 import QueueStats

from tests.queue_svc.conftest import (
    SERVING,
    WAITING,
    World,
)
from tests.queue_svc.servicers.days import TODAY, a_day, counts, daily, served, weekly


async def now(world: World) -> QueueStats:
    return await world.stub.GetQueueStats(
        requests.GetQueueStatsRequest(institution_id=world.place.facility),
        metadata=world.operator,
    )


class TestOneDay:
    async def test_the_whole_day(self, world: World) -> None:
        await a_day(world)
        day = await daily(world)
        assert day == await daily(world, TODAY)
        assert day.day == TODAY
        assert counts(day) == {
            "issued": 6,
            "called": 4,
            "done": 2,
            "no_show": 1,
            "cancelled": 1,
            "transferred": 1,
            "within_standard": 2,
        }
        # Waits of 10, 30, 70 and 90 minutes; services of 5, 20 and 10.
        assert day.mean_wait.seconds == 50 * 60
        assert day.median_wait.seconds == pytest.approx(30 * 60, rel=0.01)
        assert day.p90_wait.seconds == pytest.approx(90 * 60, rel=0.01)
        assert day.mean_service.seconds == 700
        assert day.median_service.seconds == pytest.approx(600, rel=0.01)
        assert day.p90_service.seconds == pytest.approx(1200, rel=0.01)

    async def test_the_parts_of_a_day(self, world: World) -> None:
        await a_day(world)
        day = await daily(world)
        assert [(one.name, counts(one)) for one in day.services] == [
            ("Apotek", {"issued": 1}),
            (
                "Poli Umum",
                {
                    "issued": 5,
                    "called": 4,
                    "done": 2,
                    "no_show": 1,
                    "cancelled": 1,
                    "transferred": 1,
                    "within_standard": 2,
                },
            ),
        ]
        assert [one.standard_wait.seconds for one in day.services] == [3600, 3600]
        assert not day.services[0].HasField("mean_wait")
        assert [(one.key, counts(one)) for one in day.hours] == [
            ("09", {"issued": 5, "called": 2, "done": 2, "within_standard": 2}),
            ("10", {"issued": 1, "called": 2, "no_show": 1, "cancelled": 1, "transferred": 1}),
        ]
        assert [(one.name, counts(one)) for one in day.counters] == [
            (
                "Loket 1",
                {"called": 3, "done": 1, "no_show": 1, "transferred": 1} | {"within_standard": 1},
            ),
            ("Loket 2", {"called": 1, "done": 1, "within_standard": 1}),
        ]
        assert [one.key for one in day.counters] == world.place.counters[:2]
        assert [(one.key, one.issued, one.done) for one in day.classes] == [
            ("PRIORITY_URGENT", 1, 1),
            ("PRIORITY_HIGH", 1, 1),
            ("PRIORITY_NORMAL", 4, 0),
        ]
        for parts in (day.services, day.hours, day.classes):
            total: Counter[str] = sum((Counter(counts(one)) for one in parts), Counter())
            assert dict(total) == counts(day)

    async def test_now(self, world: World) -> None:
        await a_day(world)
        last = await world.take()
        await world.take()
        await world.call(last, 2)
        world.clock.forward(minutes=7)
        await world.dependencies.tickets._cache.invalidate(world.place.facility)
        found = await now(world)
        assert (found.service_day, found.issued, found.waiting, found.in_service) == (
            *(TODAY, 8, 2, 1),
        )
        assert (found.done, found.no_show, found.cancelled, found.transferred) == (2, 1, 1, 1)
        # 10, 30, 70, 90 and 0 minutes.
        assert found.mean_wait.seconds == 40 * 60
        assert found.median_wait.seconds == pytest.approx(30 * 60, rel=0.01)
        assert found.p90_wait.seconds == pytest.approx(90 * 60, rel=0.01)
        drugs, clinic = found.services
        assert (drugs.service_name, drugs.waiting, drugs.open_counters) == ("Apotek", 1, 0)
        assert (drugs.last_called_number, drugs.HasField("mean_wait")) == ("", False)
        assert drugs.longest_wait.seconds == 7 * 60
        assert (clinic.waiting, clinic.in_service, clinic.done) == (1, 1, 2)
        assert clinic.last_called_number == "A-006"
        # Loket 1 called at 10:30 and Loket 3 at 10:40; Loket 2 more than half an hour ago.
        assert clinic.open_counters == 2
        assert (clinic.standard_wait.seconds, clinic.mean_wait.seconds) == (3600, 2400)
        assert clinic.longest_wait.seconds == 7 * 60

    async def test_a_day_without_anybody(self, world: World) -> None:
        for found in (await daily(world), await daily(world, "2025-01-01")):
            assert counts(found) == {}
            assert not found.HasField("mean_wait")
            assert not found.HasField("p90_service")
            assert not found.services
            assert found.accuracy.compared == 0
        empty = await now(world)
        assert (empty.issued, len(empty.services), empty.service_day) == (0, 0, TODAY)

    async def test_the_standard_of_a_service(self, world: World) -> None:
        world.facilities.services[world.place.service].standard_wait_minutes = 30
        first, second = await world.take(), await world.take()
        await served(world, first, 0, 30, 1)
        await served(world, second, 0, 0.1, 1)
        day = await daily(world)
        assert (day.called, day.within_standard) == (2, 1)
        assert day.services[0].standard_wait.seconds == 1800
        assert (await now(world)).services[0].standard_wait.seconds == 1800

    async def test_what_is_taken_back_does_not_count(self, world: World) -> None:
        ticket = await world.take()
        world.clock.forward(minutes=90)
        await world.call(ticket, 0)
        await world.move(ticket, SERVING)
        counted = await daily(world)
        assert (counted.called, counted.mean_wait.seconds) == (1, 5400)
        await world.move(ticket, WAITING, "salah pasien")
        found = await daily(world)
        assert counts(found) == {"issued": 1}
        assert not found.HasField("mean_wait")
        assert not found.HasField("median_wait")
        assert found.accuracy.compared == 0
        assert not found.counters
        assert (await now(world)).waiting == 1
        await served(world, ticket, 1, 10, 5)
        found = await daily(world)
        assert counts(found) == {"issued": 1, "called": 1, "done": 1}
        assert (found.mean_wait.seconds, found.mean_service.seconds) == (6000, 300)
        assert [(one.name, one.called) for one in found.counters] == [("Loket 2", 1)]

    async def test_a_repeated_call_counts_once(self, world: World) -> None:
        ticket = await world.take()
        for _ in range(3):
            world.clock.forward(minutes=2)
            await world.call(ticket)
        day = await daily(world)
        assert (day.called, day.mean_wait.seconds) == (1, 120)

    async def test_how_good_the_estimates_were(self, world: World) -> None:
        # Told 0, 15, 25 and 35 minutes, the highest ends 5, 30, 45 and 60.
        tickets = [await world.take() for _ in range(4)]
        assert [one.estimated_wait.seconds // 60 for one in tickets] == [0, 15, 25, 35]
        assert [one.estimated_wait_high.seconds // 60 for one in tickets] == [5, 30, 45, 60]
        start = world.clock()
        for ticket, wait in zip(tickets, (2, 24, 36, 100), strict=True):
            world.clock.now = start + datetime.timedelta(minutes=wait)
            await world.call(ticket)
        for found in ((await daily(world)).accuracy, (await now(world)).accuracy):
            # Off by 2, 9, 11 and 65 minutes.
            assert (found.compared, found.within_ten_minutes, found.under_upper_bound) == (4, 2, 3)
            assert found.median_error.seconds == pytest.approx(9 * 60, rel=0.01)

    async def test_the_day_is_the_facilitys(self, world: World) -> None:
        place = world.facilities.open("Asia/Jayapura")
        world.clock.now = world.clock.now.replace(hour=14, minute=50)  # 23:50 there
        await world.take(place=place)
        world.clock.forward(minutes=20)
        await world.take(place=place)
        admin = world.mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=place.facility)
        for day, hour in (("2026-03-02", "23"), ("2026-03-03", "00")):
            found = await world.stub.GetDailyStats(
                requests.GetDailyStatsRequest(institution_id=place.facility, day=day),
                metadata=admin,
            )
            assert (found.issued, [one.key for one in found.hours]) == (1, [hour])
        request = requests.GetQueueStatsRequest(institution_id=place.facility)
        found_now = await world.stub.GetQueueStats(request, metadata=admin)
        # Who waited at midnight still waits, but what is counted is of today.
        assert (found_now.service_day, found_now.issued, found_now.waiting) == ("2026-03-03", 1, 2)


class TestWeek:
    async def test_seven_days_and_their_total(self, world: World) -> None:
        for day, patients in enumerate((1, 2, 3)):
            for _ in range(patients):
                await served(world, await world.take(), day, 10 * (day + 1), 2)
            world.clock.forward(hours=23)
        last = (await now(world)).service_day
        assert last == "2026-03-05"
        week = await weekly(world)
        assert [one.day for one in week.days] == [
            *(f"2026-02-{day}" for day in (27, 28)),
            *(f"2026-03-0{day}" for day in range(1, 6)),
        ]
        assert [one.done for one in week.days] == [0, 0, 0, 1, 2, 3, 0]
        total = week.total
        assert (total.day, total.issued, total.done, total.called) == ("", 6, 6, 6)
        # 10, twice 20, three times 30 minutes.
        assert total.mean_wait.seconds == 1400
        assert total.median_wait.seconds == pytest.approx(20 * 60, rel=0.01)
        assert total.p90_wait.seconds == pytest.approx(30 * 60, rel=0.01)
        assert [(one.name, one.done) for one in total.services] == [("Poli Umum", 6)]
        assert [(one.name, one.called) for one in total.counters] == [
            *(("Loket 1", 1), ("Loket 2", 2), ("Loket 3", 3))
        ]
        assert [one.done for one in (await weekly(world, "2026-03-03")).days] == [
            *(0, 0, 0, 0, 0, 1, 2)
        ]
        assert week.days[5] == await daily(world, "2026-03-04")
