"""The transactional outbox: an event is written with its effect, then published in order."""

import asyncio
import datetime

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
)
from sqlalchemy.orm import Session

from mesh.errors import MeshError
from mesh.events import Event, EventBus
from mesh.logs import logger
from mesh.storage import Database, UtcDateTime

BATCH = 100
IDLE_SECONDS = 1.0
"""How often the relay looks when nobody woke it: rows of a process that died."""
RETRY_SECONDS = 1.0


def outbox_table(metadata: MetaData) -> Table:
    """The table of events that wait for publication, for the models of a service."""
    return Table(
        "outbox",
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


class Outbox:
    """Writes events in the caller's transaction and relays them to the bus."""

    def __init__(self, table: Table, database: Database, bus: EventBus) -> None:
        """Relays the rows of `table` to `bus`."""
        self._table = table
        self._database = database
        self._bus = bus
        self._wake = asyncio.Event()

    def add(self, session: Session, event: Event) -> None:
        """Writes an event in the caller's transaction; call `wake` after the commit."""
        session.execute(
            insert(self._table).values(
                event_id=event.id,
                topic=event.topic,
                payload=event.payload,
                create_time=datetime.datetime.now(datetime.UTC),
            )
        )

    def wake(self) -> None:
        """Tells the relay that there is something to publish."""
        self._wake.set()

    async def depth(self) -> int:
        """Events that wait."""
        query = select(func.count()).select_from(self._table)
        return await self._database.read(lambda session: session.execute(query).scalar_one())

    async def relay(self) -> None:
        """Publishes what waits, in order, for ever. A row goes when the bus has the event."""
        while True:
            self._wake.clear()
            try:
                more = await self._publish_batch()
            except MeshError as error:
                logger().warning("events wait for the bus", reason=error.reason)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if not more:
                try:
                    async with asyncio.timeout(IDLE_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    async def _publish_batch(self) -> bool:
        table = self._table
        query = select(table).order_by(table.c.position).limit(BATCH)
        rows = await self._database.read(lambda session: session.execute(query).all())
        done: list[int] = []
        try:
            for row in rows:
                await self._bus.publish(Event(row.event_id, row.topic, row.payload))
                done.append(row.position)
        finally:
            if done:
                remove = delete(table).where(table.c.position.in_(done))
                await self._database.write(lambda session: session.execute(remove))
        return len(rows) == BATCH
