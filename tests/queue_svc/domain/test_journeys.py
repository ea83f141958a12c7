"""What BPJS and SATUSEHAT are told of a visit."""

import datetime
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_svc.domain.journeys import ABSENT, TICK, Period, Task, bpjs_tasks, status_history
from queue_svc.domain.states import TRANSITIONS, Priority, ServiceKind, Status
from queue_svc.domain.tickets import Change, Queue, Service, Ticket, changed

NOW = datetime.datetime(2026, 3, 2, 2, 0, tzinfo=datetime.UTC)
REGISTRATION, CLINIC, PHARMACY, OTHER = ServiceKind
S = Status
SERVE = (S.CALLED, S.SERVING)
Visit = list[Ticket]


def at(minutes: float) -> datetime.datetime:
    return NOW + datetime.timedelta(minutes=minutes)


def joined(visit: Visit, kind: ServiceKind, time: datetime.datetime) -> Visit:
    """The visit with a new ticket, to which the last one is sent on."""
    service = Service("i", "RSUD", "Asia/Jakarta", f"s{len(visit)}", kind.name, "A", 10, kind)
    made = Ticket(
        id=f"t{len(visit)}",
        queue=Queue(1, service, "2026-03-02", 0, 0, "", None),
        sequence=1,
        number="A-001",
        patient_id="p",
        priority=Priority.NORMAL,
        status=S.WAITING,
        version=1,
        calls=0,
        queue_time=time,
        create_time=time,
        update_time=time,
        journey_id="t0",
        arrive_time=visit[0].arrive_time if visit else time,
        previous_id=visit[-1].id if visit else "",
    )
    if not visit:
        return [made]
    sent = changed(visit[-1], Change(S.TRANSFERRED, time, "actor", next_id=made.id))
    return [*visit[:-1], sent, made]


def moved(visit: Visit, status: Status, time: datetime.datetime) -> Visit:
    return [*visit[:-1], changed(visit[-1], Change(status, time, "actor", reason="why"))]


def a_visit(*kinds: ServiceKind, end: tuple[Status, ...] = (*SERVE, S.DONE)) -> Visit:
    """A visit in which something happens every ten minutes: ticket, call, start, sent on."""
    minute, visit = 0, joined([], kinds[0], NOW)
    for kind in kinds[1:]:
        for status in SERVE:
            visit = moved(visit, status, at(minute := minute + 10))
        visit = joined(visit, kind, at(minute := minute + 10))
    for status in end:
        visit = moved(visit, status, at(minute := minute + 10))
    return visit


def minutes_of_tasks(visit: Visit) -> list[tuple[int, float]]:
    """Task ids with their minutes."""
    return [(one.task_id, (one.time - NOW).total_seconds() / 60) for one in bpjs_tasks(visit)]


def states(visit: Visit) -> list[tuple[str, float, float | None]]:
    """States with their minutes."""
    return [
        (
            one.status,
            (one.start - NOW).total_seconds() / 60,
            None if one.end is None else (one.end - NOW).total_seconds() / 60,
        )
        for one in status_history(visit)
    ]


