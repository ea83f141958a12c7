"""Waiting for what must happen: by looking, never by a fixed time."""

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine, Sized
from typing import Any, TypeVar, overload

Found = TypeVar("Found")
PATIENCE_SECONDS = 120.0
"""Time for what takes moments on an idle machine, kept by one with twenty processes a core."""
LOOK_SECONDS = 0.02


@overload
async def eventually(
    condition: Callable[[], Coroutine[Any, Any, Found | None]],
    timeout_seconds: float = ...,
    every_seconds: float = ...,
) -> Found: ...


@overload
async def eventually(
    condition: Callable[[], Found | None],
    timeout_seconds: float = ...,
    every_seconds: float = ...,
) -> Found: ...


async def eventually(
    condition: Callable[[], Any],
    timeout_seconds: float = PATIENCE_SECONDS,
    every_seconds: float = LOOK_SECONDS,
) -> Any:
    """Looks again and again until a condition holds.

    Args:
        condition: What is looked at, plain or awaitable.
        timeout_seconds: How long.
        every_seconds: The time between two looks.

    Returns:
        The first true value of the condition.

    Raises:
        AssertionError: It does not hold in time; says what it was at last.
    """
    ends = time.monotonic() + timeout_seconds
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        if time.monotonic() > ends:
            raise AssertionError(f"{found!r} after {timeout_seconds} s")
        await asyncio.sleep(every_seconds)


async def more(rounds: Sized, count: int) -> None:
    """Waits until work that repeats was done so many times more from its beginning.

    Args:
        rounds: Gets an entry at the end of each round.
        count: How many; one that is under way now is not counted.

    Raises:
        AssertionError: It is not done so often in time.
    """
    before = len(rounds) + 1
    await eventually(lambda: len(rounds) >= before + count)


def eventually_now(
    condition: Callable[[], Found],
    timeout_seconds: float = PATIENCE_SECONDS,
    every_seconds: float = LOOK_SECONDS,
) -> Found:
    """Does the same in a test without an event loop.

    Raises:
        AssertionError: The condition does not hold in time.
    """
    ends = time.monotonic() + timeout_seconds
    while not (found := condition()):
        if time.monotonic() > ends:
            raise AssertionError(f"{found!r} after {timeout_seconds} s")
        time.sleep(every_seconds)
    return found
