"""The change logs of facilities' queues, followed for the live streams of this process.

An event of the bus only says that there is something to read: the truth is in the database. One
read serves all streams of a facility, however many there are.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mediq.queue.v1.event_pb2 import TicketEvent
from mediq.queue.v1.live_service_pb2 import WatchQueueResponse

from mesh.messaging.events import GAP, Event, EventBus
from mesh.observability.logs import logger
from mesh.shared_state.cache import Cache
from queue_svc.application.facility_directory import Days
from queue_svc.application.unit_of_work import UnitsOfWork
from queue_svc.domain.tickets import ChangeLogEntry
from queue_svc.messages.tickets import entry_message
from queue_svc.persistence.facility_queries import FacilityQueries

MAX_KEPT = 2000
"""Changes of a facility that are kept for streams that are behind."""
READ_BATCH = 500
"""Changes that are read at once."""
POLL_SECONDS = 5.0
"""How often the change logs are polled when the bus is silent."""
RETRY_SECONDS = 1.0
"""Pause after a read that failed."""


@dataclass(frozen=True)
class EncodedEvent:
    """Holds a change as the boards of a facility get it."""

    entry: ChangeLogEntry
    seen: Mapping[int, int]
    """Revision of each queue after it."""
    message: WatchQueueResponse
    """The same object for every board: most get the same."""


def cursor_of(seen: Mapping[int, int]) -> str:
    """Returns where a stream can be taken up again: how far each queue's change log was seen."""
    return "_".join(f"{queue_id}.{revision}" for queue_id, revision in sorted(seen.items()))


def parse_cursor(cursor: str) -> dict[int, int] | None:
    """Returns the revisions that a cursor names; None when it is none of ours."""
    try:
        parts = [part.split(".") for part in cursor.split("_")]
        return {int(queue_id): int(revision) for queue_id, revision in parts}
    except ValueError:
        return None


def change_message(entry: ChangeLogEntry, seen: Mapping[int, int]) -> WatchQueueResponse:
    """Returns a change as a message of a board's stream."""
    return WatchQueueResponse(event=entry_message(entry), cursor=cursor_of(seen))


@dataclass(eq=False)
class _FacilityLog:
    """Holds what happened at a facility since somebody follows it."""

    days: Days
    seen: dict[int, int] = field(default_factory=dict)
    log: list[EncodedEvent] = field(default_factory=list)
    first: int = 0
    """Position of the oldest change in the log."""
    subscribers: set["Subscriber"] = field(default_factory=set)
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    stale: bool = True
    """Whether something may have happened since the last read began."""
    begun: bool = False
    last_revisions: dict[tuple[str, str], int] = field(default_factory=dict)
    """Revision of the last change in the log, by service and day."""

    @property
    def end(self) -> int:
        """Returns the position after the newest change."""
        return self.first + len(self.log)

    def add(self, entry: ChangeLogEntry) -> None:
        """Adds the next change of a queue, and tells everyone."""
        self.seen[entry.queue_id] = entry.revision
        self.last_revisions[entry.service_id, entry.day] = entry.revision
        seen = dict(self.seen)
        self.log.append(EncodedEvent(entry, seen, change_message(entry, seen)))
        if len(self.log) > MAX_KEPT:
            self.first += 1
            del self.log[0]
        for subscriber in self.subscribers:
            subscriber.wake()


def _event(event: Event) -> TicketEvent:
    return TicketEvent.FromString(event.payload)


class Subscriber:
    """Follows a facility for one stream."""

    def __init__(self, facility: _FacilityLog) -> None:
        """Begins behind what the facility's log holds now."""
        self._facility = facility
        self._position = facility.end
        self._pending = asyncio.Event()

    def wake(self) -> None:
        """Says that there is something to take."""
        self._pending.set()

    def take(self) -> Sequence[EncodedEvent] | None:
        """Returns what happened since the last time; None when it is too much to be kept."""
        self._pending.clear()
        facility, start = self._facility, self._position
        self._position = facility.end
        if start < facility.first:
            return None
        return facility.log[start - facility.first :]

    async def wait(self, seconds: float, stop: asyncio.Task[bool]) -> bool:
        """Waits for something to take; False when the time is over or the server stops."""
        if self._pending.is_set():
            return True
        pending = asyncio.create_task(self._pending.wait())
        try:
            await asyncio.wait({pending, stop}, timeout=seconds, return_when="FIRST_COMPLETED")
            return pending.done()
        finally:
            pending.cancel()


