"""Caches: in the process, or Redis. A cache that fails is a cache that misses."""

import time
from typing import Protocol

import redis.asyncio
from redis.exceptions import RedisError

from mesh.logs import logger

MAX_ENTRIES = 10_000


class Cache(Protocol):
    """Short-lived copies of what can be looked up again."""

    async def get(self, key: str) -> bytes | None:
        """The value; None when it is unknown, old, or the cache does not answer."""
        ...

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Keeps a value for a time. Never raises because the cache is gone."""
        ...

    async def delete(self, key: str) -> None:
        """Forgets a value. Never raises because the cache is gone."""
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...


class MemoryCache:
    """A cache in the process."""

    def __init__(self) -> None:
        """An empty cache."""
        self._entries: dict[str, tuple[float, bytes]] = {}

    async def get(self, key: str) -> bytes | None:
        """The value, unless its time is over."""
        ends, value = self._entries.get(key, (0.0, b""))
        if ends <= time.monotonic():
            self._entries.pop(key, None)
            return None
        return value

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Keeps a value; when the cache is full, the oldest entry goes."""
        if len(self._entries) >= MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = (time.monotonic() + ttl_seconds, value)

    async def delete(self, key: str) -> None:
        """Forgets a value."""
        self._entries.pop(key, None)

    async def close(self) -> None:
        """Forgets everything."""
        self._entries.clear()


class RedisCache:
    """A cache shared by all replicas of a service."""

    def __init__(self, url: str, prefix: str) -> None:
        """Connects on demand.

        Args:
            url: redis://host:port/number.
            prefix: Stands before every key.
        """
        self._redis = redis.asyncio.Redis.from_url(
            url, socket_timeout=0.2, socket_connect_timeout=0.2
        )
        self._prefix = prefix

    async def get(self, key: str) -> bytes | None:
        """The value; None when Redis does not answer."""
        try:
            value = await self._redis.get(self._prefix + key)
        except RedisError as error:
            self._complain(error)
            return None
        return value.encode() if isinstance(value, str) else value

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Keeps a value, if Redis answers."""
        try:
            await self._redis.set(self._prefix + key, value, px=max(1, int(ttl_seconds * 1000)))
        except RedisError as error:
            self._complain(error)

    async def delete(self, key: str) -> None:
        """Forgets a value, if Redis answers."""
        try:
            await self._redis.delete(self._prefix + key)
        except RedisError as error:
            self._complain(error)

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()

    @staticmethod
    def _complain(error: RedisError) -> None:
        logger().warning("redis does not answer, going on without", error=type(error).__name__)


def make_cache(redis_url: str, prefix: str) -> Cache:
    """Redis when a URL is given, otherwise a cache in the process."""
    return RedisCache(redis_url, prefix) if redis_url else MemoryCache()
