"""Each change is one event, in order, without personal data."""

from mediq.queue.v1.event_pb2 import TicketEvent, TicketEventType

from mesh.messaging.events import Subscription
from tests.queue_svc.conftest import CANCELLED, SERVING, URGENT, WAITING, World, uid
from tests.support.mesh import problem
from tests.support.waiting import PATIENCE_SECONDS


async def received(subscription: Subscription, count: int) -> list[tuple[str, TicketEvent]]:
    found = []
    for _ in range(count):
        event = await subscription.next(PATIENCE_SECONDS)
        assert event is not None
        found.append((event.topic, TicketEvent.FromString(event.payload)))
    return found


async def test_a_visit_as_events(world: World) -> None:
    async with world.bus.subscribe("#") as subscription:
        patient = uid()
        ticket = await world.take(URGENT, patient=patient)
        world.clock.forward(minutes=1)
        await world.next()
        await world.move(ticket, SERVING)
        await world.move(ticket, WAITING, "salah pasien")
        await world.move(ticket, CANCELLED, "pulang")
        last = await world.take()
        *events, (_, after) = await received(subscription, 6)
    assert after.ticket_id == last.id
    place = f"{world.place.facility}.{world.place.service}"
    assert [topic for topic, _ in events] == [
        f"{place}.{word}" for word in ("issued", "called", "started", "undone", "cancelled")
    ]
    assert [TicketEventType.Name(event.type)[18:] for _, event in events] == [
        *("ISSUED", "CALLED", "STARTED", "UNDONE", "CANCELLED")
    ]
    assert [event.version for _, event in events] == [1, 2, 3, 4, 5]
    assert {event.number for _, event in events} == {"A-001"}
    assert [event.counter_name for _, event in events] == ["", "Loket 1", "Loket 1", "Loket 1", ""]
    assert len({event.id for _, event in events}) == 5
    text = "".join(str(event) for _, event in events)
    assert patient not in text
    assert not any(word in text for word in ("sesak", "salah", "pulang"))


async def test_what_is_refused_or_repeated_is_no_event(world: World) -> None:
    async with world.bus.subscribe("#") as subscription:
        ticket = await world.take()
        key = uid()
        await world.next(request_id=key)
        await world.next(request_id=key)
        assert (await problem(world.next()))[1] == "QUEUE_EMPTY"
        assert (await problem(world.move(ticket, WAITING)))[1] == "REASON_REQUIRED"
        last = await world.take()
        _, _, (_, after) = await received(subscription, 3)
    assert after.ticket_id == last.id
