"""The cache in Redis."""

import redis.asyncio
from redis.exceptions import RedisError

from mesh.logs import logger


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
