"""Ports for servers that must know theirs before they start."""

import random
import socket
from functools import cache

RANGE = range(10_000, 32_000)
"""Below the ports that the system gives to whoever connects: none of those takes one in between."""


@cache
def _given() -> set[int]:
    return set()


def free_port() -> int:
    """Returns a TCP port of 127.0.0.1 that nothing uses, and that this process gives out once.

    Other processes of the tests draw from the same range, each in an order of its own.

    Raises:
        AssertionError: There is none.
    """
    chance = random.SystemRandom()
    for _ in range(1000):
        port = chance.choice(RANGE)
        with socket.socket() as probe:
            if port not in _given():
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                _given().add(port)
                return port
    raise AssertionError("no port is free")
