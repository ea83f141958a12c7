import asyncio
from collections import Counter

from tests.queue_svc.conftest import World
from tests.support.mesh import problem


async def test_writers_make_no_duplicate_and_no_gap(world: World) -> None:
    async def writer() -> list[str]:
        return [(await world.take()).number for _ in range(12)]

    numbers = [
        number for part in await asyncio.gather(*(writer() for _ in range(8))) for number in part
    ]
    assert sorted(numbers) == [f"A-{number:03d}" for number in range(1, 97)]


async def test_operators_never_share_a_patient_and_are_never_sent_away(world: World) -> None:
    waiting = 80
    for _ in range(waiting):
        await world.take()
    called: Counter[str] = Counter()

    async def operator(counter: int) -> None:
        while sum(called.values()) < waiting - 8:
            called[(await world.next(counter)).id] += 1

    await asyncio.gather(*(operator(counter) for counter in range(8)))
    while await world.upcoming():
        called[(await world.next()).id] += 1
    assert len(called) == waiting
    assert set(called.values()) == {1}
    assert await problem(world.next()) == ("NOT_FOUND", "QUEUE_EMPTY")


async def test_the_same_request_at_the_same_moment(world: World) -> None:
    for _ in range(5):
        await world.take()
    key = "6f0d3c3e-52a5-4b5c-9d4c-8f6f1a2b3c4d"
    answers = await asyncio.gather(*(world.next(request_id=key) for _ in range(6)))
    assert len({answer.id for answer in answers}) == 1
    assert len(await world.upcoming()) == 4


async def test_one_patient_at_two_counters_gets_one_ticket(world: World) -> None:
    patient = "0b6f6a3e-2f0d-4c53-9a94-6f1a2b3c4d5e"
    results = await asyncio.gather(
        *(world.take(patient=patient) for _ in range(5)), return_exceptions=True
    )
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert (await world.take()).number == "A-002"
