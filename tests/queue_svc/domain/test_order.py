"""Who is called next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.queue_sim.clinic import STRICT, Clinic, by_rates, day, simulate
from bench.queue_sim.theory import waits_of
from queue_svc.domain.order import Rates, Waiting, calling_blocks, calling_order, pick
from queue_svc.domain.states import Priority
from tests.queue_svc.domain.waiting_lists import NOW, WAITING_LISTS, P, group_by_priority, someone

RATES = Rates()


@pytest.mark.parametrize(
    ("heads", "first"),
    [
        ([(P.URGENT, 0), (P.HIGH, 600)], P.URGENT),
        ([(P.HIGH, 10), (P.NORMAL, 19)], P.HIGH),
        ([(P.HIGH, 10), (P.NORMAL, 21)], P.NORMAL),
        ([(P.HIGH, 10), (P.LOW, 41), (P.NORMAL, 19)], P.LOW),
        ([(P.HIGH, 10), (P.NORMAL, 20), (P.LOW, 40)], P.HIGH),
        ([(P.LOW, 0), (P.NORMAL, 0), (P.HIGH, 0)], P.HIGH),
        ([(P.LOW, -5), (P.NORMAL, -9)], P.NORMAL),
    ],
)
def test_score_is_rate_times_waiting(heads: list[tuple[Priority, float]], first: Priority) -> None:
    chosen = pick([someone(*one) for one in heads], RATES, NOW)
    assert chosen is not None
    assert chosen.priority is first


def test_nobody_waits() -> None:
    assert pick([], RATES, NOW) is None
    assert list(calling_order({}, RATES, NOW, 60)) == []


def test_equal_times_go_by_number() -> None:
    by_priority = group_by_priority(someone(P.NORMAL, 5, sequence) for sequence in (3, 1, 2))
    assert [one.sequence for one in calling_order(by_priority, RATES, NOW, 60)] == [1, 2, 3]


def test_the_order_looks_into_the_future() -> None:
    # At this moment LOW leads by a little; HIGH gains four times as fast and passes.
    by_priority = group_by_priority([someone(P.NORMAL, 30), someone(P.LOW, 21), someone(P.HIGH, 5)])
    names = [one.priority for one in calling_order(by_priority, RATES, NOW, 60)]
    assert names == [P.NORMAL, P.HIGH, P.LOW]
    names = [one.priority for one in calling_order(by_priority, RATES, NOW, 1)]
    assert names == [P.NORMAL, P.LOW, P.HIGH]


@given(
    WAITING_LISTS,
    st.builds(Rates, *(st.sampled_from([0.0, 0.7, 1.0, 2.0, 4.0]) for _ in range(3))),
    st.sampled_from([0.0, 0.1, 60.0, 97.3, 900.0]),
)
def test_the_order_is_that_of_the_calls(waiting: list[Waiting], rates: Rates, pace: float) -> None:
    order = list(calling_order(group_by_priority(waiting), rates, NOW, pace))
    left = group_by_priority(waiting)
    for call, expected in enumerate(order):
        heads = [members[0] for members in left.values() if members]
        assert pick(heads, rates, NOW + call * pace) == expected
        left[expected.priority].remove(expected)
    assert not any(left.values())


@given(WAITING_LISTS, st.integers(1, 10))
def test_coarse_blocks_hold_everyone_once(waiting: list[Waiting], grain: int) -> None:
    by_priority = group_by_priority(waiting)
    called = 0
    taken = dict.fromkeys(P, 0)
    for kind, first, size, before in calling_blocks(by_priority, RATES, NOW, 60, grain):
        assert (first, before) == (taken[kind], called)
        assert kind is P.URGENT or size == 1 or called >= 2 * grain or len(waiting) == called + size
        taken[kind] += size
        called += size
    assert taken == {kind: len(members) for kind, members in by_priority.items()}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_day_at_full_load_starves_nobody(seed: int) -> None:
    clinic = Clinic()
    patients = day(clinic, seed)
    came = {one.waiting.id: one.waiting for one in patients}
    calls = simulate(patients, clinic.counters, by_rates(RATES)).calls
    assert calls.keys() == came.keys()

    # No URGENT waits while another priority is called.
    urgent = [
        (came[one].queue_time, moment)
        for one, moment in calls.items()
        if came[one].priority is P.URGENT
    ]
    for identifier, moment in calls.items():
        if came[identifier].priority is not P.URGENT:
            assert not any(start < moment < call for start, call in urgent)

    # Whoever comes after 3/4 of a LOW's wait cannot overtake it, so its wait is bounded by the
    # load, never many times that of the priorities above it.
    waits = waits_of(patients, calls)
    assert max(waits[P.LOW]) < 6 * max(waits[P.HIGH])
    strict = waits_of(patients, simulate(patients, clinic.counters, STRICT).calls)
    assert max(waits[P.LOW]) < max(strict[P.LOW])
