"""Counters of the global rate limits, in the process or in Redis, and the words of both ends.

The library `limits` was looked at: its asynchronous Redis storage pins redis below 8, it needs
several round trips for each counter, and its storage in the process walks over all keys at each
call. One script that counts everything at once is less.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mesh.clock import Monotonic

DOMAIN = "mediq"
"""Namespace of our limits in Envoy's protocol."""
LIMIT_KEY = "limit"
"""Descriptor key of a limit's name."""
ADDRESS_KEY = "masked_remote_address"
"""Descriptor key of a client's address. The name is Envoy's."""
WINDOW_SECONDS = 60
"""Length of a window. It begins with the first call that is counted in it."""
MAX_WINDOWS = 50_000
"""Windows that a process remembers; the one that ends first is forgotten first."""


class Limit(StrEnum):
    """What is limited for all Envoys together."""

    LOGIN = "LOGIN"
    UPLOAD = "UPLOAD"
    REGISTRATION = "REGISTRATION"


@dataclass(frozen=True)
class Count:
    """A window after a call was counted."""

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


class MemoryCounters:
    """Counters of one process."""

    def __init__(self, monotonic: Monotonic = time.monotonic) -> None:
        """Has counted nothing yet.

        Args:
            monotonic: Tells when a window ends.
        """
        self._monotonic = monotonic
        self._windows: dict[str, tuple[float, int]] = {}

    async def count(self, keys: Sequence[tuple[str, int]], hits: int = 1) -> list[Count]:
        """Counts in the order of `keys`; there is no other task in between."""
        now = self._monotonic()
        counts: list[Count] = []
        for key, limit in keys:
            ends, used = self._windows.get(key, (0.0, 0))
            if ends <= now:
                # Written anew, so that the entries stay in the order in which they end.
                self._windows.pop(key, None)
                ends, used = now + WINDOW_SECONDS, 0
                self._make_room(now)
            self._windows[key] = (ends, used + hits)
            counts.append(Count(used + hits, max(1, round((ends - now) * 1000))))
            if used + hits > limit:
                break
        return counts

    def _make_room(self, now: float) -> None:
        while self._windows:
            oldest = next(iter(self._windows))
            if self._windows[oldest][0] > now and len(self._windows) < MAX_WINDOWS:
                return
            del self._windows[oldest]

    async def close(self) -> None:
        """Forgets everything."""
        self._windows.clear()
