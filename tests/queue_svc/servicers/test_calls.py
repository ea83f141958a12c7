"""Calling, recalling, serving, skipping, taking back."""

from __future__ import annotations

import pytest
from mediq.queue.v1 import ticket_service_pb2 as requests
from mediq.queue.v1.queue_pb2 import TicketStatus

from mesh.encryption.field_cipher import FieldCipher
from mesh.persistence.database import Database
from queue_svc.persistence.models import ChangeRow
from tests.queue_svc.conftest import (
    CALLED,
    CANCELLED,
    DONE,
    HIGH,
    LOW,
    MORNING,
    NO_SHOW,
    NORMAL,
    SERVING,
    SKIPPED,
    URGENT,
    WAITING,
    World,
    uid,
)
from tests.support.mesh import problem


async def test_the_next_patient_is_called(world: World) -> None:
    first = await world.take()
    await world.take()
    world.clock.forward(minutes=7)
    called = await world.next(counter=2)
    assert (called.id, called.status, called.counter_name) == (first.id, CALLED, "Loket 3")
    assert called.call_time.seconds - called.create_time.seconds == 7 * 60
    assert (called.version, called.people_ahead) == (2, 0)
    assert not called.HasField("estimated_wait")


async def test_calls_follow_the_classes(world: World) -> None:
    low = await world.take(LOW)
    world.clock.forward(minutes=30)
    normal = await world.take(NORMAL)
    world.clock.forward(minutes=1)
    high = await world.take(HIGH)
    urgent = await world.take(URGENT)
    world.clock.forward(minutes=1)
    order = await world.upcoming()
    called = [(await world.next()).number for _ in range(4)]
    assert called == order == [one.number for one in (urgent, low, normal, high)] or called == [
        one.number for one in (urgent, low, high, normal)
    ]


async def test_an_empty_queue_says_so(world: World) -> None:
    assert await problem(world.next()) == ("NOT_FOUND", "QUEUE_EMPTY")
    await world.take()
    await world.next()
    assert await problem(world.next()) == ("NOT_FOUND", "QUEUE_EMPTY")


async def test_who_waits_at_midnight_is_called_first(world: World) -> None:
    world.clock.now = MORNING.replace(hour=16, minute=50)
    before = await world.take()
    world.clock.forward(minutes=20)
    after = await world.take()
    assert before.service_day < after.service_day
    assert after.people_ahead == 1
    assert [(await world.next()).id for _ in range(2)] == [before.id, after.id]


async def test_yesterdays_queue_is_not_called_in_the_morning(world: World) -> None:
    left = await world.take()
    world.clock.forward(days=1)
    assert await problem(world.next()) == ("NOT_FOUND", "QUEUE_EMPTY")
    today = await world.take()
    assert (today.number, today.people_ahead) == ("A-001", 0)
    stale = await world.get(left)
    assert (stale.status, stale.people_ahead, stale.HasField("estimated_wait")) == (
        WAITING,
        0,
        False,
    )


async def test_a_repeated_call_next_calls_nobody_else(world: World) -> None:
    await world.take()
    await world.take()
    request_id = uid()
    first = await world.next(request_id=request_id)
    assert await world.next(request_id=request_id) == first
    assert await world.upcoming() == ["A-002"]


async def test_a_patient_is_called_out_of_order(world: World) -> None:
    await world.take()
    second = await world.take()
    called = await world.call(second)
    assert (called.status, called.counter_name) == (CALLED, "Loket 1")
    assert await world.upcoming() == ["A-001"]


async def test_a_call_is_repeated_three_times(world: World) -> None:
    ticket = await world.take()
    await world.next()
    for minute in range(1, 4):
        world.clock.forward(minutes=1)
        again = await world.call(ticket)
        assert again.call_time.seconds - ticket.create_time.seconds == minute * 60
    assert await problem(world.call(ticket)) == ("FAILED_PRECONDITION", "RECALL_LIMIT")


async def test_another_counter_does_not_take_a_called_patient(world: World) -> None:
    ticket = await world.take()
    await world.call(ticket, counter=0)
    call = world.call(ticket, counter=1)
    assert await problem(call) == ("FAILED_PRECONDITION", "CALLED_BY_OTHER_COUNTER")


async def test_a_counter_of_nowhere(world: World) -> None:
    ticket = await world.take()
    other = world.facilities.open()
    for counter in (uid(), other.counters[0]):
        by_id = world.stub.CallTicket(
            requests.CallTicketRequest(id=ticket.id, counter_id=counter), metadata=world.operator
        )
        assert await problem(by_id) == ("NOT_FOUND", "COUNTER_NOT_FOUND")
        following = world.stub.CallNextTicket(
            requests.CallNextTicketRequest(
                institution_id=world.place.facility,
                service_id=world.place.service,
                counter_id=counter,
            ),
            metadata=world.operator,
        )
        assert await problem(following) == ("NOT_FOUND", "COUNTER_NOT_FOUND")


