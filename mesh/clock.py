"""The time of day, the time that passes, and times on the wire.

What reads a clock takes it as an argument, so that a test can move it.
"""

import datetime
from collections.abc import Callable
from typing import TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

__all__ = [
    "Clock",
    "Monotonic",
    "timestamp",
    "utc_now",
]

Clock: TypeAlias = Callable[[], datetime.datetime]
"""Tells the time of day, aware. Arguments are called `clock` and have no default: wiring gives the
service's, a command gives `utc_now`. Only what goes by the files of keys and certificates, which
all processes of a mesh share, takes `utc_now` unless told otherwise."""
Monotonic: TypeAlias = Callable[[], float]
"""Tells seconds since some moment, for what grows old within a process. Arguments are called
`monotonic`; the default is `time.monotonic`."""


def utc_now() -> datetime.datetime:
    """Returns the time of the system's clock, aware."""
    return datetime.datetime.now(datetime.UTC)


def timestamp(moment: datetime.datetime) -> Timestamp:
    """Returns a moment as a protobuf Timestamp."""
    made = Timestamp()
    made.FromDatetime(moment)
    return made
