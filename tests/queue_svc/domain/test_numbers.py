"""What tickets and their changes count for."""

from __future__ import annotations

import datetime
import math
from collections import Counter as Bag
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_svc.domain.numbers import DayPart, Sample, Tally, effects
from queue_svc.domain.quantiles import ACCURACY, ZERO, bucket_of, quantile, value_of
from queue_svc.domain.states import AT_COUNTER, FINAL, SERVED, Priority, Status
from queue_svc.domain.tickets import Prediction
from tests.queue_svc.counting import (
    COUNTERS,
    Key,
    Numbers,
    S,
    Step,
    change,
    new_ticket,
    reclassed,
    recounted,
    walks,
    without_zeros,
)
from tests.queue_svc.samples import QUEUE, SERVICE

DAY = 24 * 60 * 60 * 1000


def counted(steps: list[Step]) -> Numbers:
    """The numbers as the changes add up to them."""
    found: dict[Key, Bag[str]] = {}
    for step in steps:
        for effect in effects(step.before, step.after):
            part = effect.part
            bag = found.setdefault((part.hour, part.priority, part.counter_id), Bag())
            for name, count in effect.counts.items():
                bag[name] += effect.sign * count
            for sample, value in effect.samples.items():
                bag[f"{sample.name} {bucket_of(value)}"] += effect.sign
    return without_zeros(found)


