"""Caches: in the process, or Redis. A cache that fails is a cache that misses."""

import time
from typing import Protocol

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


def make_cache(redis_url: str, prefix: str) -> Cache:
    """Redis when a URL is given, otherwise a cache in the process."""
    if not redis_url:
        return MemoryCache()
    # The client is 7 MB that a mesh on one machine does without.
    from mesh.redis_cache import RedisCache

    return RedisCache(redis_url, prefix)
