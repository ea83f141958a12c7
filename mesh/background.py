"""Work that a process does again and again."""

import asyncio
from collections.abc import Awaitable, Callable

from mesh.observability.logs import logger

__all__ = [
    "run_periodically",
    "run_until_done",
]

Sleep = Callable[[float], Awaitable[object]]
Work = Callable[[], Awaitable[object]]


async def run_periodically(
    work: Work,
    every_seconds: float,
    *,
    wait_first: bool = False,
    retry_seconds: float | None = None,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Runs `work` for ever, with a pause after each run; ends only by cancellation or an error.

    Args:
        work: What to do. A run that takes long delays the next one; two never overlap.
        every_seconds: Length of the pause.
        wait_first: Whether a pause precedes the first run.
        retry_seconds: Length of the pause after a run that failed, which is logged. None: the
            error is raised, and the server starts the background task again.
        sleep: Waits; a test passes its own.

    Raises:
        Exception: What `work` raises, unless `retry_seconds` is given.
    """
    if wait_first:
        await sleep(every_seconds)
    while True:
        pause = every_seconds
        try:
            await work()
        except Exception as error:
            if retry_seconds is None:
                raise
            logger().error("periodic work failed, trying again", exc_info=error)
            pause = retry_seconds
        await sleep(pause)


async def run_until_done(work: Work, retry_seconds: float, *, sleep: Sleep = asyncio.sleep) -> None:
    """Runs `work` until it returns; a run that fails is logged and starts again after a pause.

    Args:
        work: What to do.
        retry_seconds: Length of the pause after a failure.
        sleep: Waits; a test passes its own.
    """
    while True:
        try:
            await work()
            return
        except Exception as error:
            logger().error("background work failed, starting it again", exc_info=error)
            await sleep(retry_seconds)
