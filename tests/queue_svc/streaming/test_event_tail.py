"""The stream of all events."""

import asyncio
import datetime
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from mediq.queue.v1.event_pb2 import TicketEvent, TicketEventType
from mediq.queue.v1.live_service_pb2 import WatchEventsResponse

from mesh.errors import MeshError, StatusCode
from mesh.messaging.events import BUFFER_EVENTS, GAP, Event, LocalBus
from queue_svc.messages.routing_keys import routing_key
from queue_svc.streaming.event_tail import MAX_WORDS, pattern_of, tail_events
from tests.support.waiting import PATIENCE_SECONDS, eventually

MORNING = datetime.datetime(2026, 3, 2, 2, 0, tzinfo=datetime.UTC)
CALLED = TicketEventType.TICKET_EVENT_TYPE_CALLED
NO_SHOW = TicketEventType.TICKET_EVENT_TYPE_NO_SHOW
KINDS = [kind for kind in TicketEventType.values() if kind]


class Tail:
    """A tail that is being followed."""

    def __init__(self, pattern: str = "", heartbeat_seconds: float = PATIENCE_SECONDS) -> None:
        self.bus = LocalBus()
        self.draining = asyncio.Event()
        self.stream: AsyncIterator[WatchEventsResponse] = tail_events(
            self.bus, pattern, self.draining, lambda: MORNING, heartbeat_seconds
        )

    async def next(self) -> WatchEventsResponse:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await anext(self.stream)

    async def begin(self) -> asyncio.Task[WatchEventsResponse]:
        """Asks for the first message; returns when the subscription is open."""
        first = asyncio.create_task(self.next())
        await eventually(lambda: self.bus._subscriptions)
        return first

    async def happen(self, kind: TicketEventType.ValueType, facility: str = "rsud") -> TicketEvent:
        made = TicketEvent(
            id=str(uuid4()), type=kind, institution_id=facility, service_id="poli", number="A-001"
        )
        await self.bus.publish(Event(made.id, routing_key(made), made.SerializeToString()))
        return made

    async def over(self) -> bool:
        """Whether nothing follows, and nobody is subscribed any more."""
        with pytest.raises(StopAsyncIteration):
            await self.next()
        return not self.bus._subscriptions


async def test_events_as_they_come() -> None:
    following = Tail()
    first = await following.begin()
    sent = [await following.happen(kind) for kind in KINDS]
    got = [await first] + [await following.next() for _ in KINDS[1:]]
    assert [message.event for message in got] == sent


async def test_only_what_fits_the_pattern() -> None:
    following = Tail("*.poli.no_show")
    first = await following.begin()
    await following.happen(CALLED)
    wanted = await following.happen(NO_SHOW)
    assert (await first).event == wanted


async def test_a_sign_of_life_in_silence() -> None:
    following = Tail(heartbeat_seconds=0.02)
    for _ in range(2):
        beat = await following.next()
        assert beat.heartbeat.send_time == Timestamp(seconds=int(MORNING.timestamp()))


async def test_the_server_stops() -> None:
    following = Tail()
    first = await following.begin()
    following.draining.set()
    end = (await first).end
    assert (end.reason, end.retry) == ("SHUTTING_DOWN", True)
    assert await following.over()


async def test_a_busy_feed_does_not_hold_up_the_stop() -> None:
    following = Tail()
    first = await following.begin()
    for _ in range(10):
        await following.happen(CALLED)
    await first
    following.draining.set()
    messages = [await following.next()]
    while not messages[-1].HasField("end"):
        messages.append(await following.next())
    assert len(messages) < 10
    assert await following.over()


async def test_a_slow_reader_is_cut_off() -> None:
    following = Tail()
    first = await following.begin()
    await following.happen(CALLED)
    await first
    for _ in range(BUFFER_EVENTS + 1):
        await following.happen(CALLED)
    end = (await following.next()).end
    assert (end.reason, end.retry) == ("SLOW_CONSUMER", True)
    assert await following.over()


async def test_a_broker_that_was_away() -> None:
    following = Tail("rsud.#")
    first = await following.begin()
    following.bus.hand_out(Event("", GAP, b""))
    end = (await first).end
    assert (end.reason, end.retry) == ("EVENTS_MISSED", True)
    assert await following.over()


@pytest.mark.parametrize("pattern", ["a..b", ".", "a.b.", "a b", "a*", "#x", "a/b", "ä"])
async def test_a_bad_pattern(pattern: str) -> None:
    with pytest.raises(MeshError) as caught:
        await Tail(pattern).next()
    assert (caught.value.kind, caught.value.reason) == (
        StatusCode.INVALID_ARGUMENT,
        "PATTERN_INVALID",
    )
    assert caught.value.violations[0].field == "pattern"


def test_a_pattern_has_an_end() -> None:
    assert pattern_of("") == "#"
    longest = ".".join(["#"] * MAX_WORDS)
    assert pattern_of(longest) == longest
    with pytest.raises(MeshError, match="PATTERN_INVALID"):
        pattern_of(f"{longest}.#")


def test_a_kind_that_the_contract_does_not_have() -> None:
    with pytest.raises(ValueError, match="99"):
        routing_key(TicketEvent(type=99))  # type: ignore[arg-type]
