"""Files that may change while a process runs: the key set, data keys, revoked tokens."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from mesh.observability.logs import logger

Content = TypeVar("Content")
Stamp = tuple[int, int, int, int]
NOW = -1.0
"""For `WatchedFile.content`: look at the file, however young the last look is."""


def stamp_of(path: Path) -> Stamp | None:
    """What changes whenever a file is replaced or written; None when there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


class WatchedFile(Generic[Content]):
    """What a file says. It is looked at again as time goes on, and read when it has changed.

    A file that is damaged or gone later on is logged once; what it said last goes on to count.
    Threads may share it.
    """

    def __init__(self, path: Path, read: Callable[[Path], Content]) -> None:
        """Reads the file.

        Args:
            path: The file.
            read: Gives what it says; raises OSError or ValueError when it cannot.

        Raises:
            OSError: The file cannot be read.
            ValueError: The file is damaged.
        """
        self._path = path
        self._read = read
        self._lock = threading.Lock()
        # Looked at before it is read: a change in between is seen at the next look.
        self._stamp = self._seen = stamp_of(path)
        self._looked = time.monotonic()
        self._content = read(path)

    def content(self, every_seconds: float) -> Content:
        """What the file says; looked at unless the last look is younger than `every_seconds`."""
        asked = time.monotonic()
        if asked - self._looked > every_seconds:
            # One at a time: an older content must not take the place of a newer one.
            with self._lock:
                if asked - self._looked > every_seconds:
                    self._look()
        return self._content

    def _look(self) -> None:
        self._looked = time.monotonic()
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