class ChangeFeed:
    """Follows the facilities that streams of this process show."""

    def __init__(self, units: UnitsOfWork, bus: EventBus, cache: Cache) -> None:
        """Reads in units of work when the bus says so.

        Args:
            units: Opens the change log.
            bus: Says that something happened.
            cache: What it has of a facility becomes old with an event, whoever made it.
        """
        self._units = units
        self._bus = bus
        self._cache = cache
        self._facilities: dict[str, _FacilityLog] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Listens to the bus, for ever."""
        async with self._bus.subscribe("#") as subscription:
            while True:
                event = await subscription.next(POLL_SECONDS)
                if event is None:
                    # In silence too: the bus may be away, or a stream was there before it.
                    for institution_id in self._facilities:
                        self._schedule_read(institution_id)
                    continue
                events = [event]
                while not subscription.queue.empty():
                    events.append(subscription.queue.get_nowait())
                if any(event.topic == GAP for event in events):
                    touched = set(self._facilities)
                else:
                    touched = {one.institution_id for one in map(_event, events) if self._new(one)}
                for institution_id in touched:
                    self._schedule_read(institution_id)
                    await self._cache.invalidate(institution_id)

    def publish_local(self, entries: Sequence[ChangeLogEntry]) -> None:
        """Says what this process has just committed: its streams need not wait for the bus.

        What does not follow what is known here is read instead: another one was faster.
        """
        for entry in entries:
            facility = self._facilities.get(entry.institution_id)
            if facility is None:
                continue
            if facility.begun and entry.revision == facility.seen.get(entry.queue_id, 0) + 1:
                facility.add(entry)
            elif entry.revision > facility.seen.get(entry.queue_id, 0):
                self._schedule_read(entry.institution_id)

    def _schedule_read(self, institution_id: str) -> None:
        facility = self._facilities.get(institution_id)
        if facility is None:
            return
        facility.stale = True
        task = asyncio.create_task(self._read(institution_id, facility))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _new(self, event: TicketEvent) -> bool:
        """Returns whether an event tells what no stream of this process has been told."""
        facility = self._facilities.get(event.institution_id)
        known = facility.last_revisions if facility is not None else {}
        return event.revision > known.get((event.service_id, event.service_day), 0)

    @asynccontextmanager
    async def subscribe(self, institution_id: str, days: Days) -> AsyncIterator[Subscriber]:
        """Follows a facility for as long as the block runs.

        What happens after the block has begun is taken by the subscriber, or was there before.
        """
        facility = self._facilities.get(institution_id)
        if facility is None:
            facility = self._facilities[institution_id] = _FacilityLog(days)
        subscriber = Subscriber(facility)
        facility.subscribers.add(subscriber)
        try:
            if not facility.begun:
                await self._read(institution_id, facility)
            yield subscriber
        finally:
            facility.subscribers.discard(subscriber)
            if not facility.subscribers and self._facilities.get(institution_id) is facility:
                del self._facilities[institution_id]

    async def _read(self, institution_id: str, facility: _FacilityLog) -> None:
        """Reads what happened. Of those who wait for the lock, the next one reads for all."""
        async with facility.reading:
            while facility.stale and facility.subscribers:
                facility.stale = False
                try:
                    await self._read_on(institution_id, facility)
                except Exception as error:
                    facility.stale = True
                    if not facility.begun:
                        raise
                    logger().warning("a facility's change log was not read", exc_info=error)
                    await asyncio.sleep(RETRY_SECONDS)

    async def _read_on(self, institution_id: str, facility: _FacilityLog) -> None:
        known = dict(facility.seen)
        revisions, entries = await self._units.read_facility(
            institution_id,
            query_changes,
            institution_id,
            facility.days(),
            known,
            READ_BATCH if facility.begun else 0,
        )
        if not facility.begun:
            facility.seen.update(revisions)
            facility.begun = True
            return
        for queue_id in set(known) - set(revisions):
            del facility.seen[queue_id]
        for entry in entries:
            if entry.revision > facility.seen.get(entry.queue_id, 0):
                facility.add(entry)
        facility.stale = facility.stale or len(entries) == READ_BATCH


def query_changes(
    queries: FacilityQueries,
    institution_id: str,
    days: Sequence[str],
    known: Mapping[int, int],
    limit: int,
) -> tuple[dict[int, int], list[ChangeLogEntry]]:
    """Reads how far the change log of each queue has come, and what is new in it.

    Args:
        queries: The unit of work.
        institution_id: The facility.
        days: Its active days.
        known: Last known revision by queue.
        limit: Most changes. 0: the revisions alone.
    """
    revisions = queries.revisions(institution_id, days)
    behind = {
        queue_id: known.get(queue_id, 0)
        for queue_id, revision in revisions.items()
        if revision > known.get(queue_id, 0)
    }
    return revisions, queries.entries(behind, limit) if limit else []
