"""How many go first, and how long that takes."""

import datetime
from dataclasses import replace

import pytest

from queue_svc.domain.estimates import Line, rolling_mean, service_seconds
from queue_svc.domain.order import Rates, Waiting
from queue_svc.domain.tickets import Priority, Status
from tests.queue_svc.test_states import NOW, QUEUE, a_ticket


def a_line(*waiting: Waiting, counters: int = 1) -> Line:
    return Line(tuple(waiting), Rates(), NOW, 600.0, counters, "A-003")


def someone(name: str, minutes: float, priority: Priority = Priority.NORMAL) -> Waiting:
    return Waiting(name, priority, NOW - datetime.timedelta(minutes=minutes), 1)


def test_people_ahead_and_wait() -> None:
    line = a_line(someone("x", 30), someone("t", 20), someone("u", 1, Priority.URGENT))
    assert line.order == ["u", "x", "t"]
    assert line.ahead(a_ticket()) == 2
    assert line.wait_seconds(a_ticket()) == 1200


def test_open_counters_share_the_work() -> None:
    people = [someone(str(n), 60 - n) for n in range(6)]
    assert a_line(*people, someone("t", 1), counters=3).wait_seconds(a_ticket()) == 1200


def test_only_who_waits_has_an_estimate() -> None:
    line = a_line(someone("x", 30))
    for ticket in (a_ticket(), a_ticket(Status.CALLED)):
        assert (line.ahead(ticket), line.wait_seconds(ticket)) == (0, None)


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
