"""The cache in Redis, whose values only the service can make and read."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import uuid4

import redis.asyncio
from redis.exceptions import RedisError

from mesh.clock import Monotonic
from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.observability.logs import logger

__all__ = [
    "RedisCache",
]

Reply = TypeVar("Reply")
ANSWER_SECONDS = 0.2
"""Time for an answer of Redis."""
PAUSE_SECONDS = 1.0
"""How long a Redis that did not answer is left alone: its time-out would slow every call."""
GENERATION_SECONDS = 24 * 3600
"""How long a group's generation outlives its last use. Values live for seconds."""


class RedisCache:
    """Keeps values for all replicas of a service."""

    def __init__(
        self,
        url: str,
        prefix: str,
        cipher: FieldCipher,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        """Connects on demand.

        Args:
            url: redis://host:port/number.
            prefix: Stands before every key.
            cipher: Encrypts values for their key: whoever writes to Redis can take values away and
                put older ones of the same key back, but not make one.
            monotonic: Tells how long Redis is left alone.
        """
        self._redis = redis.asyncio.Redis.from_url(
            url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS
        )
        self._prefix = prefix
        self._cipher = cipher
        self._monotonic = monotonic
        self._silent_until = 0.0

    async def get(self, key: str) -> bytes | None:
        """Returns the value; None when Redis is silent, or holds none that this service made."""
        encrypted = await self._get(key)
        if encrypted is None:
            return None
        try:
            return self._cipher.decrypt(encrypted, f"cache/{key}")
        except DecryptionError:
            logger().warning("a value in redis is not ours, going on without")
            return None

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Keeps a value, if Redis answers."""
        life = max(1, int(ttl_seconds * 1000))
        encrypted = self._cipher.encrypt(value, f"cache/{key}")
        await self._ask(lambda: self._redis.set(self._prefix + key, encrypted, px=life))

    async def delete(self, key: str) -> None:
        """Forgets a value, if Redis answers."""
        await self._ask(lambda: self._redis.delete(self._prefix + key))

    async def generation(self, group: str) -> str | None:
        """Returns the generation; a new one when Redis has lost it; None when it is silent."""
        name = f"generation/{group}"
        found = await self._get(name)
        if found is None:
            await self._begin(name, only_new=True)
            found = await self._get(name)
        # Not encrypted, so it may be anybody's: what is no text is nothing that was begun here.
        return None if found is None else found.decode("ascii", "replace")

    async def invalidate(self, group: str) -> None:
        """Begins a new generation, if Redis answers."""
        await self._begin(f"generation/{group}", only_new=False)

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()

    async def _get(self, key: str) -> bytes | None:
        value = await self._ask(lambda: self._redis.get(self._prefix + key))
        return value.encode() if isinstance(value, str) else value

    async def _begin(self, name: str, *, only_new: bool) -> None:
        await self._ask(
            lambda: self._redis.set(
                self._prefix + name, uuid4().hex, ex=GENERATION_SECONDS, nx=only_new
            )
        )

    async def _ask(self, question: Callable[[], Awaitable[Reply]]) -> Reply | None:
        if self._monotonic() < self._silent_until:
            return None
        try:
            return await question()
        except RedisError as error:
            self._silent_until = self._monotonic() + PAUSE_SECONDS
            logger().warning("redis does not answer, going on without", error=type(error).__name__)
            return None
