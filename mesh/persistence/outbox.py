"""The transactional outbox: an event is written with its effect, then published in order."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

from opentelemetry.metrics import Meter
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.orm import Session

from mesh.clock import Clock
from mesh.errors import MeshError
from mesh.messaging.events import Event, NotPublished, Publisher, Unreadable
from mesh.observability.logs import logger
from mesh.observability.metrics import NO_METRICS
from mesh.persistence.database import Database, UtcDateTime

__all__ = [
    "Outbox",
    "OutboxMetrics",
    "outbox_table",
]

BATCH = 100
IDLE_SECONDS = 1.0
"""How often the relay polls when nobody woke it: rows of a process that died."""
RETRY_SECONDS = 1.0
# A lock of the server belongs to a connection and ends with it. Its name stands for the database,
# because the names of locks are shared by all databases of the server.
_TAKE_LOCK = text("SELECT GET_LOCK(CONCAT('mediq.', :outbox, '.', MD5(DATABASE())), 1)")
_RELEASE_LOCK = text("SELECT RELEASE_ALL_LOCKS()")


def outbox_table(metadata: MetaData, name: str = "outbox") -> Table:
    """Makes the table of events that wait for publication, for the models of a service."""
    return Table(
        name,
        metadata,
        Column(
            "position",
            BigInteger().with_variant(Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        Column("event_id", String(36), nullable=False, unique=True),
        Column("topic", String(200), nullable=False),
        Column("payload", LargeBinary(65_535), nullable=False),
        Column("create_time", UtcDateTime(), nullable=False),
    )


class OutboxMetrics:
    """Measures what the relay does."""

    def __init__(self, meter: Meter, name: str) -> None:
        """Makes the instruments of the outbox with this name."""
        self._depth = meter.create_gauge(
            f"mediq.{name}.depth", description="Events that wait for publication."
        )
        self._lag = meter.create_gauge(
            f"mediq.{name}.lag", unit="s", description="Age of the oldest event that waits."
        )
        self._published = meter.create_counter(
            f"mediq.{name}.published", description="Events that were taken over."
        )

    def waiting(self, depth: int, lag_seconds: float) -> None:
        """Records how many events wait, and the age of the oldest in seconds."""
        self._depth.set(depth)
        self._lag.set(lag_seconds)

    def published(self, count: int) -> None:
        """Records how many events the bus has taken."""
        self._published.add(count)


class _Rows:
    """Takes rows from the table, on the relay's side.

    Replicas share a table on MariaDB or MySQL. The one that holds the advisory lock reads,
    publishes and deletes; so what one connection committed before another is published in that
    order. SQLite has one process.
    """

    def __init__(self, table: Table, database: Database, *, shared: bool) -> None:
        self._table = table
        self._database = database
        self._shared = shared
        self._locked = False
        self._unreadable: set[str] = set()

    async def take(self, done: Sequence[int]) -> tuple[list[Event], list[int], int] | None:
        """Returns the first events, their positions, and how many wait.

        Waits up to a second for the lock, and keeps it; None when another replica holds it.

        Args:
            done: Positions that are published: they go first.
        """
        return await self._database.write(lambda session: self._take(session, done))

    def _take(
        self, session: Session, done: Sequence[int]
    ) -> tuple[list[Event], list[int], int] | None:
        if self._shared and not self._locked:
            locked = session.execute(_TAKE_LOCK, {"outbox": self._table.name})
            self._locked = locked.scalar_one() == 1
            if not self._locked:
                return None
        table = self._table
        if done:
            session.execute(delete(table).where(table.c.position.in_(done)))
        first = select(table).order_by(table.c.position).limit(BATCH)
        if self._unreadable:
            first = first.where(table.c.event_id.not_in(self._unreadable))
        rows = session.execute(first).all()
        events = [Event(row.event_id, row.topic, row.payload, row.create_time) for row in rows]
        depth = len(rows) + len(self._unreadable)
        if len(rows) == BATCH:
            depth = session.execute(select(func.count()).select_from(table)).scalar_one()
        return events, [row.position for row in rows], depth

    def pass_over(self, event_ids: Collection[str]) -> None:
        """Leaves events where they are, and gives them no more."""
        self._unreadable.update(event_ids)

    async def drop(self, positions: Sequence[int]) -> None:
        """Deletes rows."""
        remove = delete(self._table).where(self._table.c.position.in_(positions))
        await self._database.write(lambda session: session.execute(remove))

    async def release_lock(self) -> None:
        """Lets another replica go on."""
        if self._locked:
            self._locked = False
            await self._database.read(lambda session: session.execute(_RELEASE_LOCK).scalar_one())


class Outbox:
    """Writes events in the caller's transaction and relays them to the bus."""

    def __init__(
        self,
        table: Table,
        database: Database,
        bus: Publisher,
        clock: Clock,
        meter: Meter = NO_METRICS,
    ) -> None:
        """Relays the rows of `table` to `bus`.

        Args:
            table: See `outbox_table`.
            database: Where it is.
            bus: Takes the events.
            clock: Tells how old an event is.
            meter: Makes the instruments.
        """
        self._table = table
        self._database = database
        self._bus = bus
        self._clock = clock
        self._wake = asyncio.Event()
        self._metrics = OutboxMetrics(meter, table.name)

    def add(self, session: Session, event: Event) -> None:
        """Writes an event in the caller's transaction; call `wake` after the commit."""
        self.add_all(session, [event])

    def add_all(self, session: Session, events: Sequence[Event]) -> None:
        """Writes events in order, in one statement; call `wake` after the commit."""
        if not events:
            return
        rows = [
            {
                "event_id": event.id,
                "topic": event.topic,
                "payload": event.payload,
                "create_time": event.time,
            }
            for event in events
        ]
        session.execute(insert(self._table), rows)

    def wake(self) -> None:
        """Tells the relay that there is something to publish."""
        self._wake.set()

    async def depth(self) -> int:
        """Returns how many events wait."""
        query = select(func.count()).select_from(self._table)
        return await self._database.read(lambda session: session.execute(query).scalar_one())

    async def relay(self) -> None:
        """Publishes what waits, in order, for ever. A row goes when the bus has the event."""
        async with self._rows() as rows:
            while True:
                self._wake.clear()
                try:
                    await self._publish(rows)
                except MeshError as error:
                    logger().warning("events wait", outbox=self._table.name, reason=error.reason)
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                try:
                    async with asyncio.timeout(IDLE_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    @asynccontextmanager
    async def _rows(self) -> AsyncIterator[_Rows]:
        engine = self._database.engine
        if engine.dialect.name == "sqlite":
            yield _Rows(self._table, self._database, shared=False)
            return
        # One connection of its own: the lock belongs to it, and ends when the process dies.
        own = Database(engine.url.render_as_string(hide_password=False), threads=1)
        try:
            yield _Rows(self._table, own, shared=True)
        finally:
            await own.close()

    async def _publish(self, rows: _Rows) -> None:
        """Publishes what waits, as long as something does.

        Raises:
            MeshError: The bus does not take an event, or the database does not answer.
        """
        done: list[int] = []
        try:
            while True:
                # Deleted now, or published again; never deleted twice: SQLite gives the positions
                # of an empty table to the events that come next.
                published, done = done, []
                taken = await rows.take(published)
                if taken is None:
                    return
                events, positions, depth = taken
                lag = (self._clock() - events[0].time).total_seconds() if events else 0.0
                self._metrics.waiting(depth, lag)
                if not events:
                    return
                try:
                    await self._bus.publish_all(events)
                    done = positions
                except Unreadable as error:
                    # They hold up no other, and wait for the next start.
                    rows.pass_over(error.event_ids)
                    both = zip(positions, events, strict=True)
                    done = [at for at, one in both if one.id not in error.event_ids]
                    for event_id in error.event_ids:
                        logger().error(
                            "an event cannot be read", outbox=self._table.name, event_id=event_id
                        )
                except NotPublished as error:
                    done = positions[: error.published]
                    raise
                finally:
                    if done:
                        self._metrics.published(len(done))
        finally:
            if done:
                await rows.drop(done)
            await rows.release_lock()
