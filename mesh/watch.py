"""Files that may change while a process runs: the key set, revoked tokens."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from mesh.logs import logger

Content = TypeVar("Content")
Stamp = tuple[int, int, int]


def stamp_of(path: Path) -> Stamp | None:
    """What changes whenever a file is replaced or written; None when there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


class Watched(Generic[Content]):
    """What a file says. It is looked at again as time goes on, and read when it has changed.

    A file that is damaged or gone later on is logged once; what it said last goes on to count.
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
        # Looked at before it is read: a change in between is seen at the next look.
        self._stamp = stamp_of(path)
        self._looked = time.monotonic()
        self._content = read(path)

    def content(self, every_seconds: float) -> Content:
        """What the file says; looked at unless the last look is younger than `every_seconds`."""
        now = time.monotonic()
        if now - self._looked > every_seconds:
            self._looked = now
            stamp = stamp_of(self._path)
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._content = self._read(self._path)
                except (OSError, ValueError) as error:
                    logger().error(
                        "a file was changed and cannot be read, going on with what it said before",
                        file=str(self._path),
                        detail=str(error),
                    )
        return self._content
