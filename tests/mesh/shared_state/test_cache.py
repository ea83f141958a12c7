import asyncio
import os
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from mesh.backends import make_cache
from mesh.encryption.field_cipher import FieldCipher
from mesh.shared_state.cache import Cache, MemoryCache, get_or_load
from mesh.shared_state.redis_cache import RedisCache
from tests.support.waiting import eventually

REDIS_URL = os.environ.get("MEDIQ_TEST_REDIS_URL", "redis://127.0.0.1:6379/15")
CIPHER = FieldCipher("a", {"a": b"1" * 32}, b"2" * 32)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.backends)])
async def cache(request: pytest.FixtureRequest, patient_redis: None) -> AsyncIterator[Cache]:
    made: Cache = MemoryCache()
    if request.param == "redis":
        made = RedisCache(REDIS_URL, f"test-{uuid4()}:", CIPHER)
        await made._redis.ping()
    yield made
    await made.close()


class TestCache:
    async def test_set_get_delete(self, cache: Cache) -> None:
        assert await cache.get("a") is None
        await cache.set("a", b"1", 5)
        assert await cache.get("a") == b"1"
        await cache.delete("a")
        assert await cache.get("a") is None

    async def test_values_end(self, cache: Cache) -> None:
        await cache.set("a", b"1", 0.05)

        async def ended() -> bool:
            return await cache.get("a") is None

        await eventually(ended)

    async def test_a_cached_value_is_used_until_its_group_changes(self, cache: Cache) -> None:
        loads = iter(range(10))

        async def load() -> bytes:
            return str(next(loads)).encode()

        async def read(group: str = "g") -> bytes:
            return await get_or_load(cache, group, "k", 5, load)

        assert [await read(), await read()] == [b"0", b"0"]
        assert await read("other") == b"1"
        await cache.invalidate("g")
        assert [await read(), await read("other")] == [b"2", b"1"]

    async def test_what_was_read_before_a_change_is_not_shown_after_it(self, cache: Cache) -> None:
        """A slow reader stores its value after the change: nobody may find it."""
        state = b"old"

        async def slow() -> bytes:
            seen = state
            reading.set()
            await changed.wait()
            return seen

        async def quick() -> bytes:
            return state

        reading, changed = asyncio.Event(), asyncio.Event()
        reader = asyncio.create_task(get_or_load(cache, "g", "k", 5, slow))
        await reading.wait()
        state = b"new"
        await cache.invalidate("g")
        changed.set()
        assert await reader == b"old"
        assert await get_or_load(cache, "g", "k", 5, quick) == b"new"


async def test_full_memory_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.shared_state.cache.MAX_ENTRIES", 2)
    cache = MemoryCache()
    for key in "abc":
        await cache.set(key, key.encode(), 5)
    assert [await cache.get(key) for key in "abc"] == [None, b"b", b"c"]


async def test_redis_that_is_gone_is_a_miss() -> None:
    cache = make_cache("redis://127.0.0.1:1/0", "x:", CIPHER)
    await cache.set("a", b"1", 5)
    assert await cache.get("a") is None
    await cache.delete("a")
    await cache.invalidate("g")

    async def load() -> bytes:
        return b"loaded"

    assert await get_or_load(cache, "g", "k", 5, load) == b"loaded"
    await cache.close()


@pytest.mark.backends
async def test_what_others_write_to_redis_is_a_miss(patient_redis: None) -> None:
    prefix = f"test-{uuid4()}:"
    cache = RedisCache(REDIS_URL, prefix, CIPHER)
    redis = cache._redis
    await cache.set("a", b"mine", 5)
    await cache.set("b", b"yours", 5)
    a = await redis.get(f"{prefix}a")
    assert isinstance(a, bytes)
    assert b"mine" not in a
    await redis.set(f"{prefix}b", a, px=5000)
    assert await cache.get("b") is None, "the value of another key"
    await redis.set(f"{prefix}a", b"forged", px=5000)
    assert await cache.get("a") is None
    await redis.set(f"{prefix}a", "text", px=5000)
    assert await cache.get("a") is None
    await redis.set(f"{prefix}generation/g", b"\xff", px=5000)
    assert await cache.generation("g") == await cache.generation("g")
    await cache.close()
