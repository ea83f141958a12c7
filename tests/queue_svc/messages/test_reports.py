"""Numbers as messages and as a file."""

from __future__ import annotations

import csv
import datetime
import io
from dataclasses import replace

import pytest
from mediq.queue.v1 import report_service_pb2 as requests

from queue_svc.domain.numbers import DayPart, Moment, Sample, Tally, effects
from queue_svc.domain.quantiles import bucket_of
from queue_svc.domain.states import Priority, Status
from queue_svc.domain.tickets import Counter, Prediction, Queue, Ticket
from queue_svc.messages import reports
from tests.queue_svc.counting import MORNING, change, new_ticket
from tests.queue_svc.samples import QUEUE, SERVICE

S = Status
MONDAY, TUESDAY = "2026-03-02", "2026-03-03"
LOKET, LANSIA = Counter("c1", "Loket 1"), Counter("c2", "Lansia")
MINUTE = 60_000


def a_queue(number: int, name: str, day: str = MONDAY, **more: object) -> Queue:
    service = replace(SERVICE, service_id=f"s{name}", service_name=name)
    return replace(QUEUE, id=number, service=service, day=day, **more)  # type: ignore[arg-type]


def tallied(*histories: list[Ticket]) -> dict[DayPart, Tally]:
    """The numbers of tickets, each told as what it was like, oldest first."""
    found: dict[DayPart, Tally] = {}
    for history in histories:
        for before, after in zip([None, *history], history, strict=False):
            for effect in effects(before, after):
                tally = Tally()
                for name, count in effect.counts.items():
                    tally.counts[name] = effect.sign * count
                for sample, value in effect.samples.items():
                    tally.samples[sample][bucket_of(value)] = effect.sign
                known = found.pop(effect.part, Tally())
                found[effect.part] = Tally.total([known, tally])
    return found


def history(queue: Queue, *steps: tuple[float, Status], **more: object) -> list[Ticket]:
    """A ticket from issue on; each step says how many minutes after the one before it came."""
    counter = more.pop("counter", LOKET)
    assert isinstance(counter, Counter)
    found = [new_ticket(queue=queue, **more)]  # type: ignore[arg-type]
    for minutes, status in steps:
        found.append(change(found[-1], minutes, status, counter))
    return found


def served(queue: Queue, wait: float, service: float, **more: object) -> list[Ticket]:
    return history(queue, (wait, S.CALLED), (0, S.SERVING), (service, S.DONE), **more)


UMUM, GIGI = a_queue(1, "Poli Umum"), a_queue(2, "Gigi")
TALLIES = {
    1: tallied(
        served(UMUM, 10, 5, prediction=Prediction(15 * MINUTE, 20 * MINUTE)),
        served(UMUM, 70, 15, priority=Priority.URGENT, counter=LANSIA),
        history(UMUM, (20, S.CALLED), (5, S.SKIPPED), (30, S.NO_SHOW)),
        history(UMUM, (20, S.CALLED), (0, S.SERVING), (10, S.TRANSFERRED)),
        history(UMUM, (5, S.CANCELLED)),
    ),
}


