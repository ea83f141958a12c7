"""How many go first, and how long that takes."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_svc.domain import estimates
from queue_svc.domain.estimates import (
    Wait,
    WaitingList,
    arrival_rates,
    rolling_mean,
    service_seconds,
)
from queue_svc.domain.order import Rates, Waiting, calling_order
from queue_svc.domain.states import Priority
from queue_svc.domain.tickets import Queue, Service
from tests.queue_svc.domain.waiting_lists import NOW, WAITING_LISTS, group_by_priority

P = Priority
SERVICE = Service("i", "RSUD", "Asia/Jakarta", "s", "Poli", "A", service_minutes=10)
QUEUE = Queue(1, SERVICE, "2026-03-02", 0, 0, "", None)


def someone(name: str, minutes: float, priority: Priority = P.NORMAL) -> Waiting:
    return Waiting(NOW - minutes * 60, 1, name, priority)


def waiting_list_of(*waiting: Waiting) -> WaitingList:
    return WaitingList(
        by_priority=group_by_priority(waiting),
        rates=Rates(),
        now=NOW,
        service_seconds=600.0,
        counters=1,
        arrival_rates={},
        open_seconds=None,
        last_called_number="A-003",
    )


def expected(waiting_list: WaitingList, ticket_id: str) -> int:
    wait = waiting_list.wait(ticket_id)
    assert wait is not None
    return wait.expected_seconds


def test_people_ahead_and_wait() -> None:
    waiting_list = waiting_list_of(someone("x", 30), someone("t", 20), someone("u", 1, P.URGENT))
    assert waiting_list.order == ["u", "x", "t"]
    assert [waiting_list.ahead(one) for one in waiting_list.order] == [0, 1, 2]
    # Somebody is at the counter too, on average half done.
    assert expected(waiting_list, "t") == 1500


def test_alone_there_is_no_wait() -> None:
    assert waiting_list_of(someone("t", 0)).wait("t") == Wait(0, 0, 300)


def test_open_counters_share_the_work() -> None:
    waiting_list = waiting_list_of(*(someone(str(n), 60 - n) for n in range(6)), someone("t", 1))
    assert expected(replace(waiting_list, counters=3), "t") == 1300


def test_only_who_waits_has_an_estimate() -> None:
    waiting_list = waiting_list_of(someone("x", 30))
    assert (waiting_list.ahead("t"), waiting_list.wait("t")) == (None, None)


def test_who_comes_later_and_overtakes_is_expected() -> None:
    waiting_list = waiting_list_of(*(someone(str(n), 0) for n in range(6)), someone("t", 0, P.LOW))
    alone = expected(waiting_list, "t")
    waits = {
        kind: expected(replace(waiting_list, arrival_rates={kind: 1 / 1800}), "t") for kind in P
    }
    assert waits[P.LOW] == alone
    assert alone < waits[P.NORMAL] < waits[P.HIGH] < waits[P.URGENT]
    hurt = waiting_list.joining([someone("u", 0, P.URGENT)])
    assert expected(replace(hurt, arrival_rates=dict.fromkeys(P, 1 / 3600)), "u") == 300


def test_fewer_overtake_who_has_waited_for_long() -> None:
    ahead = [someone(str(n), 100, P.HIGH) for n in range(6)]
    waiting_lists = [
        replace(
            waiting_list_of(*ahead, someone("t", waited, P.LOW)), arrival_rates={P.HIGH: 1 / 1800}
        )
        for waited in (0, 20, 50)
    ]
    assert [waiting_list.ahead("t") for waiting_list in waiting_lists] == [6, 6, 6]
    new, old, older = (expected(waiting_list, "t") for waiting_list in waiting_lists)
    assert new > old > older


def test_closing_ends_overtaking() -> None:
    waiting_list = waiting_list_of(*(someone(str(n), 0) for n in range(6)), someone("t", 0, P.LOW))
    rush = replace(waiting_list, arrival_rates={P.HIGH: 1 / 300})
    waits = [expected(replace(rush, open_seconds=left), "t") for left in (-60.0, 0.0, 1800.0, None)]
    assert waits[0] == waits[1] == expected(waiting_list, "t")
    assert waits[1] < waits[2] < waits[3]


def test_a_rush_without_end_has_a_finite_estimate() -> None:
    waiting_list = replace(
        waiting_list_of(someone("x", 9), someone("t", 0, P.LOW)), arrival_rates={P.URGENT: 1.0}
    )
    assert expected(waiting_list, "t") <= 900 + 600 * estimates.FADE_SECONDS


@given(WAITING_LISTS, WAITING_LISTS)
def test_joining_puts_newcomers_last(waiting: list[Waiting], newcomers: list[Waiting]) -> None:
    late = [
        one._replace(id=f"new{one.id}", sequence=n, queue_time=NOW + 1201 + n)
        for n, one in enumerate(newcomers)
    ]
    before = waiting_list_of(*waiting)
    after = before.joining(late)
    assert before.by_priority == group_by_priority(waiting)
    assert after.by_priority == group_by_priority([*waiting, *late])
    assert [after.ahead(one) for one in after.order] == list(range(len(after.order)))


@pytest.mark.parametrize(("seed", "pace"), [(1, 0.5), (2, 5.0), (3, 60.0)])
def test_places_of_a_long_line_are_nearly_exact(seed: int, pace: float) -> None:
    chance = random.Random(seed)
    waiting = [
        Waiting(
            NOW - chance.uniform(0, 20_000), n, str(n), chance.choices(list(P), (4, 12, 3, 1))[0]
        )
        for n in range(12_000)
    ]
    waiting_list = replace(waiting_list_of(*waiting), service_seconds=pace)
    order = calling_order(waiting_list.by_priority, waiting_list.rates, NOW, pace)
    for place, one in enumerate(order):
        ahead = waiting_list.ahead(one.id)
        assert ahead is not None
        assert abs(ahead - place) <= (0.01 * place if place >= 1000 else 0)


@given(st.floats(0, 1e6))
def test_a_range_holds_the_expected_wait(seconds: float) -> None:
    wait = Wait.around(seconds)
    assert 0 <= wait.low_seconds <= wait.expected_seconds <= wait.high_seconds
    assert wait.low_seconds % 300 == wait.high_seconds % 300 == 0
    seconds = min(seconds, 24 * 3600)
    assert wait.low_seconds <= 0.7 * seconds
    assert 1.5 * seconds + 300 <= wait.high_seconds < 1.5 * seconds + 601


def test_the_range_is_in_steps_of_five_minutes() -> None:
    assert Wait.around(1800) == Wait(1800, 1200, 3000)


@pytest.mark.parametrize(
    ("age_minutes", "counted", "window_minutes"), [(0, 4, 15), (30, 4, 30), (300, 3, 60)]
)
def test_arrivals_of_the_last_hour(age_minutes: int, counted: int, window_minutes: int) -> None:
    first = -61 if age_minutes > 60 else -age_minutes
    times = [NOW + 60 * minutes for minutes in (first, 0, 0, 0)]
    rates = arrival_rates({P.HIGH: times, P.LOW: []}, NOW, NOW - 60 * age_minutes)
    assert rates == {P.HIGH: pytest.approx(counted / window_minutes / 60), P.LOW: 0}


@pytest.mark.parametrize(
    ("served", "busy_minutes", "expected_minutes"),
    [(0, 0, 10), (1, 4, 9), (5, 4, 7), (20, 5, 6), (500, 5, 6)],
)
def test_few_services_change_little(
    served: int, busy_minutes: int, expected_minutes: float
) -> None:
    queue = replace(QUEUE, served=served, busy_ms=busy_minutes * 60_000)
    assert service_seconds(queue) == pytest.approx(expected_minutes * 60)


def test_the_mean_rolls() -> None:
    mean = 0
    for served, value in enumerate([100, 200, 300]):
        mean = rolling_mean(mean, served, value)
    assert mean == 200
    for served in range(3, 203):
        mean = rolling_mean(mean, served, 1000)
    assert mean == pytest.approx(1000, abs=15)
