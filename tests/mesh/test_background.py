"""Work that runs again and again, on a clock of the test."""

import pytest

from mesh.background import run_periodically, run_until_done


class Stopped(BaseException):
    """Ends a loop that has no end of its own."""


class Pauses:
    """Remembers the pauses instead of waiting, and ends the loop after some of them."""

    def __init__(self, most: int) -> None:
        self.seen: list[float] = []
        self._most = most

    async def __call__(self, seconds: float) -> None:
        self.seen.append(seconds)
        if len(self.seen) == self._most:
            raise Stopped


class Work:
    """Counts its runs; some of them fail."""

    def __init__(self, *failing: int) -> None:
        self.runs = 0
        self._failing = failing

    async def __call__(self) -> None:
        self.runs += 1
        if self.runs in self._failing:
            raise ValueError("out of order")


async def test_it_runs_at_once_and_after_every_pause() -> None:
    work, pauses = Work(), Pauses(3)
    with pytest.raises(Stopped):
        await run_periodically(work, 5.0, sleep=pauses)
    assert work.runs == 3
    assert pauses.seen == [5.0, 5.0, 5.0]


async def test_it_can_wait_before_the_first_run() -> None:
    work, pauses = Work(), Pauses(3)
    with pytest.raises(Stopped):
        await run_periodically(work, 5.0, wait_first=True, sleep=pauses)
    assert work.runs == 2


async def test_a_failure_ends_it_unless_it_may_retry() -> None:
    work, pauses = Work(2), Pauses(9)
    with pytest.raises(ValueError, match="out of order"):
        await run_periodically(work, 5.0, sleep=pauses)
    assert pauses.seen == [5.0]


async def test_after_a_failure_it_waits_for_the_pause_of_a_retry() -> None:
    work, pauses = Work(2), Pauses(3)
    with pytest.raises(Stopped):
        await run_periodically(work, 5.0, retry_seconds=0.5, sleep=pauses)
    assert pauses.seen == [5.0, 0.5, 5.0]


async def test_work_with_an_end_starts_again_only_when_it_failed() -> None:
    work, pauses = Work(1, 2), Pauses(9)
    await run_until_done(work, 0.5, sleep=pauses)
    assert work.runs == 3
    assert pauses.seen == [0.5, 0.5]