class TestDaily:
    @pytest.fixture
    def day(self) -> requests.DailyStats:
        return reports.daily(MONDAY, [UMUM, GIGI], TALLIES)

    def test_whole(self, day: requests.DailyStats) -> None:
        assert (day.day, day.issued, day.called, day.done) == (MONDAY, 5, 4, 2)
        assert (day.no_show, day.cancelled, day.transferred) == (1, 1, 1)
        assert day.within_standard == 3
        assert day.mean_wait.ToSeconds() == 30 * 60
        assert day.median_wait.ToSeconds() == pytest.approx(20 * 60, rel=0.01)
        assert day.p90_wait.ToSeconds() == pytest.approx(70 * 60, rel=0.01)
        assert day.mean_service.ToSeconds() == 10 * 60
        assert day.median_service.ToSeconds() == pytest.approx(10 * 60, rel=0.01)
        assert day.p90_service.ToSeconds() == pytest.approx(15 * 60, rel=0.01)

    def test_accuracy(self, day: requests.DailyStats) -> None:
        accuracy = day.accuracy
        assert (accuracy.compared, accuracy.within_ten_minutes) == (1, 1)
        assert accuracy.under_upper_bound == 1
        assert accuracy.median_error.ToSeconds() == pytest.approx(300, rel=0.01)

    def test_services_by_name_also_those_without_tickets(self, day: requests.DailyStats) -> None:
        assert [(one.name, one.issued) for one in day.services] == [("Gigi", 0), ("Poli Umum", 5)]
        assert [one.standard_wait.ToSeconds() for one in day.services] == [3600, 3600]
        assert not day.services[0].HasField("mean_wait")

    def test_hours(self, day: requests.DailyStats) -> None:
        assert [(one.key, one.issued, one.called) for one in day.hours] == [
            ("08", 5, 3),
            ("09", 0, 1),
        ]
        assert [one.done for one in day.hours] == [1, 1]
        assert not day.hours[0].HasField("standard_wait")

    def test_counters_by_name(self, day: requests.DailyStats) -> None:
        assert [(one.key, one.name, one.called) for one in day.counters] == [
            ("c2", "Lansia", 1),
            ("c1", "Loket 1", 3),
        ]

    def test_priorities_the_most_urgent_first(self, day: requests.DailyStats) -> None:
        assert [(one.key, one.issued, one.called) for one in day.classes] == [
            ("PRIORITY_URGENT", 1, 1),
            ("PRIORITY_NORMAL", 4, 3),
        ]

    @pytest.mark.parametrize("groups", ["services", "hours", "classes"])
    def test_groups_add_up_to_the_whole(self, day: requests.DailyStats, groups: str) -> None:
        for name in ("issued", "called", "done", "no_show", "cancelled", "transferred"):
            parts = sum(getattr(one, name) for one in getattr(day, groups))
            assert parts == getattr(day, name)

    def test_a_day_without_queues(self) -> None:
        day = reports.daily(MONDAY, [], {})
        assert (day.day, day.issued, len(day.services)) == (MONDAY, 0, 0)
        assert not day.HasField("mean_wait")
        assert not day.accuracy.HasField("median_error")

    def test_a_counter_that_took_back_all_its_calls_is_not_listed(self) -> None:
        tallies = {1: tallied(history(UMUM, (5, S.CALLED), (1, S.WAITING)))}
        day = reports.daily(MONDAY, [UMUM], tallies)
        assert (day.issued, day.called, len(day.counters)) == (1, 0, 0)

    def test_a_counter_bears_its_last_name(self) -> None:
        renamed = replace(LOKET, name="Loket A")
        tallies = {
            1: tallied(served(UMUM, 90, 5, counter=renamed), served(UMUM, 5, 5, counter=LOKET))
        }
        day = reports.daily(MONDAY, [UMUM], tallies)
        assert [one.name for one in day.counters] == ["Loket A"]


class TestWeekly:
    def test_quantiles_of_a_week_come_from_its_times(self) -> None:
        # The median of the three medians would be a minute.
        queues = [a_queue(number, "Poli Umum", f"2026-03-0{number}") for number in (1, 2, 3)]
        waits = {1: [1], 2: [1], 3: [50, 50, 50, 50]}
        tallies = {
            queue.id: tallied(*(served(queue, wait, 5) for wait in waits[queue.id]))
            for queue in queues
        }
        week = reports.weekly({queue.day: ([queue], tallies) for queue in queues})
        assert [(one.day, one.issued) for one in week.days] == [
            ("2026-03-01", 1),
            ("2026-03-02", 1),
            ("2026-03-03", 4),
        ]
        assert (week.total.day, week.total.issued) == ("", 6)
        assert week.total.median_wait.ToSeconds() == pytest.approx(3000, rel=0.01)
        assert week.total.mean_wait.ToSeconds() == (2 + 200) * 60 // 6

    def test_a_service_is_one_group_under_its_last_name(self) -> None:
        old = a_queue(1, "Poli Umum")
        new = replace(old, id=2, day=TUESDAY, service=replace(old.service, service_name="Umum"))
        tallies = {1: tallied(served(old, 5, 5)), 2: tallied(served(new, 5, 5))}
        week = reports.weekly({MONDAY: ([old], tallies), TUESDAY: ([new], tallies)})
        assert [(one.name, one.issued) for one in week.total.services] == [("Umum", 2)]

    def test_days_without_queues(self) -> None:
        week = reports.weekly({MONDAY: ([], {}), TUESDAY: ([], {})})
        assert [one.day for one in week.days] == [MONDAY, TUESDAY]
        assert week.total.issued == 0