@pytest.mark.parametrize(
    ("visit", "tasks"),
    [
        pytest.param(
            a_visit(REGISTRATION, CLINIC, PHARMACY),
            [(1, 0), (2, 20), (3, 30), (4, 50), (5, 60), (6, 80), (7, 90)],
            id="new patient",
        ),
        pytest.param(
            a_visit(CLINIC, PHARMACY), [(3, 0), (4, 20), (5, 30), (6, 50), (7, 60)], id="known"
        ),
        pytest.param(a_visit(CLINIC), [(3, 0), (4, 20), (5, 30)], id="no medicine"),
        pytest.param(a_visit(PHARMACY), [(6, 20), (7, 30)], id="pharmacy"),
        pytest.param(a_visit(REGISTRATION), [(1, 0), (2, 20), (3, 30)], id="registration"),
        pytest.param(
            a_visit(REGISTRATION, PHARMACY),
            [(1, 0), (2, 20), (3, 30), (6, 50), (7, 60)],
            id="no clinic, none made up",
        ),
        pytest.param(
            a_visit(CLINIC, OTHER, CLINIC, PHARMACY),
            [(3, 0), (4, 20), (5, 90), (6, 110), (7, 120)],
            id="laboratory between: first start, last end",
        ),
        pytest.param(
            a_visit(CLINIC, OTHER), [(3, 0), (4, 20), (5, 30)], id="home from the laboratory"
        ),
        pytest.param(
            a_visit(CLINIC, OTHER, end=()), [(3, 0), (4, 20)], id="may come back: no end yet"
        ),
        pytest.param(
            a_visit(PHARMACY, CLINIC), [(6, 20), (7, 30)], id="no way back to an earlier stage"
        ),
        pytest.param(a_visit(OTHER), [], id="laboratory alone"),
        pytest.param(a_visit(OTHER, end=(S.CANCELLED,)), [], id="laboratory alone, cancelled"),
        pytest.param(a_visit(REGISTRATION, end=()), [(1, 0)], id="arrived"),
        pytest.param(a_visit(PHARMACY, end=SERVE), [(6, 20)], id="medicine being made"),
        pytest.param([], [], id="nothing"),
        pytest.param(a_visit(CLINIC, end=(S.CANCELLED,)), [(3, 0), (99, 10)], id="cancelled"),
        pytest.param(a_visit(PHARMACY, end=(S.CANCELLED,)), [(99, 10)], id="medicine cancelled"),
        pytest.param(
            a_visit(REGISTRATION, CLINIC, end=(S.CALLED, S.SKIPPED, S.NO_SHOW)),
            [(1, 0), (2, 20), (3, 30), (99, 60)],
            id="never came to the clinic",
        ),
        pytest.param(
            a_visit(CLINIC, PHARMACY, end=(S.CALLED, S.NO_SHOW)),
            [(3, 0), (4, 20), (5, 30)],
            id="medicine not fetched: the visit was served",
        ),
        pytest.param(
            a_visit(OTHER, CLINIC, end=(S.CANCELLED,)),
            [(3, 30), (99, 40)],
            id="given up after the laboratory: the booking was for the clinic",
        ),
    ],
)
def test_tasks(visit: Visit, tasks: list[tuple[int, float]]) -> None:
    assert minutes_of_tasks(visit) == tasks


@pytest.mark.parametrize(
    ("visit", "history"),
    [
        pytest.param(
            a_visit(REGISTRATION, CLINIC, PHARMACY),
            [("arrived", 0, 50), ("in-progress", 50, 90), ("finished", 90, 90)],
            id="care begins at the clinic",
        ),
        pytest.param(
            a_visit(REGISTRATION, CLINIC, end=()), [("arrived", 0, None)], id="still waits"
        ),
        pytest.param(
            a_visit(CLINIC, PHARMACY, end=()),
            [("arrived", 0, 20), ("in-progress", 20, None)],
            id="waits for medicine",
        ),
        pytest.param(
            a_visit(OTHER, CLINIC, end=()),
            [("arrived", 0, 20), ("in-progress", 20, None)],
            id="care begins with an assessment",
        ),
        pytest.param(
            a_visit(PHARMACY),
            [("arrived", 0, 20), ("in-progress", 20, 30), ("finished", 30, 30)],
            id="pharmacy",
        ),
        pytest.param(
            a_visit(REGISTRATION),
            [("arrived", 0, 20), ("in-progress", 20, 30), ("finished", 30, 30)],
            id="registration was all there was",
        ),
        pytest.param(
            a_visit(REGISTRATION, CLINIC, end=(S.CANCELLED,)),
            [("arrived", 0, 40), ("cancelled", 40, 40)],
            id="given up before care",
        ),
        pytest.param(
            a_visit(CLINIC, PHARMACY, end=(S.CALLED, S.NO_SHOW)),
            [("arrived", 0, 20), ("in-progress", 20, 30), ("finished", 30, 30)],
            id="given up after care: it ended with the care",
        ),
        pytest.param(
            a_visit(OTHER, CLINIC, end=(S.CANCELLED,)),
            [("arrived", 0, 20), ("in-progress", 20, 30), ("finished", 30, 30)],
            id="given up after the laboratory: care was given",
        ),
        pytest.param([], [], id="nothing"),
    ],
)
def test_history(visit: Visit, history: list[tuple[str, float, float | None]]) -> None:
    assert states(visit) == history


def test_a_start_that_was_taken_back_is_not_told() -> None:
    visit = a_visit(CLINIC, end=(*SERVE, S.WAITING))
    assert minutes_of_tasks(visit) == [(3, 0)]
    assert states(visit) == [("arrived", 0, None)]


