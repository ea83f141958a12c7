"""Chooses between what lives in the process and what processes share, by the settings.

Interfaces never import their implementations: services call these functions where they are wired.
A client library is imported only where it is used: a mesh on one machine does without 4 MB of
RabbitMQ's and 7 MB of Redis' client in every process.
"""

from pathlib import Path

from opentelemetry.metrics import Meter

from mesh.clock import Clock
from mesh.encryption.field_cipher import FieldCipher
from mesh.identity.revocations import FileRevocations, Revocations
from mesh.messaging.events import EventBus, Feed, LocalBus
from mesh.observability.metrics import NO_METRICS
from mesh.shared_state.cache import Cache, MemoryCache
from mesh.shared_state.rate_limits import Counters, MemoryCounters

__all__ = [
    "make_bus",
    "make_cache",
    "make_counters",
    "make_revocations",
]


def make_bus(amqp_url: str, feed: Feed, meter: Meter = NO_METRICS) -> EventBus:
    """Makes a bus on RabbitMQ when a URL is given, otherwise one inside the process.

    Args:
        amqp_url: amqp://user:password@host:port/vhost, or amqps. Empty: no broker.
        feed: What the bus carries.
        meter: Makes the instruments of the bus.

    Raises:
        RuntimeError: That is no AMQP URL.
    """
    if not amqp_url:
        return LocalBus()
    from mesh.messaging.rabbit import RabbitBus

    return RabbitBus(amqp_url, feed, meter)


def make_cache(redis_url: str, prefix: str, cipher: FieldCipher) -> Cache:
    """Makes a cache in Redis when a URL is given, otherwise one in the process.

    Args:
        redis_url: redis://host:port/number, or empty.
        prefix: Stands before every key in Redis.
        cipher: Encrypts what is given to Redis.
    """
    if not redis_url:
        return MemoryCache()
    from mesh.shared_state.redis_cache import RedisCache

    return RedisCache(redis_url, prefix, cipher)


def make_counters(redis_url: str, prefix: str) -> Counters:
    """Makes counters in Redis when a URL is given, otherwise counters of this process.

    Args:
        redis_url: redis://host:port/number, or empty.
        prefix: Stands before every key in Redis.
    """
    if not redis_url:
        return MemoryCounters()
    from mesh.shared_state.redis_rate_limits import RedisCounters

    return RedisCounters(redis_url, prefix)


def make_revocations(keys: Path, redis_url: str, clock: Clock) -> Revocations:
    """Makes revocations in Redis when a URL is given, otherwise in a file of the key folder.

    Args:
        keys: The key folder.
        redis_url: redis://host:port/number, or empty.
        clock: Tells which entries have ended.
    """
    if not redis_url:
        return FileRevocations(keys, clock)
    from mesh.identity.redis_revocations import RedisRevocations

    return RedisRevocations(redis_url, clock)