class TestNow:
    def test_who_is_there_of_all_days_and_what_happened_today(self) -> None:
        call = MORNING - datetime.timedelta(hours=9)
        late = a_queue(3, "Poli Umum", waiting=2, last_called_number="A-090", last_call_time=call)
        today = a_queue(4, "Poli Umum", TUESDAY, waiting=3)
        teeth = a_queue(5, "Gigi", TUESDAY, waiting=1)
        tallies = {
            3: tallied(served(late, 30, 5), history(late)),
            4: tallied(served(today, 10, 5), history(today, (20, S.CALLED))),
        }
        moments = {today.key: Moment(1, 2, 900.25), teeth.key: Moment(0, 0, None)}
        stats = reports.now("i", TUESDAY, [late, today, teeth], tallies, moments)
        assert (stats.institution_id, stats.service_day) == ("i", TUESDAY)
        assert (stats.issued, stats.done, stats.waiting, stats.in_service) == (2, 1, 6, 1)
        assert stats.mean_wait.ToSeconds() == 15 * 60
        assert [one.service_name for one in stats.services] == ["Gigi", "Poli Umum"]
        gigi, umum = stats.services
        assert (umum.waiting, umum.in_service, umum.done, umum.open_counters) == (5, 1, 1, 2)
        assert umum.last_called_number == "A-090"
        assert umum.longest_wait.ToSeconds() == 900
        assert umum.p90_wait.ToSeconds() == pytest.approx(1200, rel=0.01)
        assert umum.standard_wait.ToSeconds() == 3600
        assert (gigi.waiting, gigi.last_called_number) == (1, "")
        assert not gigi.HasField("longest_wait")
        assert not gigi.HasField("mean_wait")

    def test_the_last_number_is_that_of_the_last_call(self) -> None:
        times = [MORNING, MORNING + datetime.timedelta(microseconds=5)]
        queues = [
            a_queue(number, "Poli Umum", day, last_called_number=day, last_call_time=time)
            for number, (day, time) in enumerate(zip([TUESDAY, MONDAY], times, strict=True))
        ]
        stats = reports.now("i", TUESDAY, queues, {}, {queues[0].key: Moment(0, 0, None)})
        assert stats.services[0].last_called_number == MONDAY


class TestCsv:
    def rows(self, days: reports.Days) -> list[dict[str, str]]:
        document = reports.csv_document(days)
        assert document.startswith(b"\xef\xbb\xbf")
        return list(csv.DictReader(io.StringIO(document.decode("utf-8-sig"), newline="")))

    def test_a_row_for_each_part(self) -> None:
        rows = self.rows({MONDAY: ([UMUM, GIGI], TALLIES), TUESDAY: ([], {})})
        places = [
            (one["day"], one["service"], one["hour"], one["counter"], one["class"]) for one in rows
        ]
        assert places == [
            (MONDAY, "Poli Umum", "8", "", "URGENT"),
            (MONDAY, "Poli Umum", "8", "", "NORMAL"),
            (MONDAY, "Poli Umum", "8", "Loket 1", "NORMAL"),
            (MONDAY, "Poli Umum", "9", "Lansia", "URGENT"),
            (MONDAY, "Poli Umum", "9", "Loket 1", "NORMAL"),
        ]
        first = rows[2]
        assert (first["called"], first["within_standard"], first["done"]) == ("3", "3", "1")
        assert (first["wait_s"], first["mean_wait_s"]) == ("3000", "1000")
        assert (first["service_s"], first["mean_service_s"]) == ("300", "300")
        assert (first["compared"], first["standard_wait_s"]) == ("1", "3600")
        assert rows[0]["mean_wait_s"] == ""

    def test_rows_add_up_to_the_report(self) -> None:
        rows = self.rows({MONDAY: ([UMUM], TALLIES)})
        day = reports.daily(MONDAY, [UMUM], TALLIES)
        for name in ("issued", "called", "done", "no_show", "cancelled", "transferred"):
            assert sum(int(one[name]) for one in rows) == getattr(day, name)

    def test_numbers_are_whole(self) -> None:
        tallies = {1: tallied(served(UMUM, 1 / 7, 1 / 3))}
        (row,) = [one for one in self.rows({MONDAY: ([UMUM], tallies)}) if one["called"] == "1"]
        assert all(row[name].isdigit() for name in row if name.endswith("_s"))

    def test_nothing_is_only_the_header(self) -> None:
        assert self.rows({MONDAY: ([UMUM], {})}) == []
        undone = {1: {DayPart(8, Priority.NORMAL, "c1"): Tally()}}
        assert self.rows({MONDAY: ([UMUM], undone)}) == []

    @pytest.mark.parametrize(
        "name", ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "  =1", "\t=1", "\uff1d1"]
    )
    def test_no_name_is_a_formula(self, name: str) -> None:
        queue = a_queue(1, name)
        tallies = {1: tallied(served(queue, 5, 5, counter=Counter("c1", name)))}
        rows = self.rows({MONDAY: ([queue], tallies)})
        assert [one["service"] for one in rows] == [f"'{name}"] * 2
        assert [one["counter"] for one in rows] == ["", f"'{name}"]

    @pytest.mark.parametrize("name", ['Poli "A", lantai 2', "Poli;B\nbaru", "Poli é"])
    def test_names_come_back_as_they_are(self, name: str) -> None:
        queue = a_queue(1, name)
        (row,) = self.rows({MONDAY: ([queue], {1: tallied(history(queue))})})
        assert row["service"] == name


def test_error_of_an_estimate_is_never_negative() -> None:
    predicted = Prediction(5 * MINUTE, 60 * MINUTE)
    tallies = {1: tallied(served(UMUM, 30, 5, prediction=predicted))}
    assert all(
        bucket > 0 for tally in tallies[1].values() for bucket in tally.samples[Sample.ERROR]
    )
    day = reports.daily(MONDAY, [UMUM], tallies)
    assert day.accuracy.median_error.ToSeconds() == pytest.approx(1500, rel=0.01)