async def test_a_whole_visit(world: World) -> None:
    ticket = await world.take()
    world.clock.forward(minutes=5)
    await world.next()
    world.clock.forward(minutes=1)
    serving = await world.move(ticket, SERVING)
    world.clock.forward(minutes=6)
    done = await world.move(ticket, DONE)
    assert serving.serve_time.seconds - ticket.create_time.seconds == 6 * 60
    assert done.close_time.seconds - ticket.create_time.seconds == 12 * 60
    assert (done.status, done.version, done.counter_name) == (DONE, 4, "Loket 1")


@pytest.mark.parametrize(
    ("steps", "target"),
    [
        ([], CALLED),
        ([], SERVING),
        ([], DONE),
        ([], SKIPPED),
        ([], NO_SHOW),
        ([], WAITING),
        ([CALLED], DONE),
        ([CALLED], CALLED),
        ([CALLED, SERVING], CANCELLED),
        ([CALLED, SKIPPED], SERVING),
        ([CANCELLED], WAITING),
        ([CALLED, SERVING, DONE], WAITING),
    ],
)
async def test_other_transitions_do_not_exist(
    world: World, steps: list[TicketStatus.ValueType], target: TicketStatus.ValueType
) -> None:
    ticket = await world.take()
    for step in steps:
        await (world.next() if step == CALLED else world.move(ticket, step))
    call = world.move(ticket, target, "alasan")
    assert await problem(call) == ("FAILED_PRECONDITION", "TRANSITION_NOT_ALLOWED")


async def test_a_skipped_patient_comes_back_three_places_later(world: World) -> None:
    first = await world.take()
    for _ in range(5):
        world.clock.forward(minutes=1)
        await world.take()
    world.clock.forward(minutes=1)
    await world.next()
    await world.move(first, SKIPPED)
    back = await world.move(first, WAITING)
    assert (back.people_ahead, back.counter_name) == (3, "")
    assert await world.upcoming() == ["A-002", "A-003", "A-004", "A-001", "A-005", "A-006"]


async def test_a_call_taken_back_keeps_the_place(world: World) -> None:
    first = await world.take()
    await world.take()
    await world.next()
    assert await problem(world.move(first, WAITING)) == ("INVALID_ARGUMENT", "REASON_REQUIRED")
    back = await world.move(first, WAITING, "salah tekan")
    assert (back.people_ahead, back.HasField("call_time"), back.version) == (0, False, 3)
    assert await world.upcoming() == ["A-001", "A-002"]


@pytest.mark.parametrize("reason", ["", "pulang"])
async def test_a_patient_cancels(world: World, reason: str) -> None:
    patient = uid()
    ticket = await world.take(patient=patient)
    cancelled = await world.stub.CancelTicket(
        requests.CancelTicketRequest(id=ticket.id, reason=reason), metadata=world.session(patient)
    )
    assert cancelled.status == CANCELLED
    assert await problem(world.next()) == ("NOT_FOUND", "QUEUE_EMPTY")


async def test_every_change_is_kept_with_actor_place_and_reason(world: World) -> None:
    patient, operator = uid(), uid()
    ticket = await world.take(URGENT, patient=patient)
    world.clock.forward(minutes=1)
    await world.next(counter=1)
    await world.move(ticket, WAITING, "salah pasien")
    await world.stub.CancelTicket(
        requests.CancelTicketRequest(id=ticket.id), metadata=world.session(patient)
    )
    database = Database(world.settings.database, 1)
    rows = await database.read(
        lambda session: session.query(ChangeRow).order_by(ChangeRow.version).all()
    )
    await database.close()
    cipher = FieldCipher.load(world.settings.keys, "queue_svc")
    reasons = [
        row.reason
        and cipher.decrypt(
            row.reason, f"ticket_changes/{row.ticket_id}/{row.version}/reason"
        ).decode()
        for row in rows
    ]
    assert [(row.version, int(row.status), row.counter_name) for row in rows] == [
        (1, WAITING, None),
        (2, CALLED, "Loket 2"),
        (3, WAITING, "Loket 2"),
        (4, CANCELLED, None),
    ]
    assert reasons == ["sesak napas", None, "salah pasien", None]
    assert rows[-1].actor == patient
    assert operator not in {row.actor for row in rows}
    assert [row.time for row in rows] == sorted(row.time for row in rows)
    assert b"salah" not in b"".join(row.reason or b"" for row in rows)


async def test_service_times_that_are_seen_change_the_estimate(world: World) -> None:
    for _ in range(12):
        await world.take()
    before = await world.get(await world.take())
    for counter in (0, 1) * 5:
        ticket = await world.next(counter)
        await world.move(ticket, SERVING)
        world.clock.forward(minutes=2)
        await world.move(ticket, DONE)
    after = await world.get(before)
    assert (before.people_ahead, before.estimated_wait.seconds) == (12, 7500)
    # Ten services of 2 minutes and a prior of five of 10: 280 s each, at two counters,
    # two people and the half of a service.
    assert (after.people_ahead, after.estimated_wait.seconds) == (2, 350)
    world.clock.forward(minutes=31)
    assert (await world.get(before)).estimated_wait.seconds == 700
