"""The one thread that reads, and the short line in front of it."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from mesh.errors import Kind, MeshError, unavailable
from ocr_engine.domain import CardReading

FIRST_GUESS_SECONDS = 3.0
"""Time of a reading before one was measured."""
LOADING_SECONDS = 5.0


class Engine(Protocol):
    """What the thread needs: `ocr_engine.engine.CardEngine`, or a stand-in in tests."""

    def read_card(self, data: bytes) -> CardReading:
        """Reads the card on a photo. Blocks."""


class EngineBusy(MeshError):
    """Too many photos are waiting already."""

    def __init__(self, retry_after_seconds: float) -> None:
        """Says when there should be room again."""
        super().__init__(
            "the reader has as many photos as it can take",
            Kind.RESOURCE_EXHAUSTED,
            "ENGINE_BUSY",
            retry_after_seconds=retry_after_seconds,
        )


@dataclass(frozen=True)
class TimedReading:
    """A reading and the time that it took, waiting not included."""

    reading: CardReading
    seconds: float


class EngineWorker:
    """Owns the engine. Photos are read one at a time, in the order in which they came."""

    def __init__(self, load: Callable[[], Engine], max_waiting: int) -> None:
        """Prepares the thread; nothing is loaded before `start`.

        Args:
            load: Makes the engine. Called in the thread, since it takes seconds.
            max_waiting: Photos that may wait for the one that is being read.
        """
        self._load = load
        self._max_waiting = max_waiting
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self._engine: Engine | None = None
        self._admitted = 0
        self._usual_seconds = FIRST_GUESS_SECONDS

    async def start(self) -> None:
        """Loads the engine.

        Raises:
            Exception: Whatever the loading raised; it may be tried again.
        """
        self._engine = await asyncio.get_running_loop().run_in_executor(self._thread, self._load)

    async def require_ready(self) -> None:
        """Raises MeshError UNAVAILABLE as long as the engine is not loaded."""
        self._require()

    async def read(self, data: bytes) -> TimedReading:
        """Reads a photo when its turn comes; a caller who gives up leaves the line.

        Raises:
            MeshError: UNAVAILABLE while loading, RESOURCE_EXHAUSTED when the line is full,
                or what is wrong with the photo.
        """
        engine = self._require()
        if self._admitted > self._max_waiting:
            raise EngineBusy(self._usual_seconds)
        self._admitted += 1
        loop = asyncio.get_running_loop()
        job = self._thread.submit(_timed, engine, data)
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave))
        timed = await asyncio.wrap_future(job)
        self._usual_seconds = timed.seconds
        return timed

    async def close(self) -> None:
        """Ends the thread after the photo that is being read."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    def _require(self) -> Engine:
        if self._engine is None:
            raise unavailable("the networks are being loaded", "ENGINE_LOADING", LOADING_SECONDS)
        return self._engine

    def _leave(self) -> None:
        self._admitted -= 1


def _timed(engine: Engine, data: bytes) -> TimedReading:
    started = time.monotonic()
    reading = engine.read_card(data)
    return TimedReading(reading, time.monotonic() - started)