class TestQuantiles:
    @given(st.integers(1, DAY))
    def test_a_time_is_kept_to_one_percent(self, milliseconds: int) -> None:
        assert value_of(bucket_of(milliseconds)) == pytest.approx(milliseconds, rel=ACCURACY + 1e-9)

    @given(st.integers(0, DAY), st.integers(0, DAY))
    def test_longer_times_are_in_later_buckets(self, one: int, other: int) -> None:
        short, long = sorted((one, other))
        assert bucket_of(short) <= bucket_of(long)

    def test_no_time_has_a_bucket_of_its_own(self) -> None:
        assert bucket_of(0) == ZERO < bucket_of(1)
        assert value_of(ZERO) == 0

    @given(
        st.lists(st.integers(0, DAY), min_size=1, max_size=60),
        st.sampled_from([(0.5, 50), (0.9, 90), (1.0, 100)]),
    )
    def test_a_quantile_is_the_shortest_time_that_enough_do_not_pass(
        self, times: list[int], share: tuple[float, int]
    ) -> None:
        rank = -(-len(times) * share[1] // 100)
        exact = sorted(times)[rank - 1]
        found = quantile(Bag(map(bucket_of, times)), share[0])
        assert found == pytest.approx(exact, rel=ACCURACY + 1e-9)

    def test_nothing_measured(self) -> None:
        assert quantile({}, 0.5) is None
        assert quantile({bucket_of(5000): 0}, 0.9) is None

    def test_a_day_needs_few_buckets(self) -> None:
        assert bucket_of(DAY) == 1 + math.ceil(math.log(DAY, 1.01 / 0.99)) < 1000


class TestEffects:
    @given(walks())
    def test_changes_add_up_to_a_recount(self, steps: list[Step]) -> None:
        assert counted(steps) == recounted(steps)

    @given(walks())
    def test_an_undone_call_leaves_no_trace(self, steps: list[Step]) -> None:
        issued = new_ticket("last")
        called = change(issued, 7, S.CALLED, COUNTERS[1])
        serving = change(called, 50, S.SERVING)
        undone = change(serving, 50, S.WAITING)
        before = [*steps, Step(None, issued)]
        more = [Step(issued, called), Step(called, serving), Step(serving, undone)]
        assert counted([*before, *more]) == counted(before)

    def test_an_undone_recall_is_taken_back_where_the_first_call_was_counted(self) -> None:
        ticket = new_ticket()
        called = change(ticket, 20, S.CALLED)
        recalled = change(called, 30, S.CALLED)
        assert effects(called, recalled) == []
        (taken,) = effects(recalled, change(recalled, 60, S.WAITING))
        assert (taken.sign, taken.part) == (-1, DayPart(8, Priority.NORMAL, "c1"))
        assert taken.counts["called"] == 1

    def test_a_patient_who_came_back_and_was_called_elsewhere(self) -> None:
        steps = [new_ticket()]
        for minutes, status, counter in (
            (5, S.CALLED, 0),
            (1, S.SKIPPED, 0),
            (40, S.WAITING, 0),
            (10, S.CALLED, 1),
        ):
            steps.append(change(steps[-1], minutes, status, COUNTERS[counter]))
        walk = [Step(None, steps[0]), *map(Step, steps, steps[1:])]
        # One call for one patient, at the counter that called them last, with the first wait.
        call = counted(walk)[8, Priority.NORMAL, "c2"]
        assert (call["called"], call["wait_ms"]) == (1, 300_000)
        undone = change(steps[-1], 1, S.WAITING)
        assert counted([*walk, Step(steps[-1], undone)]) == {
            (8, Priority.NORMAL, ""): {"issued": 1}
        }

    def test_a_class_change_moves_no_issue(self) -> None:
        ticket = new_ticket()
        assert effects(ticket, reclassed(ticket, Priority.HIGH)) == []

    @pytest.mark.parametrize(
        ("zone", "hour"), [("Asia/Jakarta", 8), ("Asia/Makassar", 9), ("Asia/Jayapura", 10)]
    )
    def test_hours_are_the_facilitys(self, zone: str, hour: int) -> None:
        queue = replace(QUEUE, service=replace(SERVICE, time_zone=zone))
        ticket = new_ticket(queue=queue)
        assert [one.part.hour for one in effects(None, ticket)] == [hour]
        called = change(ticket, 29.999, S.CALLED)
        assert [one.part.hour for one in effects(ticket, called)] == [hour]
        called = change(ticket, 30, S.CALLED)
        assert [one.part.hour for one in effects(ticket, called)] == [hour + 1]

    def test_after_midnight_the_hour_begins_again(self) -> None:
        late = datetime.datetime(2026, 3, 2, 16, 50, tzinfo=datetime.UTC)
        ticket = new_ticket(created=late)
        called = change(ticket, 10, S.CALLED)
        assert [one.part.hour for one in effects(None, ticket)] == [23]
        assert [one.part.hour for one in effects(ticket, called)] == [0]

    @pytest.mark.parametrize(("minutes", "within"), [(60, 1), (60.001, 0)])
    def test_the_standard_may_be_reached_but_not_passed(self, minutes: float, within: int) -> None:
        ticket = new_ticket()
        (call,) = effects(ticket, change(ticket, minutes, S.CALLED))
        assert call.counts["within_standard"] == within

    @pytest.mark.parametrize(
        ("told", "high", "close", "under"),
        [(20, 40, 1, 1), (40, 30, 1, 1), (40.001, 29.999, 0, 0), (19.999, 60, 0, 1)],
    )
    def test_an_estimate_against_half_an_hour(
        self, told: float, high: float, close: int, under: int
    ) -> None:
        prediction = Prediction(round(told * 60_000), round(high * 60_000))
        ticket = new_ticket(prediction=prediction)
        (call,) = effects(ticket, change(ticket, 30, S.CALLED))
        assert call.counts["compared"] == 1
        assert call.counts["within_ten_minutes"] == close
        assert call.counts["under_upper_bound"] == under
        assert call.samples[Sample.ERROR] == abs(prediction.wait_ms - 1_800_000)

    @pytest.mark.parametrize("status", sorted(FINAL))
    def test_an_end_counts_once_and_where_it_was(self, status: Status) -> None:
        ticket = change(new_ticket(), 1, S.CALLED)
        if status in SERVED:
            ticket = change(ticket, 1, S.SERVING)
        assert ticket.status in AT_COUNTER
        (end,) = effects(ticket, change(ticket, 60, status))
        assert end.part == DayPart(9, Priority.NORMAL, "c1")
        assert end.part.counter_name == "Loket 1"
        served = {"service_ms": 3_600_000} if status in SERVED else {}
        assert end.counts == {status.name.lower(): 1, **served}


class TestTally:
    def test_means_of_nothing(self) -> None:
        tally = Tally()
        assert (tally.mean_wait_ms, tally.mean_service_ms) == (None, None)
        assert tally.quantile_ms(Sample.WAIT, 0.5) is None
        assert tally.empty

    def test_a_transfer_is_service_too(self) -> None:
        tally = Tally(Bag(done=2, transferred=1, service_ms=900))
        assert tally.mean_service_ms == 300

    def test_totals_come_from_all_times_and_not_from_medians(self) -> None:
        def of(*times: int) -> Tally:
            return Tally(samples={Sample.WAIT: Bag(map(bucket_of, times))})

        parts = [of(1000, 1000, 1000), of(60_000), of(60_000)]
        assert Tally.total(parts).quantile_ms(Sample.WAIT, 0.5) == pytest.approx(1000, rel=0.01)
        assert parts[0].samples[Sample.WAIT].total() == 3
