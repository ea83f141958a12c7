"""The one thread and the lines in front of it."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from mesh.errors import MeshError, StatusCode
from mesh.observability.metrics import NO_METRICS
from ocr_engine.parsing import CardReading, DocumentType
from ocr_engine.serving.metrics import EngineMetrics
from ocr_engine.serving.worker import (
    FIRST_GUESS_SECONDS,
    NEWEST_SHARE,
    EngineBusy,
    EngineWorker,
    TooLate,
)
from ocr_engine.vision.imaging import EmptyImage
from tests.support.waiting import PATIENCE_SECONDS, eventually


class SlowEngine:
    """Reads only as fast as the test lets it, and notes what it read."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.seen: list[bytes] = []
        self.at_once = 0
        self.most_at_once = 0

    def read_card(self, data: bytes) -> CardReading:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.go.acquire(timeout=PATIENCE_SECONDS)
        self.at_once -= 1
        self.seen.append(data[:8])
        if not data:
            raise EmptyImage("empty")
        return CardReading(DocumentType.KTP, stage_seconds={"read": 0.25})


@dataclass
class Heard(EngineMetrics):
    """Keeps what the worker measures."""

    backlog_now: int = 0
    waits: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)

    def backlog(self, change: int) -> None:
        self.backlog_now += change

    def waited(self, kind: str, seconds: float) -> None:
        assert seconds >= 0
        self.waits.append(kind)

    def read(self, stage_seconds: object, seconds: float) -> None:
        assert isinstance(stage_seconds, dict)
        self.stages += stage_seconds


@pytest.fixture
def slow() -> SlowEngine:
    return SlowEngine()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def worker(slow: SlowEngine, heard: Heard) -> AsyncIterator[EngineWorker]:
    found = EngineWorker(lambda: slow, max_waiting=2, max_batches=1, metrics=heard)
    await found.start()
    yield found
    slow.go.release(100)
    await found.close()


async def settled(slow: SlowEngine) -> None:
    """Lets the loop do what it can, and the thread take its next photo."""
    for _ in range(10):
        await asyncio.sleep(0)
    await eventually(lambda: slow.at_once == 1)


def set_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Stops the clock of the worker, and of nothing else."""
    stopped = SimpleNamespace(monotonic=lambda: seconds)
    monkeypatch.setattr("ocr_engine.serving.worker.time", stopped)


async def until(condition: Callable[[], bool]) -> None:
    await eventually(condition)


async def test_photos_are_read_one_at_a_time_in_order(
    slow: SlowEngine, worker: EngineWorker
) -> None:
    reads = [asyncio.create_task(worker.read(name)) for name in (b"1", b"2", b"3")]
    await settled(slow)
    slow.go.release(3)

    for timed in await asyncio.gather(*reads):
        assert timed.reading.document_type is DocumentType.KTP
        assert timed.seconds >= 0
    assert slow.seen == [b"1", b"2", b"3"]
    assert slow.most_at_once == 1


async def test_beyond_the_line_photos_are_refused_at_once(
    slow: SlowEngine, worker: EngineWorker
) -> None:
    reads = [asyncio.create_task(worker.read(b"1")) for _ in range(3)]
    await settled(slow)

    with pytest.raises(EngineBusy) as caught:
        await worker.read(b"4")
    assert caught.value.kind is StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.retry_after_seconds is not None
    assert caught.value.retry_after_seconds > 0

    slow.go.release(3)
    await asyncio.gather(*reads)
    slow.go.release()
    assert (await worker.read(b"5")).reading.document_type is DocumentType.KTP


async def test_a_photo_whose_turn_comes_too_late_is_refused_at_once(
    slow: SlowEngine, worker: EngineWorker
) -> None:
    """Three readings do not fit into the time of 2.4: it is refused before any is done."""
    usual = worker._usual_seconds = PATIENCE_SECONDS
    reads = [asyncio.create_task(worker.read(name, 10 * usual)) for name in (b"1", b"2")]
    await settled(slow)

    with pytest.raises(EngineBusy) as caught:
        await worker.read(b"3", 2.4 * usual)
    assert caught.value.retry_after_seconds == pytest.approx(0.6 * usual)

    reads.append(asyncio.create_task(worker.read(b"4", 3.2 * usual)))
    await settled(slow)
    slow.go.release(3)
    await asyncio.gather(*reads)
    assert slow.seen == [b"1", b"2", b"4"]


async def test_the_estimate_follows_the_measured_times(
    slow: SlowEngine, worker: EngineWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No time passes in any reading."""
    set_clock(monkeypatch, 1.0)
    slow.go.release(30)
    for _ in range(30):
        await worker.read(b"1")
    reading = asyncio.create_task(worker.read(b"2"))
    await settled(slow)
    # The first guess is forgotten: what was refused in the test above fits now.
    assert FIRST_GUESS_SECONDS * (1 - NEWEST_SHARE) ** 30 * 2 < 0.1
    waiting = asyncio.create_task(worker.read(b"3", 0.2))
    slow.go.release(2)
    await asyncio.gather(reading, waiting)


async def test_an_idle_reader_takes_every_photo(slow: SlowEngine, worker: EngineWorker) -> None:
    """Else slow readings would close it: nothing would be measured any more."""
    slow.go.release()
    timed = await worker.read(b"1", FIRST_GUESS_SECONDS / 2)
    assert timed.reading.document_type is DocumentType.KTP


