"""The broker that tests of events run on, and a cable to it that a test can cut."""

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.connection import make_url

from mesh.messaging.events import Feed
from queue_svc.messages.routing_keys import FEED
from tests.support.waiting import PATIENCE_SECONDS

AMQP_URL = os.environ.get("MEDIQ_TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")


@asynccontextmanager
async def own_feed() -> AsyncIterator[Feed]:
    """The feed of tickets on an exchange of its own, which is deleted afterwards.

    A broker that cannot be reached fails the test.
    """
    made = dataclasses.replace(FEED, exchange=f"test.{uuid4()}")
    async with await aio_pika.connect(AMQP_URL, timeout=PATIENCE_SECONDS) as connection:
        yield made
        channel = await connection.channel()
        await channel.exchange_delete(made.exchange)


@pytest.fixture
async def feed() -> AsyncIterator[Feed]:
    """A feed of this test alone."""
    async with own_feed() as made:
        yield made


class Cable:
    """Forwards a port to the broker until it is cut; can be plugged in again."""

    def __init__(self) -> None:
        broker = make_url(AMQP_URL)
        self._broker = broker.host, broker.port or 5672
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._port = 0
        self.passed = 0
        """Bytes that have gone through, in both directions."""

    @property
    def url(self) -> str:
        """Where the broker seems to be."""
        return str(make_url(AMQP_URL).with_host("127.0.0.1").with_port(self._port))

    async def plug(self) -> None:
        """Lets connections through, at the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Breaks every connection and refuses new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for line in self._lines:
            line.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, near: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        far, ask = await asyncio.open_connection(*self._broker)
        self._lines |= {answer, ask}
        for reader, writer in ((near, ask), (far, answer)):
            task = asyncio.create_task(self._pump(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                self.passed += len(data)
                await writer.drain()
        writer.close()
        self._lines.discard(writer)


@pytest.fixture
async def cable() -> AsyncIterator[Cable]:
    """A cable to the broker, plugged in."""
    made = Cable()
    await made.plug()
    yield made
    await made.cut()
