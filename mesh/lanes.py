"""Work that waits in lanes: what stands in one lane at one moment is done together."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Lanes(Generic[Item, Answer]):
    """Does one batch a lane at a time, so that a busy lane makes larger batches, not more.

    For a database this is a group commit: the batch shares its locks and its write to the disk.
    """

    def __init__(
        self, run: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]], most: int
    ) -> None:
        """Prepares lanes; they come and go with their work.

        Args:
            run: Does a batch; gives an answer or an error for each item.
            most: Largest batch.
        """
        self._run = run
        self._most = most
        self._waiting: dict[Hashable, list[tuple[Item, asyncio.Future[Answer]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, lane: Hashable, item: Item) -> Answer:
        """Waits for an item's turn and its answer.

        Raises:
            Exception: What the batch gave for the item, or what it failed with.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(lane)
        if waiting is not None:
            waiting.append((item, future))
        else:
            self._waiting[lane] = [(item, future)]
            # Not in the caller's context: the batch is nobody's call.
            task = asyncio.create_task(self._drain(lane), context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _drain(self, lane: Hashable) -> None:
        waiting = self._waiting[lane]
        while waiting:
            batch = [pair for pair in waiting[: self._most] if not pair[1].done()]
            del waiting[: self._most]
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
        del self._waiting[lane]
