"""Work that waits by key: what waits with the same key at one moment is done together."""

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence, Sized
from typing import Generic, TypeVar

from cachetools import LRUCache

__all__ = [
    "ENOUGH",
    "KeyedBatcher",
]

Item = TypeVar("Item")
Answer = TypeVar("Answer")
POLL_SECONDS = 0.0005
ENOUGH = 24
"""A batch of this size waits for nobody: half of a burst is served while the other half comes."""
MAX_KEYS_REMEMBERED = 1000


class KeyedBatcher(Generic[Item, Answer]):
    """Does one batch a key at a time, so that a busy key makes larger batches, not more.

    For a database this is a group commit: the batch shares its locks and its write to the disk.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]],
        max_batch: int,
        linger_seconds: float = 0.0,
    ) -> None:
        """Prepares the batches; keys come and go with their work.

        Args:
            run: Does a batch; gives an answer or an error for each item.
            max_batch: Largest batch.
            linger_seconds: How long a batch waits to become as large as the one before it, when
                that has just ended: those who got an answer mostly come again. Without it half of
                them wait while the other half is served.
        """
        self._run = run
        self._max_batch = max_batch
        self._linger_seconds = linger_seconds
        self._before: LRUCache[Hashable, tuple[int, float]] = LRUCache(MAX_KEYS_REMEMBERED)
        self._waiting: dict[Hashable, list[tuple[Item, asyncio.Future[Answer]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, key: Hashable, item: Item) -> Answer:
        """Waits for an item's turn and its answer.

        Raises:
            Exception: What the batch gave for the item, or what it failed with.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append((item, future))
        else:
            self._waiting[key] = [(item, future)]
            # Not in the caller's context: the batch is nobody's call.
            task = asyncio.create_task(self._drain(key), context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _drain(self, key: Hashable) -> None:
        waiting = self._waiting[key]
        while waiting:
            await self._gather(key, waiting)
            batch = [pair for pair in waiting[: self._max_batch] if not pair[1].done()]
            del waiting[: self._max_batch]
            if not batch:
                continue
            try:
                results = await self._run([item for item, _ in batch])
                answered = list(zip(batch, results, strict=True))
            except Exception as error:
                answered = [(pair, error) for pair in batch]
            for (_, future), result in answered:
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
            self._record_size(key, len(batch))
        del self._waiting[key]

    async def _gather(self, key: Hashable, waiting: Sized) -> None:
        """Waits a little for as many as were there before."""
        size, ended = self._before.pop(key, (0, 0.0))
        ends = min(ended, time.monotonic()) + self._linger_seconds
        while len(waiting) < min(size, ENOUGH) and time.monotonic() < ends:
            await asyncio.sleep(POLL_SECONDS)

    def _record_size(self, key: Hashable, size: int) -> None:
        if self._linger_seconds and size > 1:
            self._before[key] = size, time.monotonic()
