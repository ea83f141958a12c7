"""How many calls the global rate limits let through, and how many have come."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Allowance:
    """Says how many calls a minute are let through."""

    address: int
    """From one client address."""
    all: int
    """From all callers together."""


@dataclass(frozen=True)
class Usage:
    """Says what is used of a limit in the minute that runs, after a call was counted."""

    limit: int
    """Calls that are let through."""
    used: int
    """Calls that came, those that were refused too."""
    resets_in_ms: int
    """Milliseconds until the minute ends."""

    @property
    def is_over(self) -> bool:
        """Returns whether the call is refused."""
        return self.used > self.limit

    @property
    def remaining(self) -> int:
        """Returns how many more calls are let through."""
        return max(0, self.limit - self.used)

    @property
    def retry_seconds(self) -> int:
        """Returns in how many whole seconds a refused caller may come again."""
        return math.ceil(self.resets_in_ms / 1000)
