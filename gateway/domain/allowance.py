"""How many calls the global rate limits let through."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Allowance:
    """Says how many calls a minute are let through."""

    address: int
    """From one client address."""
    all: int
    """From all callers together."""
