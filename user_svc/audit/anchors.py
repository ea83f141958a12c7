"""Anchors: the head of the trail at a time, kept where who changes the trail cannot change them.

One JSON object a line: {"position": 17, "mac": "64 hexadecimal digits", "time": "RFC 3339"}. A
writer that finds the line before it torn, because a process died, says so: {..., "torn": 23}, the
bytes of that line. Nothing of a file is ever changed, so write-once storage can hold it.
"""

import asyncio
import datetime
import json
import os
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.clock import Clock
from mesh.errors import MeshError
from mesh.observability.logs import logger
from mesh.persistence.database import Database
from user_svc.audit.chain import read_head
from user_svc.domain.audit_trail import EMPTY, MAX_POSITION, Head

ENDING = ".jsonl"
MAX_LINE_BYTES = 1024
"""Longer than any line of ours; a damaged file must not fill the memory."""
_MAC = re.compile(r"[0-9a-f]{64}")
_GROUP = 8


@dataclass(frozen=True)
class Anchor:
    """Holds the head of the trail at a time."""

    head: Head
    time: datetime.datetime
    torn: int = 0
    """Bytes of the torn line before this one; 0: it is whole."""


@dataclass(frozen=True)
class Damaged:
    """Names a line that is no anchor."""

    line: int
    """Number of the line, from 1."""
    crash: bool
    """Whether it is what a crash leaves: the last line, or one that the next line calls torn."""


def show_mac(mac: str) -> str:
    """Returns the HMAC in groups of 8 digits: logs hide longer numbers."""
    return "-".join(mac[at : at + _GROUP] for at in range(0, len(mac), _GROUP))


def parse_head(text: str) -> Head:
    """Parses a head in POSITION:MAC, as logs and commands show it.

    Raises:
        ValueError: It is no such text.
    """
    position, _, mac = text.partition(":")
    mac = mac.replace("-", "").lower()
    if not (position.isascii() and position.isdigit() and _MAC.fullmatch(mac)):
        raise ValueError("not POSITION:MAC, with 64 hexadecimal digits")
    head = Head(int(position), mac)
    if not 1 <= head.position <= MAX_POSITION:
        raise ValueError("a position is a number from 1")
    return head


def anchor_text(anchor: Anchor) -> str:
    """Returns the line of an anchor, without its end."""
    fields = {
        "position": anchor.head.position,
        "mac": anchor.head.mac,
        "time": anchor.time.isoformat(),
    }
    return json.dumps(fields | ({"torn": anchor.torn} if anchor.torn else {}))


def append_anchor(file: Path, head: Head, time: datetime.datetime) -> None:
    """Adds a line to a file of anchors; it is on the disk when this returns.

    Raises:
        OSError: The file cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    is_new = not file.exists()
    torn = 0 if is_new else _torn_bytes(file)
    line = ("\n" if torn else "") + anchor_text(Anchor(head, time, torn)) + "\n"
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        # In one call: two processes of a host may write to one file.
        written = os.write(descriptor, line.encode())
        os.fsync(descriptor)
        if written < len(line):
            raise OSError(f"{file}: only {written} of {len(line)} bytes fit")
    finally:
        os.close(descriptor)
    if is_new:
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _torn_bytes(file: Path) -> int:
    """Returns how many bytes stand behind the last end of a line."""
    with file.open("rb") as content:
        size = content.seek(0, os.SEEK_END)
        content.seek(max(0, size - MAX_LINE_BYTES))
        return len(content.read().rpartition(b"\n")[2])


@dataclass(frozen=True)
class AnchorFile:
    """Reads a file of anchors as it was at one time: what was added later is not read."""

    path: Path
    size: int
    """Bytes that the file had."""

    def lines(self) -> Iterator[Anchor | Damaged]:
        """Yields the anchors, and the lines that are none.

        Raises:
            OSError: The file cannot be read.
        """
        damaged: tuple[int, int] | None = None
        with self.path.open("rb") as content:
            number, left = 0, self.size
            while line := content.readline(min(left, MAX_LINE_BYTES)):
                number, left = number + 1, left - len(line)
                text = line.rstrip(b"\n")
                if not text:
                    continue
                anchor = _parse(text)
                if damaged is not None:
                    torn = 0 if anchor is None else anchor.torn
                    yield Damaged(damaged[0], crash=torn == damaged[1])
                damaged = (number, len(text)) if anchor is None else None
                if anchor is not None:
                    yield anchor
        if damaged is not None:
            yield Damaged(damaged[0], crash=True)


def find_files(paths: Sequence[Path]) -> list[AnchorFile]:
    """Finds the files of anchors at some paths, with what is in them now.

    Args:
        paths: Files, and folders of them.

    Raises:
        FileNotFoundError: A path does not exist.
    """
    found: list[AnchorFile] = []
    for path in paths:
        files = sorted(path.glob(f"*{ENDING}")) if path.is_dir() else [path]
        found += [AnchorFile(file, file.stat().st_size) for file in files]
    return found


def has_anchor(path: Path) -> bool:
    """Returns whether there is an anchor in a file, or in a folder of files.

    Raises:
        OSError: A file cannot be read.
    """
    lines = (line for file in find_files([path]) for line in file.lines())
    return any(isinstance(line, Anchor) for line in lines)


def _parse(line: bytes) -> Anchor | None:
    try:
        fields = json.loads(line)
        mac = fields["mac"]
        position, torn = int(fields["position"]), int(fields.get("torn", 0))
        time = datetime.datetime.fromisoformat(fields["time"])
        head = parse_head(f"{position}:{mac}")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return Anchor(head, time, torn)


class Anchors:
    """Writes the head of the trail to a file and to the log whenever it has moved."""

    def __init__(self, database: Database, folder: Path, clock: Clock) -> None:
        """Writes to the file of this host.

        Args:
            database: Holds the trail.
            folder: Folder of the file.
            clock: Gives the time.
        """
        host = re.sub(r"[^\w.-]", "_", socket.gethostname())
        self.file = folder / f"{host}{ENDING}"
        """The file of this host."""
        self._database = database
        self._clock = clock
        self._last = EMPTY

    async def write(self) -> None:
        """Writes an anchor, when the head has moved. What fails is logged: the trail goes on."""
        try:
            head = await self._database.read(read_head)
            if head == self._last:
                return
            if head.position <= self._last.position:
                logger().error(
                    "the audit trail went back",
                    position=head.position,
                    position_before=self._last.position,
                    mac_before=show_mac(self._last.mac),
                )
            logger().info("audit head", position=head.position, mac=show_mac(head.mac))
            if head.position:
                await asyncio.to_thread(append_anchor, self.file, head, self._clock())
            self._last = head
        except (MeshError, OSError) as error:
            logger().error("no audit anchor was written", detail=str(error))
