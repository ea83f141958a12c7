"""Access tokens that are refused before their time, known to every service without a call.

The account service writes what ended to a shared place; each service reads it in the background
every second, so that a request costs two look-ups in memory. What is known is never taken back: an
entry goes when the last token that it is about has ended.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mesh.background import run_periodically
from mesh.clock import Clock
from mesh.contract.call import Principal
from mesh.identity.tls import write_private
from mesh.identity.watched_file import Stamp, stamp_of
from mesh.observability.logs import logger

__all__ = [
    "FileRevocations",
    "Revocation",
    "Revocations",
    "decode",
    "encode",
]

POLL_SECONDS = 1.0
"""How often the shared place is read."""
FILE = "revocations.json"
_NEVER: Stamp = (0, 0, 0, 0)
"""The stamp of a file that must be read."""


@dataclass(frozen=True)
class Revocation:
    """Refuses the tokens of a session or of an account. Times are seconds since the epoch."""

    subject: str
    """The session or the account. Both are UUIDs, so one name never means two things."""
    issued_before: float
    """Tokens signed before this time are refused."""
    ends: float
    """When the last of these tokens has ended by itself, and the entry is dropped."""


class Revocations(ABC):
    """Holds what is revoked, in memory, and shares it with all services through one place."""

    def __init__(self, clock: Clock) -> None:
        """Knows nothing yet.

        Args:
            clock: Tells which entries have ended.
        """
        self._clock = clock
        self._known: dict[str, Revocation] = {}
        self._shared: set[Revocation] = set()
        self._failing: set[str] = set()

    def revoked(self, principal: Principal) -> bool:
        """Returns whether the token of this principal is refused."""
        known = self._known
        if not known:
            return False
        for subject in (principal.session_id, principal.subject):
            found = known.get(subject)
            if found is not None and principal.issued_at < found.issued_before:
                return True
        return False

    async def refresh(self) -> None:
        """Reads the shared place. When it does not answer, what is known stays."""
        try:
            found = await self._load()
        except (OSError, ValueError) as error:
            self._log_change("read", error)
            return
        self._log_change("read", None)
        if found is not None:
            self._shared = found
            self._remember(found)

    async def publish(self, entries: Iterable[Revocation]) -> None:
        """Adds entries, here at once and to the shared place if it lacks any that are known here.

        What it does not take now, because it does not answer, or has lost, it gets with a later
        call: the caller publishes again and again, with or without new entries.
        """
        self._remember(entries)
        missing = set(self._known.values()) - self._shared
        if not missing:
            return
        try:
            await self._store(missing)
        except OSError as error:
            self._log_change("written", error)
            return
        self._log_change("written", None)
        self._shared |= missing

    async def follow(self) -> None:
        """Refreshes for ever; the background work of a server."""
        await run_periodically(self.refresh, POLL_SECONDS, wait_first=True)

    @abstractmethod
    async def close(self) -> None:
        """Lets go of connections."""

    @abstractmethod
    async def _load(self) -> set[Revocation] | None:
        """Reads what the shared place holds; None when that is what it held before.

        Raises:
            OSError: It does not answer.
            ValueError: What it holds is damaged.
        """

    @abstractmethod
    async def _store(self, missing: set[Revocation]) -> None:
        """Adds entries to the shared place.

        Raises:
            OSError: It does not answer.
        """

    def _remember(self, entries: Iterable[Revocation]) -> None:
        now = self._clock().timestamp()
        known = {key: one for key, one in self._known.items() if one.ends > now}
        for one in entries:
            before = known.get(one.subject)
            if one.ends > now and (before is None or before.issued_before < one.issued_before):
                known[one.subject] = one
        self._known = known
        self._shared = {one for one in self._shared if one.ends > now}

    def _log_change(self, what: str, error: Exception | None) -> None:
        # Logged when it begins and when it is over, not every second.
        if error is not None and what not in self._failing:
            self._failing.add(what)
            logger().warning(
                f"revoked tokens cannot be {what}, going on with those known",
                detail=f"{type(error).__name__}: {error}",
            )
        elif error is None and what in self._failing:
            self._failing.remove(what)
            logger().info(f"revoked tokens can be {what} again")


class FileRevocations(Revocations):
    """Shares revocations through a file in the key folder: for a mesh on one machine."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Reads nothing yet; the file need not exist.

        Args:
            folder: The key folder.
            clock: Tells which entries have ended.
        """
        super().__init__(clock)
        self._file = folder / FILE
        self._stamp: Stamp | None = _NEVER

    async def close(self) -> None:
        pass

    async def _load(self) -> set[Revocation] | None:
        stamp = stamp_of(self._file)
        if stamp == self._stamp:
            return None
        # When it is gone or damaged, it holds nothing; then the account service writes it again.
        self._shared = set()
        found = set() if stamp is None else decode(await asyncio.to_thread(self._file.read_bytes))
        self._stamp = stamp
        return found

    async def _store(self, missing: set[Revocation]) -> None:
        content = encode(self._known.values())
        await asyncio.to_thread(write_private, self._file, content)
        # Another replica may have written at this moment: what counts is what is there now.
        self._stamp = _NEVER


def encode(entries: Iterable[Revocation]) -> bytes:
    """Returns entries as JSON."""
    return json.dumps([[one.subject, one.issued_before, one.ends] for one in entries]).encode()


def decode(content: bytes | str) -> set[Revocation]:
    """Reads entries from JSON.

    Raises:
        ValueError: This is not what `encode` made.
    """
    try:
        return {
            Revocation(str(subject), float(issued_before), float(ends))
            for subject, issued_before, ends in json.loads(content)
        }
    except TypeError as error:
        raise ValueError(f"not a list of revocations: {error}") from error
