"""The one thread that reads, and the two lines in front of it: single photos, then batches."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from mesh.errors import MeshError, StatusCode, unavailable
from ocr_engine.parsing import CardReading
from ocr_engine.serving.metrics import EngineMetrics

FIRST_GUESS_SECONDS = 0.5
"""Time of a reading before one was measured."""
NEWEST_SHARE = 0.2
"""What the newest reading counts for in the moving average of the reading time."""
BATCH_RETRY_READINGS = 10
"""Half of the largest batch: that much is left of a running one on average."""
LOADING_SECONDS = 5.0


class Engine(Protocol):
    """Describes what the thread needs: `serving.engine.CardEngine`, or a stand-in in tests."""

    def read_card(self, data: bytes) -> CardReading:
        """Reads the card on a photo. Blocks."""


class EngineBusy(MeshError):
    """Reports that there is no room, or that the photo's turn would come too late."""

    def __init__(self, retry_after_seconds: float) -> None:
        """Says when there should be room again."""
        super().__init__(
            "the reader has as many photos as it can take",
            StatusCode.RESOURCE_EXHAUSTED,
            "ENGINE_BUSY",
            retry_after_seconds=retry_after_seconds,
        )


class TooLate(MeshError):
    """Reports that the caller's deadline passed before the photo's turn came."""

    def __init__(self) -> None:
        """Says it."""
        super().__init__(
            "the deadline passed before the photo was read",
            StatusCode.DEADLINE_EXCEEDED,
            "DEADLINE_EXCEEDED",
        )


@dataclass(frozen=True)
class TimedReading:
    """Holds a reading and the time that it took, waiting not included."""

    reading: CardReading
    seconds: float


@dataclass(eq=False)
class _Photo:
    """Holds a photo that waits."""

    data: bytes
    """Emptied when the reading begins."""
    answer: asyncio.Future[TimedReading]
    came: float
    ends: float | None
    """When nobody waits for it any more, on the monotonic clock as `came`."""


class EngineWorker:
    """Owns the engine. One photo is read at a time, since a reading uses every core.

    Single photos are read in the order in which they came; a photo of a batch only when no single
    one waits.
    """

    def __init__(
        self,
        load: Callable[[], Engine],
        max_waiting: int,
        max_batches: int,
        metrics: EngineMetrics,
    ) -> None:
        """Prepares the thread; nothing is loaded before `start`.

        Args:
            load: Makes the engine. Called in the thread, since it takes seconds.
            max_waiting: Single photos that may wait for the one that is being read.
            max_batches: Batches that may be under way at a time.
            metrics: Told about every reading.
        """
        self._load = load
        self._max_waiting = max_waiting
        self._max_batches = max_batches
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self._engine: Engine | None = None
        self._singles: deque[_Photo] = deque()
        self._batched: deque[_Photo] = deque()
        self._batches = 0
        self._reader: asyncio.Task[None] | None = None
        self._reading = False
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

    async def read(self, data: bytes, seconds_left: float | None = None) -> TimedReading:
        """Reads a single photo when its turn comes; a caller who gives up leaves the line.

        Args:
            data: The photo.
            seconds_left: What is left of the caller's deadline; None when there is none.

        Raises:
            MeshError: UNAVAILABLE while loading; RESOURCE_EXHAUSTED at once when the line is full
                or the reading would end after the deadline; DEADLINE_EXCEEDED when it did take
                longer; or what is wrong with the photo.
        """
        self._require()
        self._admit(seconds_left)
        return await self._queue(self._singles, data, seconds_left)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Keeps a place for a batch; its photos go through `read_of_batch`, one after the other.

        Raises:
            EngineBusy: As many batches as may be are under way.
        """
        self._require()
        if self._batches >= self._max_batches:
            raise EngineBusy(BATCH_RETRY_READINGS * self._usual_seconds)
        self._batches += 1
        try:
            yield
        finally:
            self._batches -= 1

    async def read_of_batch(self, data: bytes, seconds_left: float | None = None) -> TimedReading:
        """Reads a photo of a batch when no single one waits.

        Args:
            data: The photo.
            seconds_left: What is left of the caller's deadline; None when there is none.

        Raises:
            MeshError: DEADLINE_EXCEEDED when its turn came too late, or what is wrong with the
                photo.
        """
        self._require()
        return await self._queue(self._batched, data, seconds_left)

    async def close(self) -> None:
        """Ends the thread after the photo that is being read."""
        if self._reader is not None:
            self._reader.cancel()
        for photo in (*self._singles, *self._batched):
            photo.answer.cancel()
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    def _require(self) -> Engine:
        if self._engine is None:
            raise unavailable("the networks are being loaded", "ENGINE_LOADING", LOADING_SECONDS)
        return self._engine

    def _admit(self, seconds_left: float | None) -> None:
        ahead = len(self._singles) + self._reading
        if ahead > self._max_waiting:
            raise EngineBusy(self._usual_seconds)
        # An idle reader takes every photo: a few slow readings must not close it for good.
        if ahead and seconds_left is not None:
            late = (ahead + 1) * self._usual_seconds - seconds_left
            if late > 0:
                raise EngineBusy(late)

    async def _queue(
        self, line: deque[_Photo], data: bytes, seconds_left: float | None
    ) -> TimedReading:
        now = time.monotonic()
        photo = _Photo(
            data,
            asyncio.get_running_loop().create_future(),
            came=now,
            ends=None if seconds_left is None else now + seconds_left,
        )
        # The photo alone holds the bytes, so that they go when the reading ends.
        del data
        line.append(photo)
        self._metrics.backlog(1)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_all())
        try:
            return await photo.answer
        finally:
            if photo in line:
                line.remove(photo)
                self._metrics.backlog(-1)

    async def _read_all(self) -> None:
        """Reads until nothing waits. A reading goes on although its caller has left."""
        try:
            while line := self._singles or self._batched:
                photo = line.popleft()
                self._reading = True
                try:
                    await self._read_next(photo, "single" if line is self._singles else "batch")
                finally:
                    # Nothing happens to an answer that was given.
                    photo.answer.cancel()
                    self._reading = False
                    self._metrics.backlog(-1)
        finally:
            self._reader = None

    async def _read_next(self, photo: _Photo, kind: str) -> None:
        if photo.answer.done():
            return
        now = time.monotonic()
        self._metrics.waited(kind, now - photo.came)
        if photo.ends is not None and photo.ends <= now:
            photo.answer.set_exception(TooLate())
            return
        data, photo.data = photo.data, b""
        reading = asyncio.get_running_loop().run_in_executor(
            self._thread, _timed, self._require(), data
        )
        del data
        try:
            timed = await reading
        except Exception as error:
            if not photo.answer.done():
                photo.answer.set_exception(error)
            return
        self._usual_seconds += NEWEST_SHARE * (timed.seconds - self._usual_seconds)
        self._metrics.read(timed.reading.stage_seconds, timed.seconds)
        if not photo.answer.done():
            photo.answer.set_result(timed)


def _timed(engine: Engine, data: bytes) -> TimedReading:
    started = time.monotonic()
    reading = engine.read_card(data)
    return TimedReading(reading, time.monotonic() - started)
