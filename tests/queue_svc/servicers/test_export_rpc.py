"""The numbers of a facility as a file, and the ranges that may be asked for."""

from __future__ import annotations

import csv
import io

import pytest
from google.api.httpbody_pb2 import HttpBody
from mediq.queue.v1 import report_service_pb2 as requests

from tests.queue_svc.conftest import Place, World, uid
from tests.queue_svc.servicers.days import TODAY, a_day, counts, daily, weekly
from tests.support.mesh import problem


async def export(world: World, first_day: str = "", last_day: str = "") -> HttpBody:
    return await world.stub.ExportStats(
        requests.ExportStatsRequest(
            institution_id=world.place.facility, first_day=first_day, last_day=last_day
        ),
        metadata=world.operator,
    )


async def rows(world: World, first_day: str = "", last_day: str = "") -> list[dict[str, str]]:
    body = await export(world, first_day, last_day)
    text = body.data.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


class TestExport:
    async def test_one_row_a_part(self, world: World) -> None:
        await a_day(world)
        body = await export(world)
        assert body.content_type == "text/csv; charset=utf-8"
        assert body.data.startswith(b"\xef\xbb\xbf")
        found = await rows(world)
        assert len(
            {(one["service"], one["hour"], one["counter"], one["class"]) for one in found}
        ) == (len(found))
        day = await daily(world)
        for name, total in counts(day).items():
            assert sum(int(one[name]) for one in found) == total
        assert sum(int(one["wait_s"]) for one in found) == 4 * 50 * 60
        assert sum(int(one["service_s"]) for one in found) == 35 * 60
        assert {one["day"] for one in found} == {TODAY}
        assert {one["class"] for one in found} == {"NORMAL", "HIGH", "URGENT"}
        urgent = next(one for one in found if one["class"] == "URGENT" and one["called"] == "1")
        assert (urgent["counter"], urgent["counter_id"]) == ("Loket 1", world.place.counters[0])
        assert (urgent["hour"], urgent["mean_wait_s"], urgent["mean_service_s"]) == (
            *("9", "600", "300"),
        )

    async def test_several_days_oldest_first(self, world: World) -> None:
        for _ in range(3):
            await world.take()
            world.clock.forward(days=1)
        found = await rows(world, TODAY, "2026-03-04")
        assert [(one["day"], one["issued"]) for one in found] == [
            *(("2026-03-02", "1"), ("2026-03-03", "1"), ("2026-03-04", "1"))
        ]
        assert [one["day"] for one in await rows(world, "2026-03-03")] == [
            *("2026-03-03", "2026-03-04")
        ]

    async def test_names_that_a_spreadsheet_would_run(self, world: World) -> None:
        evil = ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", 'Poli "Anak", lantai 2', "Gigi"]
        for number, name in enumerate(evil):
            service = world.facilities.add(world.place.facility, name, "ABCDEFGH"[number])
            await world.take(place=Place(world.place.facility, service, world.place.counters, ""))
        counters = world.facilities.facts[world.place.facility].counters
        counters[7].name = "=cmd|'/c calc'!A1"
        # A counter that the cached answer does not know makes the service ask again.
        added = counters.add(id=uid(), institution_id=world.place.facility, name="@A1")
        world.place.counters.append(added.id)
        await world.take()
        await world.next(counter=-1)
        found = await rows(world)
        names = {one["service"] for one in found}
        assert names == {
            *(f"'{name}" for name in evil[:4]),
            *(*evil[4:], "Poli Umum"),
        }
        assert {one["counter"] for one in found} == {"", "'@A1"}
        cells = [cell for one in found for cell in one.values()]
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)

    async def test_an_empty_range_is_a_heading(self, world: World) -> None:
        assert await rows(world, "2025-01-01", "2025-01-31") == []
        body = await export(world, "2025-01-01", "2025-01-31")
        assert body.data.decode("utf-8-sig").startswith("day,service_id,service,")


class TestRanges:
    @pytest.mark.parametrize(
        ("first", "last", "reason"),
        [
            ("2026-03-03", "2026-03-02", "DAYS_INVALID"),
            ("2026-01-01", "2026-04-04", "DAYS_INVALID"),
            ("2000-01-01", "2026-03-02", "DAYS_INVALID"),
            ("2026-02-30", "2026-03-02", "DAY_INVALID"),
            ("2026-02-01", "2026-13-01", "DAY_INVALID"),
            ("0001-01-01", "0001-01-02", "DAY_INVALID"),
            ("9999-12-30", "9999-12-31", "DAY_INVALID"),
            ("today", "2026-03-02", "INVALID_REQUEST"),
        ],
    )
    async def test_ranges_that_are_none(
        self, world: World, first: str, last: str, reason: str
    ) -> None:
        call = export(world, first, last)
        assert await problem(call) == ("INVALID_ARGUMENT", reason)

    async def test_the_longest_range(self, world: World) -> None:
        assert await rows(world, "2026-01-01", "2026-04-03") == []

    @pytest.mark.parametrize("day", ["2026-02-31", "0000-01-01", "9999-12-31", "2026-00-10"])
    async def test_days_that_are_none(self, world: World, day: str) -> None:
        for call in (daily(world, day), weekly(world, day)):
            assert await problem(call) == ("INVALID_ARGUMENT", "DAY_INVALID")

    async def test_a_day_of_another_shape(self, world: World) -> None:
        for day in ("2026-3-2", "20260302", "2026-03-02T00:00"):
            for call in (daily(world, day), weekly(world, day)):
                assert await problem(call) == ("INVALID_ARGUMENT", "INVALID_REQUEST")

    async def test_only_staff_of_the_facility_export(self, world: World) -> None:
        request = requests.ExportStatsRequest(institution_id=world.place.facility)
        other = world.operator_of(world.facilities.open())
        call = world.stub.ExportStats(request, metadata=other)
        assert await problem(call) == ("PERMISSION_DENIED", "OTHER_INSTITUTION")
        call = world.stub.ExportStats(request, metadata=world.patient(uid()))
        assert await problem(call) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
