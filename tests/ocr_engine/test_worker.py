"""The one thread and the line in front of it."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from mesh.errors import Kind, MeshError
from ocr_engine.domain import CardReading, DocumentType
from ocr_engine.imaging import EmptyImage
from ocr_engine.worker import EngineBusy, EngineWorker


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
        self.go.acquire(timeout=10)
        self.at_once -= 1
        self.seen.append(data)
        if not data:
            raise EmptyImage("empty")
        return CardReading(DocumentType.KTP)


@pytest.fixture
def slow() -> SlowEngine:
    return SlowEngine()


@pytest.fixture
async def worker(slow: SlowEngine) -> AsyncIterator[EngineWorker]:
    found = EngineWorker(lambda: slow, max_waiting=2)
    await found.start()
    yield found
    slow.go.release(100)
    await found.close()


async def settled() -> None:
    """Lets the thread take its next photo and the loop hear of it."""
    await asyncio.sleep(0.05)


async def test_photos_are_read_one_at_a_time_in_order(
    slow: SlowEngine, worker: EngineWorker
) -> None:
    reads = [asyncio.create_task(worker.read(name)) for name in (b"1", b"2", b"3")]
    await settled()
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
    await settled()

    with pytest.raises(EngineBusy) as caught:
        await worker.read(b"4")
    assert caught.value.kind is Kind.RESOURCE_EXHAUSTED
    assert caught.value.retry_after_seconds is not None
    assert caught.value.retry_after_seconds > 0

    slow.go.release(3)
    await asyncio.gather(*reads)
    await settled()
    slow.go.release()
    assert (await worker.read(b"5")).reading.document_type is DocumentType.KTP


async def test_a_caller_who_gives_up_leaves_the_line(
    slow: SlowEngine, worker: EngineWorker
) -> None:
    reads = [asyncio.create_task(worker.read(name)) for name in (b"1", b"2", b"3")]
    await settled()
    reads[2].cancel()
    await settled()
    reads.append(asyncio.create_task(worker.read(b"4")))
    slow.go.release(3)

    results = await asyncio.gather(*reads, return_exceptions=True)

    assert isinstance(results[2], asyncio.CancelledError)
    assert slow.seen == [b"1", b"2", b"4"]


async def test_a_photo_in_the_thread_counts_until_it_is_done(
    slow: SlowEngine, worker: EngineWorker
) -> None:
    """Nobody waits for it any more, but the thread is busy all the same."""
    reads = [asyncio.create_task(worker.read(b"1")) for _ in range(3)]
    await settled()
    reads[0].cancel()
    await settled()

    with pytest.raises(EngineBusy):
        await worker.read(b"4")
    slow.go.release(3)
    await asyncio.gather(*reads, return_exceptions=True)


async def test_a_bad_photo_frees_its_place(slow: SlowEngine, worker: EngineWorker) -> None:
    slow.go.release(10)
    for _ in range(5):
        with pytest.raises(EmptyImage):
            await worker.read(b"")
        await settled()


async def test_not_ready_before_the_engine_is_loaded() -> None:
    def broken() -> SlowEngine:
        raise RuntimeError("no weights")

    worker = EngineWorker(broken, max_waiting=2)
    for attempt in (worker.require_ready(), worker.read(b"1")):
        with pytest.raises(MeshError) as caught:
            await attempt
        assert (caught.value.kind, caught.value.reason) == (Kind.UNAVAILABLE, "ENGINE_LOADING")
    with pytest.raises(RuntimeError, match="no weights"):
        await worker.start()
    with pytest.raises(MeshError):
        await worker.require_ready()
    await worker.close()


async def test_ready_once_it_is_loaded(worker: EngineWorker) -> None:
    await worker.require_ready()