def test_times_are_utc() -> None:
    local = datetime.timezone(datetime.timedelta(hours=7))
    (one,) = a_visit(CLINIC, end=())
    one = replace(one, create_time=NOW.astimezone(local), arrive_time=NOW.astimezone(local))
    (task,), (period,) = bpjs_tasks([one]), status_history([one])
    assert (task.time.tzinfo, period.start.tzinfo) == (datetime.UTC, datetime.UTC)
    assert (task, period) == (Task(3, NOW), Period("arrived", NOW, None))


def test_equal_times_are_a_millisecond_apart() -> None:
    visit = joined([], CLINIC, NOW)
    for status in (*SERVE, S.DONE):
        visit = moved(visit, status, NOW + datetime.timedelta(microseconds=900))
    assert bpjs_tasks(visit) == [Task(3, NOW), Task(4, NOW + TICK), Task(5, NOW + 2 * TICK)]


STEPS = st.sampled_from([0, 1, 999, 1_000, 1_001, 60_000_000, 3_600_000_000])
"""Microseconds between two changes."""


@st.composite
def visits(draw: st.DrawFn, undo: bool = True) -> list[Visit]:
    """A visit after each of its changes, made of changes that exist.

    Args:
        draw: Hypothesis's.
        undo: Whether a start of service may be taken back.
    """
    now = NOW
    steps = [joined([], draw(st.sampled_from(ServiceKind)), now)]
    for _ in range(draw(st.integers(0, 30))):
        visit = steps[-1]
        source = visit[-1].status
        open_to = [
            target
            for start, target in TRANSITIONS
            if start is source and (undo or (start, target) != (S.SERVING, S.WAITING))
        ]
        if not open_to:
            break
        # Mostly on to the next service, so that visits get long.
        onward = {S.WAITING: S.CALLED, S.CALLED: S.SERVING, S.SERVING: S.TRANSFERRED}
        likely = onward.get(source, S.WAITING)
        target = likely if draw(st.integers(0, 4)) else draw(st.sampled_from(open_to))
        now += datetime.timedelta(microseconds=draw(STEPS))
        if target is S.TRANSFERRED:
            steps.append(joined(visit, draw(st.sampled_from(ServiceKind)), now))
        else:
            steps.append(moved(visit, target, now))
    return steps


@given(visits())
def test_tasks_go_up_in_number_and_time(steps: list[Visit]) -> None:
    for visit in steps:
        tasks = bpjs_tasks(visit)
        assert all(one.task_id < other.task_id for one, other in pairwise(tasks))
        assert all(other.time - one.time >= TICK for one, other in pairwise(tasks))
        assert all(one.time.microsecond % 1000 == 0 for one in tasks)
        kinds = [one.queue.service.kind for one in visit if one.queue.service.kind is not OTHER]
        known = {REGISTRATION: range(1, 8), CLINIC: range(3, 8), PHARMACY: range(6, 8)}
        allowed = {*known[kinds[0]], ABSENT} if kinds else set()
        assert {one.task_id for one in tasks} <= allowed


@given(visits())
def test_absent_is_only_who_was_not_served(steps: list[Visit]) -> None:
    for visit in steps:
        ids = [one.task_id for one in bpjs_tasks(visit)]
        if ABSENT in ids:
            assert visit[-1].status in (S.NO_SHOW, S.CANCELLED)
            assert not {5, 7} & set(ids)


@given(visits())
def test_periods_join(steps: list[Visit]) -> None:
    for visit in steps:
        history = status_history(visit)
        names = [one.status for one in history]
        whole = ["arrived", "in-progress", "finished"]
        assert names in (whole[:1], whole[:2], whole, ["arrived", "cancelled"])
        assert history[0].start == NOW
        assert all(one.end == other.start for one, other in pairwise(history))
        assert all(one.start <= one.end for one in history if one.end is not None)
        over = visit[-1].status in (S.DONE, S.NO_SHOW, S.CANCELLED)
        assert (history[-1].end is not None) == over == (names[-1] in ("finished", "cancelled"))


@given(visits())
def test_cancelled_is_absent_where_both_are_known(steps: list[Visit]) -> None:
    for visit in steps:
        ids = [one.task_id for one in bpjs_tasks(visit)]
        if ids and status_history(visit)[-1].status == "cancelled":
            assert ids[-1] == ABSENT


@given(visits(undo=False))
def test_what_was_told_stays(steps: list[Visit]) -> None:
    for before, after in pairwise(steps):
        told_before = bpjs_tasks(before)
        assert bpjs_tasks(after)[: len(told_before)] == told_before
        closed = [one for one in status_history(before) if one.end is not None]
        assert status_history(after)[: len(closed)] == closed
