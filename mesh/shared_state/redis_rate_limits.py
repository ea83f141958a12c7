"""The counters of the global rate limits in Redis."""

import time
from collections.abc import Sequence

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from mesh.clock import Monotonic
from mesh.observability.logs import logger
from mesh.shared_state.rate_limits import WINDOW_SECONDS, Count, MemoryCounters

__all__ = [
    "RedisCounters",
]

ANSWER_SECONDS = 0.05
"""Time for an answer of Redis; less than Envoy waits for ours."""
CONNECTIONS = 16
"""Connections of one process. A flood of calls must not become a flood of connections."""
PAUSE_SECONDS = 1.0
"""How long a Redis that did not answer is left alone."""
COUNT = """
local answer = {}
for i, key in ipairs(KEYS) do
  local used = redis.call('INCRBY', key, ARGV[1])
  local left = redis.call('PTTL', key)
  if left < 0 then
    left = tonumber(ARGV[2])
    redis.call('PEXPIRE', key, left)
  end
  answer[#answer + 1] = used
  answer[#answer + 1] = left
  if used > tonumber(ARGV[2 + i]) then break end
end
return answer
"""
"""Counts under all keys in one step. Arguments: hits, milliseconds of a window, a limit a key."""


class RedisCounters:
    """Counts calls for all replicas.

    While Redis does not answer, each replica counts for itself and begins at nought.
    """

    def __init__(self, url: str, prefix: str, monotonic: Monotonic = time.monotonic) -> None:
        """Connects on demand.

        Args:
            url: redis://host:port/number.
            prefix: Stands before every key.
            monotonic: Tells when a window of this process ends, and how long Redis is left alone.
        """
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=ANSWER_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = redis.asyncio.Redis.from_pool(pool)
        self._script = self._redis.register_script(COUNT)
        self._prefix = prefix
        self._own = MemoryCounters(monotonic)
        self._monotonic = monotonic
        self._silent_until = 0.0

    async def count(self, keys: Sequence[tuple[str, int]], hits: int = 1) -> list[Count]:
        """Counts in Redis, or in this process while Redis does not answer."""
        if self._monotonic() < self._silent_until:
            return await self._own.count(keys, hits)
        limits = [limit for _, limit in keys]
        try:
            found: list[int] = await self._script(
                keys=[self._prefix + key for key, _ in keys],
                args=[hits, WINDOW_SECONDS * 1000, *limits],
            )
        except RedisError as error:
            self._silent_until = self._monotonic() + PAUSE_SECONDS
            logger().warning(
                "redis does not answer, counting in this process", error=type(error).__name__
            )
            return await self._own.count(keys, hits)
        return [Count(used, max(1, left)) for used, left in zip(*[iter(found)] * 2, strict=True)]

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()
