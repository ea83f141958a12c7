"""Caches: in the process, or Redis. A cache that fails is a cache that misses."""

import time
from collections.abc import Awaitable, Callable
from typing import Protocol
from uuid import uuid4

from cachetools import LRUCache, TLRUCache

from mesh.clock import Monotonic

__all__ = [
    "Cache",
    "MemoryCache",
    "get_or_load",
]

MAX_ENTRIES = 10_000
"""Values, and generations, that a process remembers."""


class Cache(Protocol):
    """Keeps values for a short time that can be looked up again."""

    async def get(self, key: str) -> bytes | None:
        """Returns the value; None when it is unknown, old, or the cache does not answer."""
        ...

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Keeps a value for a time. Never raises because the cache is gone."""
        ...

    async def delete(self, key: str) -> None:
        """Forgets a value. Never raises because the cache is gone."""
        ...

    async def generation(self, group: str) -> str | None:
        """Returns the present generation of a group; None when the cache does not answer."""
        ...

    async def invalidate(self, group: str) -> None:
        """Begins a new generation: no cached value of the group counts any more."""
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...


async def get_or_load(
    cache: Cache, group: str, key: str, ttl_seconds: float, load: Callable[[], Awaitable[bytes]]
) -> bytes:
    """Returns the cached value, or what is loaded now.

    The generation is asked for before the load. So what was loaded before a change is kept under
    a name that nobody asks for after the change's `invalidate`, whoever was faster.

    Args:
        cache: Keeps the values.
        group: What becomes old together; `cache.invalidate(group)` after a change of it.
        key: Names the value in its group.
        ttl_seconds: Longest use, for the case that a change could not be told to the cache.
        load: Gives the value.
    """
    generation = await cache.generation(group)
    if generation is None:
        return await load()
    name = f"copy/{group}/{generation}/{key}"
    found = await cache.get(name)
    if found is None:
        found = await load()
        await cache.set(name, found, ttl_seconds)
    return found


class MemoryCache:
    """Keeps values in the process."""

    def __init__(self, monotonic: Monotonic = time.monotonic) -> None:
        """Makes an empty cache.

        Args:
            monotonic: Tells how old a value is.
        """
        self._entries: TLRUCache[str, tuple[float, bytes]] = TLRUCache(
            MAX_ENTRIES, ttu=lambda _, entry, now: now + entry[0], timer=monotonic
        )
        self._generations: LRUCache[str, str] = LRUCache(MAX_ENTRIES)

    async def get(self, key: str) -> bytes | None:
        """Returns the value, unless its time is over."""
        found = self._entries.get(key)
        return None if found is None else found[1]

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Keeps a value; when the cache is full, the one that was used longest ago goes."""
        self._entries[key] = ttl_seconds, value

    async def delete(self, key: str) -> None:
        """Forgets a value."""
        self._entries.pop(key, None)

    async def generation(self, group: str) -> str | None:
        """Returns the generation; a new one when the group is not known."""
        if group not in self._generations:
            await self.invalidate(group)
        return self._generations[group]

    async def invalidate(self, group: str) -> None:
        """Begins a new generation."""
        self._generations[group] = uuid4().hex

    async def close(self) -> None:
        """Forgets everything."""
        self._entries.clear()
