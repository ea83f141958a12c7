"""Counters of the global rate limits, in the process or in Redis, and the words of both ends."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from cachetools import TLRUCache

from mesh.clock import Monotonic

__all__ = [
    "ADDRESS_KEY",
    "DOMAIN",
    "LIMIT_KEY",
    "WINDOW_SECONDS",
    "Count",
    "Counters",
    "Limit",
    "MemoryCounters",
]

DOMAIN = "mediq"
"""Namespace of our limits in Envoy's protocol."""
LIMIT_KEY = "limit"
"""Descriptor key of a limit's name."""
ADDRESS_KEY = "masked_remote_address"
"""Descriptor key of a client's address. The name is Envoy's."""
WINDOW_SECONDS = 60
"""Length of a window. It begins with the first call that is counted in it."""
MAX_WINDOWS = 50_000
"""Windows that a process remembers; the one that was used longest ago is forgotten first."""


class Limit(StrEnum):
    """Names what is limited for all Envoys together."""

    LOGIN = "LOGIN"
    UPLOAD = "UPLOAD"
    REGISTRATION = "REGISTRATION"


@dataclass(frozen=True)
class Count:
    """Holds a window after a call was counted."""

    used: int
    """Calls in this window, those that were refused too."""
    resets_in_ms: int
    """Milliseconds until the window ends; at least 1."""


class Counters(Protocol):
    """Counts calls in windows."""

    async def count(self, keys: Sequence[tuple[str, int]], hits: int = 1) -> list[Count]:
        """Counts a call under several keys, in their order.

        Counting stops behind the first key that is over its limit: a caller who is refused does
        not use up what comes after. So the answer may be shorter than `keys`.

        Args:
            keys: Names of counters with the calls that each allows in a window.
            hits: What the call weighs.
        """
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...


@dataclass
class _Window:
    ends: float
    used: int = 0


class MemoryCounters:
    """Counts calls in one process."""

    def __init__(self, monotonic: Monotonic = time.monotonic) -> None:
        """Has counted nothing yet.

        Args:
            monotonic: Tells when a window ends.
        """
        self._monotonic = monotonic
        self._windows: TLRUCache[str, _Window] = TLRUCache(
            MAX_WINDOWS, ttu=lambda _, window, __: window.ends, timer=monotonic
        )

    async def count(self, keys: Sequence[tuple[str, int]], hits: int = 1) -> list[Count]:
        """Counts in the order of `keys`; there is no other task in between."""
        now = self._monotonic()
        counts: list[Count] = []
        for key, limit in keys:
            window = self._windows.get(key)
            if window is None:
                window = self._windows[key] = _Window(now + WINDOW_SECONDS)
            window.used += hits
            counts.append(Count(window.used, max(1, round((window.ends - now) * 1000))))
            if window.used > limit:
                break
        return counts

    async def close(self) -> None:
        """Forgets everything."""
        self._windows.clear()