async def test_a_photo_is_dropped_when_its_deadline_has_passed(
    slow: SlowEngine, worker: EngineWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = asyncio.create_task(worker.read(b"1"))
    await settled(slow)
    late = asyncio.create_task(worker.read(b"2", 2 * FIRST_GUESS_SECONDS + 0.1))
    await settled(slow)
    set_clock(monkeypatch, time.monotonic() + 60)
    slow.go.release(2)

    await first
    with pytest.raises(TooLate) as caught:
        await late
    assert caught.value.kind is StatusCode.DEADLINE_EXCEEDED
    assert slow.seen == [b"1"]


async def test_a_caller_who_gives_up_leaves_the_line(
    slow: SlowEngine, worker: EngineWorker
) -> None:
    reads = [asyncio.create_task(worker.read(name)) for name in (b"1", b"2", b"3")]
    await settled(slow)
    reads[2].cancel()
    await settled(slow)
    reads.append(asyncio.create_task(worker.read(b"4")))
    slow.go.release(3)

    results = await asyncio.gather(*reads, return_exceptions=True)

    assert isinstance(results[2], asyncio.CancelledError)
    assert slow.seen == [b"1", b"2", b"4"]


async def test_a_photo_in_the_thread_counts_until_it_is_done(
    slow: SlowEngine, worker: EngineWorker, heard: Heard
) -> None:
    """Nobody waits for it any more, but the thread is busy all the same."""
    reads = [asyncio.create_task(worker.read(b"1")) for _ in range(3)]
    await settled(slow)
    reads[0].cancel()
    await settled(slow)

    assert heard.backlog_now == 3
    with pytest.raises(EngineBusy):
        await worker.read(b"4")
    slow.go.release(3)
    await asyncio.gather(*reads, return_exceptions=True)
    await until(lambda: heard.backlog_now == 0)


async def test_a_bad_photo_frees_its_place(
    slow: SlowEngine, worker: EngineWorker, heard: Heard
) -> None:
    slow.go.release(10)
    for _ in range(5):
        with pytest.raises(EmptyImage):
            await worker.read(b"")
    await until(lambda: heard.backlog_now == 0)


async def test_a_photo_is_released_once_it_is_read(slow: SlowEngine, worker: EngineWorker) -> None:
    photo = b"photo" * 1000

    def held() -> int:
        return sys.getrefcount(photo)

    before = held()
    reads = [asyncio.create_task(worker.read(photo)), asyncio.create_task(worker.read(b"2"))]
    await settled(slow)
    assert held() > before
    slow.go.release()
    answer = await reads[0]
    # The thread lets go of it a moment after it has answered.
    await until(lambda: held() == before)
    assert answer.reading.document_type is DocumentType.KTP
    slow.go.release()
    await reads[1]


async def test_what_is_measured(slow: SlowEngine, worker: EngineWorker, heard: Heard) -> None:
    slow.go.release(2)
    await worker.read(b"1")
    await worker.read_of_batch(b"2")
    assert heard.waits == ["single", "batch"]
    assert heard.stages == ["read", "read"]


async def test_a_batch_waits_while_single_photos_wait(
    slow: SlowEngine, worker: EngineWorker
) -> None:
    reads = [
        asyncio.create_task(worker.read(b"1")),
        asyncio.create_task(worker.read_of_batch(b"batch")),
        asyncio.create_task(worker.read(b"2")),
    ]
    await settled(slow)
    slow.go.release()
    await until(lambda: slow.seen == [b"1"])
    reads.append(asyncio.create_task(worker.read(b"3")))
    await settled(slow)
    slow.go.release(3)
    await asyncio.gather(*reads)
    assert slow.seen == [b"1", b"2", b"3", b"batch"]


async def test_a_batch_does_not_fill_the_line(slow: SlowEngine, worker: EngineWorker) -> None:
    """However many of its photos wait, single ones are not refused."""
    reads = [asyncio.create_task(worker.read_of_batch(b"batch")) for _ in range(5)]
    await settled(slow)
    reads += [asyncio.create_task(worker.read(b"1", 60)) for _ in range(2)]
    await settled(slow)
    slow.go.release(7)
    await asyncio.gather(*reads)
    assert slow.seen == [b"batch", b"1", b"1", *[b"batch"] * 4]


async def test_only_so_many_batches_at_a_time(worker: EngineWorker) -> None:
    with worker.batch():
        with pytest.raises(EngineBusy) as caught, worker.batch():
            pass
        assert caught.value.retry_after_seconds == 10 * FIRST_GUESS_SECONDS
    with worker.batch():
        pass


async def test_the_end_does_not_keep_callers_waiting(
    slow: SlowEngine, worker: EngineWorker
) -> None:
    reads = [asyncio.create_task(worker.read(name)) for name in (b"1", b"2")]
    await settled(slow)
    slow.go.release()
    await worker.close()
    results = await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in results)
    assert slow.seen == [b"1"]


async def test_not_ready_before_the_engine_is_loaded() -> None:
    def broken() -> SlowEngine:
        raise RuntimeError("no weights")

    worker = EngineWorker(broken, max_waiting=2, max_batches=1, metrics=EngineMetrics(NO_METRICS))
    for attempt in (worker.require_ready(), worker.read(b"1"), worker.read_of_batch(b"1")):
        with pytest.raises(MeshError) as caught:
            await attempt
        assert (caught.value.kind, caught.value.reason) == (
            StatusCode.UNAVAILABLE,
            "ENGINE_LOADING",
        )
    with pytest.raises(MeshError), worker.batch():
        pass
    with pytest.raises(RuntimeError, match="no weights"):
        await worker.start()
    with pytest.raises(MeshError):
        await worker.require_ready()
    await worker.close()


async def test_ready_once_it_is_loaded(worker: EngineWorker) -> None:
    await worker.require_ready()
