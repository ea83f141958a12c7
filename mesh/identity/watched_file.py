"""Files that may change while a process runs: the key set, data keys, revoked tokens."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from mesh.clock import Monotonic
from mesh.observability.logs import logger

__all__ = [
    "NOW",
    "Stamp",
    "WatchedFile",
    "stamp_of",
]

Content = TypeVar("Content")
Stamp = tuple[int, int, int, int]
"""Device, inode, time of the last change in nanoseconds, and size of a file."""
NOW = -1.0
"""For `WatchedFile.content`: poll the file, however young the last poll is."""


def stamp_of(path: Path) -> Stamp | None:
    """Returns what changes whenever a file is replaced or written; None when there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


class WatchedFile(Generic[Content]):
    """Holds what a file says; polls it as time goes on, and reads it when it has changed.

    A file that is damaged or gone later on is logged once; what it said last goes on to count.
    Threads may share it.
    """

    def __init__(
        self, path: Path, read: Callable[[Path], Content], monotonic: Monotonic = time.monotonic
    ) -> None:
        """Reads the file.

        Args:
            path: The file.
            read: Gives what it says; raises OSError or ValueError when it cannot.
            monotonic: Tells how old the last poll is.

        Raises:
            OSError: The file cannot be read.
            ValueError: The file is damaged.
        """
        self._path = path
        self._read = read
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # Stamped before it is read: a change in between is found by the next poll.
        self._stamp = self._seen = stamp_of(path)
        self._polled = monotonic()
        self._content = read(path)

    def content(self, every_seconds: float) -> Content:
        """Returns what the file says; polls it unless the last poll is younger than that."""
        asked = self._monotonic()
        if asked - self._polled > every_seconds:
            # One at a time: an older content must not take the place of a newer one.
            with self._lock:
                if asked - self._polled > every_seconds:
                    self._poll()
        return self._content

    def _poll(self) -> None:
        self._polled = self._monotonic()
        stamp = stamp_of(self._path)
        if stamp == self._stamp:
            return
        known, self._seen = self._seen == stamp, stamp
        try:
            self._content = self._read(self._path)
        except (OSError, ValueError) as error:
            # Tried again: what is wrong may be the rights to it, which no stamp shows.
            if not known:
                logger().error(
                    "a file was changed and cannot be read, going on with what it said before",
                    file=str(self._path),
                    detail=str(error),
                )
            return
        self._stamp = stamp
