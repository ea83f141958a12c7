"""Work by key: batches, order, and whose error is whose."""

import asyncio
import contextvars
from collections.abc import Sequence

import pytest

from mesh.persistence.batching import KeyedBatcher
from tests.support.waiting import PATIENCE_SECONDS

Batch = list[str]


class Bench:
    """Runs batches that a test lets go one by one, and remembers them."""

    def __init__(self, most: int = 64) -> None:
        self.batches: list[Batch] = []
        self.running = 0
        self.gate = asyncio.Semaphore(0)
        self.batcher: KeyedBatcher[str, str] = KeyedBatcher(self._run, most)

    async def _run(self, items: Sequence[str]) -> Sequence[str | Exception]:
        self.batches.append(list(items))
        self.running += 1
        await self.gate.acquire()
        self.running -= 1
        if "explode" in items:
            raise RuntimeError("the whole batch")
        return [ValueError(item) if item.startswith("bad") else item.upper() for item in items]

    def ask(self, *items: str, key: str = "key") -> list[asyncio.Task[str]]:
        return [asyncio.create_task(self.batcher.submit(key, item)) for item in items]

    def release(self, batches: int = 1) -> None:
        for _ in range(batches):
            self.gate.release()


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def settle() -> None:
    """Lets everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_comes_while_a_batch_runs_is_the_next_batch(bench: Bench) -> None:
    first = bench.ask("a")
    await settle()
    rest = bench.ask("b", "c", "d")
    await settle()
    assert bench.batches == [["a"]]
    bench.release()
    assert await first[0] == "A"
    await settle()
    assert bench.batches == [["a"], ["b", "c", "d"]]
    bench.release()
    assert await asyncio.gather(*rest) == ["B", "C", "D"]


async def test_what_is_asked_at_once_is_one_batch_in_order(bench: Bench) -> None:
    items = [f"item {number:02d}" for number in range(40)]
    asked = bench.ask(*items)
    bench.release()
    assert await asyncio.gather(*asked) == [item.upper() for item in items]
    assert bench.batches == [items]


async def test_a_batch_is_not_larger_than_allowed() -> None:
    bench = Bench(most=3)
    asked = bench.ask(*"abcdefgh")
    bench.release(3)
    assert await asyncio.gather(*asked) == list("ABCDEFGH")
    assert bench.batches == [["a", "b", "c"], ["d", "e", "f"], ["g", "h"]]


async def test_an_error_is_only_its_callers(bench: Bench) -> None:
    asked = bench.ask("a", "bad b", "c", "bad d")
    bench.release()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [found[0], found[2]] == ["A", "C"]
    assert [str(one) for one in found if isinstance(one, ValueError)] == ["bad b", "bad d"]


async def test_a_batch_that_fails_fails_for_all_of_it_and_for_nobody_else(bench: Bench) -> None:
    asked = bench.ask("a", "explode", "b")
    await settle()
    later = bench.ask("c")
    bench.release(2)
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in found] == [RuntimeError] * 3
    assert await later[0] == "C"


async def test_too_few_answers_are_not_given_to_the_wrong_caller() -> None:
    async def forgetful(items: Sequence[str]) -> Sequence[str | Exception]:
        return list(items)[1:]

    batcher: KeyedBatcher[str, str] = KeyedBatcher(forgetful, 10)
    asked = [asyncio.create_task(batcher.submit("key", item)) for item in ("a", "b")]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert found[1] != "a"
    assert all(isinstance(one, Exception) for one in found)


async def test_who_gave_up_before_the_batch_is_left_out(bench: Bench) -> None:
    first = bench.ask("a")
    await settle()
    gone, stays = bench.ask("b", "c")
    await settle()
    gone.cancel()
    await settle()
    bench.release(2)
    assert await stays == "C"
    assert await first[0] == "A"
    assert gone.cancelled()
    assert bench.batches == [["a"], ["c"]]


async def test_who_gives_up_meanwhile_disturbs_nobody(bench: Bench) -> None:
    gone, stays = bench.ask("a", "b")
    await settle()
    gone.cancel()
    await settle()
    bench.release()
    assert await stays == "B"
    assert bench.batches == [["a", "b"]]


async def test_a_key_whose_callers_all_gave_up_works_again(bench: Bench) -> None:
    first = bench.ask("a")
    await settle()
    for one in (waiting := bench.ask("b", "c")):
        await settle()
        one.cancel()
    bench.release()
    await first[0]
    await settle()
    assert [one.cancelled() for one in waiting] == [True, True]
    again = bench.ask("d")
    bench.release()
    assert await again[0] == "D"
    assert bench.batches == [["a"], ["d"]]


async def test_keys_do_not_wait_for_each_other(bench: Bench) -> None:
    slow = bench.ask("a", key="one")
    await settle()
    other = bench.ask("b", key="two")
    await settle()
    assert bench.running == 2
    bench.release(2)
    assert [await slow[0], await other[0]] == ["A", "B"]


async def test_one_key_runs_one_batch_at_a_time(bench: Bench) -> None:
    asked = []
    for item in "abcdef":
        asked += bench.ask(item)
        await settle()
        assert bench.running == 1
    bench.release(6)
    assert await asyncio.gather(*asked) == list("ABCDEF")


async def test_keys_go_with_their_work(bench: Bench) -> None:
    asked = [task for key in "xyz" for task in bench.ask("a", key=key)]
    bench.release(3)
    await asyncio.gather(*asked)
    await settle()
    assert not bench.batcher._waiting
    assert not bench.batcher._tasks


async def test_a_batch_does_not_run_as_one_of_its_callers() -> None:
    caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")

    async def whose(items: Sequence[str]) -> Sequence[str | Exception]:
        return [caller.get() for _ in items]

    batcher: KeyedBatcher[str, str] = KeyedBatcher(whose, 10)
    caller.set("Budi")
    assert await batcher.submit("key", "a") == "nobody"


async def test_a_batch_lingers_for_as_many_as_came_before() -> None:
    """Those who got an answer come again at once: they make one batch, not two halves."""
    sizes: list[int] = []

    async def run(items: Sequence[int]) -> Sequence[int]:
        sizes.append(len(items))
        await asyncio.sleep(0.01)
        return items

    batcher: KeyedBatcher[int, int] = KeyedBatcher(run, 64, linger_seconds=PATIENCE_SECONDS)

    async def client(number: int) -> None:
        for turn in range(5):
            assert await batcher.submit("key", number) == number
            await asyncio.sleep(0.001 * (number + turn))

    await asyncio.gather(*(client(number) for number in range(8)))
    assert sizes == [8] * 5


async def test_patience_ends() -> None:
    async def run(items: Sequence[int]) -> Sequence[int]:
        return items

    batcher: KeyedBatcher[int, int] = KeyedBatcher(run, 64, linger_seconds=0.02)
    await asyncio.gather(*(batcher.submit("key", number) for number in range(8)))
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await batcher.submit("key", 1) == 1
