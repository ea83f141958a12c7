"""Which changes exist, and what they do to a ticket."""

import datetime
from dataclasses import replace
from functools import reduce

import pytest
from mediq.queue.v1 import queue_pb2

from mesh.errors import MeshError
from queue_svc.domain import checks, tickets
from queue_svc.domain.order import back_in
from queue_svc.domain.states import FINAL, TRANSITIONS, Priority, Status, targets
from queue_svc.domain.tickets import Change, Counter, Ticket
from tests.queue_svc.samples import LOKET, NOW, S, a_ticket


def after(minutes: float, status: Status) -> Change:
    return Change(status, NOW + datetime.timedelta(minutes=minutes), "actor", LOKET)


def refusal(ticket: Ticket, status: Status, reason: str = "why") -> MeshError | None:
    try:
        checks.check_move(ticket, status, reason)
    except MeshError as error:
        return error
    return None


ALLOWED = {
    (S.CALLED, S.SERVING),
    (S.SERVING, S.DONE),
    (S.CALLED, S.SKIPPED),
    (S.SKIPPED, S.WAITING),
    (S.CALLED, S.NO_SHOW),
    (S.SKIPPED, S.NO_SHOW),
    (S.WAITING, S.CANCELLED),
    (S.CALLED, S.CANCELLED),
    (S.SKIPPED, S.CANCELLED),
    (S.CALLED, S.WAITING),
    (S.SERVING, S.WAITING),
}


BY_OTHER_MEANS = {(S.WAITING, S.CALLED), (S.CALLED, S.CALLED), (S.SERVING, S.TRANSFERRED)}
"""Changes that a call or a transfer makes."""


def test_the_table_holds_what_the_tests_say() -> None:
    assert set(TRANSITIONS) == ALLOWED | BY_OTHER_MEANS
    assert {S.DONE, S.NO_SHOW, S.CANCELLED, S.TRANSFERRED} == FINAL


@pytest.mark.parametrize("source", Status)
@pytest.mark.parametrize("target", Status)
def test_only_the_listed_moves_exist(source: Status, target: Status) -> None:
    error = refusal(a_ticket(source), target)
    if (source, target) in ALLOWED:
        assert error is None
        return
    assert error is not None
    assert error.reason == "TRANSITION_NOT_ALLOWED"
    listed = {Status[name] for name in error.metadata["allowed"].split(",") if name}
    assert error.metadata["from"] == source.name
    assert listed == targets(source)


@pytest.mark.parametrize("source", [S.CALLED, S.SERVING])
def test_taking_a_call_back_needs_a_reason(source: Status) -> None:
    error = refusal(a_ticket(source), S.WAITING, "  ")
    assert error is not None
    assert error.reason == "REASON_REQUIRED"


def test_coming_back_after_a_skip_needs_none() -> None:
    assert refusal(a_ticket(S.SKIPPED), S.WAITING, "") is None


def test_numbers_are_those_of_the_contracts() -> None:
    assert {f"TICKET_STATUS_{one.name}": one.value for one in Status} == {
        name: number for name, number in queue_pb2.TicketStatus.items() if number
    }
    assert {f"PRIORITY_{one.name}": one.value for one in Priority} == {
        name: number for name, number in queue_pb2.Priority.items() if number
    }


@pytest.mark.parametrize(
    ("status", "calls", "reason"),
    [
        (S.WAITING, 0, None),
        (S.CALLED, 1, None),
        (S.CALLED, 3, None),
        (S.CALLED, 4, "RECALL_LIMIT"),
        (S.SERVING, 1, "TRANSITION_NOT_ALLOWED"),
        (S.SKIPPED, 1, "TRANSITION_NOT_ALLOWED"),
        (S.DONE, 1, "TRANSITION_NOT_ALLOWED"),
    ],
)
def test_who_can_be_called(status: Status, calls: int, reason: str | None) -> None:
    if reason is None:
        checks.check_call(a_ticket(status, calls), LOKET, 3)
        return
    with pytest.raises(MeshError) as caught:
        checks.check_call(a_ticket(status, calls), LOKET, 3)
    assert caught.value.reason == reason


def test_a_called_patient_is_not_taken_by_another_counter() -> None:
    with pytest.raises(MeshError) as caught:
        checks.check_call(a_ticket(S.CALLED, 1), Counter("c2", "Loket 2"), 3)
    assert caught.value.reason == "CALLED_BY_OTHER_COUNTER"


def test_a_visit_leaves_its_times() -> None:
    visit = [after(10, S.CALLED), after(11, S.CALLED), after(12, S.SERVING), after(20, S.DONE)]
    end = reduce(tickets.changed, visit, a_ticket())
    assert (end.version, end.calls, end.status) == (5, 2, S.DONE)
    assert end.wait_ms == 10 * 60_000
    assert end.service_ms == 8 * 60_000
    assert [end.call_time, end.serve_time, end.close_time] == [one.time for one in visit[1:]]
    assert not end.open


def test_times_never_go_back() -> None:
    end = reduce(tickets.changed, [after(10, S.CALLED), after(4, S.SERVING)], a_ticket())
    assert end.serve_time == end.call_time == end.update_time == after(10, S.CALLED).time


def test_a_call_taken_back_never_happened_but_a_skip_did() -> None:
    undone = reduce(tickets.changed, [after(10, S.CALLED), after(11, S.WAITING)], a_ticket())
    assert (undone.counter, undone.call_time, undone.calls, undone.wait_ms) == (None, None, 0, None)
    visit = [after(10, S.CALLED), after(11, S.SKIPPED), after(12, S.WAITING), after(20, S.CALLED)]
    assert reduce(tickets.changed, visit, a_ticket()).wait_ms == 10 * 60_000


def test_a_later_call_taken_back_leaves_the_wait_of_the_first() -> None:
    skipped = reduce(tickets.changed, [after(10, S.CALLED), after(11, S.SKIPPED)], a_ticket())
    back = replace(skipped, queue_time=back_in(skipped.queue_time, [], 3))
    visit = [after(12, S.WAITING), after(20, S.CALLED), after(21, S.WAITING)]
    assert reduce(tickets.changed, visit, back).wait_ms == 10 * 60_000


def test_history_gives_every_state_again() -> None:
    visit = [after(10, S.CALLED), after(12, S.SERVING), after(13, S.WAITING), after(14, S.CALLED)]
    states = [a_ticket()]
    for change in visit:
        states.append(tickets.changed(states[-1], change))
    again = tickets.as_issued(states[-1])
    assert [again] + [again := tickets.changed(again, change) for change in visit] == states


def test_who_was_skipped_comes_back_some_places_later() -> None:
    others = [NOW + datetime.timedelta(minutes=minute) for minute in range(1, 6)]
    tick = datetime.timedelta(microseconds=1)
    assert back_in(NOW, others, 3) == others[2] + tick
    assert back_in(NOW, others[:1], 3) == others[0] + tick
    assert back_in(NOW, [], 3) == NOW + tick
    late = NOW + datetime.timedelta(hours=1)
    assert back_in(late, others, 3) == late + tick


@pytest.mark.parametrize(("sequence", "number"), [(1, "A-001"), (12, "A-012"), (1000, "A-1000")])
def test_numbers_on_boards(sequence: int, number: str) -> None:
    assert tickets.number_of("A", sequence) == number
