"""Revoked access tokens in Redis."""

from collections.abc import Awaitable, Callable
from typing import TypeVar, cast
from uuid import uuid4

import redis.asyncio
from redis.exceptions import RedisError

from mesh.clock import Clock
from mesh.identity.key_set import LONGEST_TOKEN_SECONDS
from mesh.identity.revocations import Revocation, Revocations, decode, encode
from mesh.observability.logs import logger

__all__ = [
    "RedisRevocations",
]

Reply = TypeVar("Reply")
ANSWER_SECONDS = 0.5
"""Time for an answer of Redis."""
KEPT_SECONDS = LONGEST_TOKEN_SECONDS + 3600
"""How long Redis keeps what nobody adds to any more."""


class RedisRevocations(Revocations):
    """Shares revocations through Redis: a sorted set by their end, and a version of it.

    A poll costs one GET of the version as long as nothing changes.
    """

    def __init__(self, url: str, clock: Clock, prefix: str = "mesh/") -> None:
        """Connects on demand.

        Args:
            url: redis://host:port/number.
            clock: Tells which entries have ended.
            prefix: Stands before the keys.
        """
        super().__init__(clock)
        self._redis = redis.asyncio.Redis.from_url(
            url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS
        )
        self._entries = f"{prefix}revocations"
        self._version_key = f"{prefix}revocations-version"
        self._version: bytes | str | None = b""

    async def close(self) -> None:
        await self._redis.aclose()

    async def _load(self) -> set[Revocation] | None:
        version = await _ask(lambda: self._redis.get(self._version_key))
        if version == self._version:
            return None
        # Read after the version: a change in between has another version, and is read again.
        now = self._clock().timestamp()
        found = await _ask(lambda: self._redis.zrangebyscore(self._entries, now, "+inf"))
        self._version = version
        return {entry for member in cast("list[bytes]", found) for entry in _entries(member)}

    async def _store(self, missing: set[Revocation]) -> None:
        # One transaction: whoever sees the new version sees the entries.
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.zadd(self._entries, {encode([one]): one.ends for one in missing})
        pipeline.zremrangebyscore(self._entries, "-inf", self._clock().timestamp())
        pipeline.expire(self._entries, KEPT_SECONDS)
        pipeline.set(self._version_key, uuid4().hex, ex=KEPT_SECONDS)
        await _ask(pipeline.execute)


def _entries(member: bytes) -> set[Revocation]:
    try:
        return decode(member)
    except ValueError as error:
        # Passed over: one that somebody else wrote must not hide the others.
        logger().warning("an entry of the revoked tokens is damaged", detail=str(error))
        return set()


async def _ask(question: Callable[[], Awaitable[Reply]]) -> Reply:
    try:
        return await question()
    except RedisError as error:
        raise ConnectionError(f"redis does not answer: {type(error).__name__}") from error
