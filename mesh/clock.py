"""Times on the wire."""

import datetime
from collections.abc import Callable

from google.protobuf.timestamp_pb2 import Timestamp

Clock = Callable[[], datetime.datetime]
"""Gives the time, with its zone."""


def utc_now() -> datetime.datetime:
    """Now, aware."""
    return datetime.datetime.now(datetime.UTC)


def timestamp(moment: datetime.datetime) -> Timestamp:
    """A moment as a protobuf Timestamp."""
    made = Timestamp()
    made.FromDatetime(moment)
    return made
