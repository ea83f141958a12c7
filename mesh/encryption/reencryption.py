"""Ciphertexts of older data keys are re-encrypted, in the background and in small steps.

What is done shows in the rows themselves: a walk that was cut off begins again and passes over it.
Two processes may walk at the same time; a row goes to the one that is faster.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from mesh.background import run_periodically
from mesh.clock import Clock, utc_now
from mesh.encryption.data_keys import QUIET_SECONDS
from mesh.encryption.encrypted_columns import (
    Change,
    EncryptedColumn,
    EncryptedTable,
    Key,
    encrypted_tables,
)
from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.errors import MeshError
from mesh.observability.logs import logger
from mesh.persistence.database import Database

__all__ = [
    "Reencryptor",
    "Tally",
]

PAGE_ROWS = 500
"""Rows that one query reads."""
STEP_ROWS = 50
"""Rows that one transaction changes."""
REST = 2.0
"""Seconds of rest for each second of work: others have the database most of the time."""
REST_SECONDS = 0.01
"""The shortest rest."""
POLL_SECONDS = 1.0
"""How often a service asks whether another key encrypts."""
RETRY_SECONDS = 5.0
"""Pause before rows that were in use, or a database that did not answer, are tried again."""
PROGRESS_SECONDS = 10.0
"""How often progress is reported."""
NAMED = 100
"""Damaged fields that one walk logs by their associated data; the rest is only counted."""


@dataclass
class Tally:
    """Counts what a walk came to, in ciphertexts."""

    reencrypted: int = 0
    """Re-encrypted fields."""
    busy: int = 0
    """Changed or locked by others at that moment; another walk finds them."""
    damaged: int = 0
    """Do not decrypt. They stay as they are."""


Report = Callable[[str, Tally], None]
"""Takes the table that a walk is in, and what it has come to so far."""


def _log_progress(table: str, tally: Tally) -> None:
    logger().info(
        "re-encrypting", table=table, reencrypted=tally.reencrypted, damaged=tally.damaged
    )


class Reencryptor:
    """Re-encrypts the columns of one service when another key encrypts."""

    def __init__(
        self,
        columns: Sequence[EncryptedColumn],
        cipher: FieldCipher,
        database: Database,
        rest: float = REST,
        clock: Clock = utc_now,
    ) -> None:
        """Does nothing yet.

        Args:
            columns: What the service declares.
            cipher: Its cipher.
            database: Its database.
            rest: Seconds of rest for each second of work.
            clock: Tells which key encrypts now: the cipher's.
        """
        self._tables = encrypted_tables(columns)
        self._cipher = cipher
        self._database = database
        self._rest = rest
        self._clock = clock
        self._settled: tuple[Sequence[str], bool] | None = None

    async def run(self) -> None:
        """Walks at the start, and when another key encrypts or an older one appears, for ever."""
        await run_periodically(self._walk_if_due, POLL_SECONDS)

    async def _walk_if_due(self) -> None:
        now = self._clock().timestamp()
        keys = self._cipher.keys()
        current = keys.encrypting(now)
        older = keys.superseded(now)
        # Once more when no replica can have written with the key before any longer.
        state = (*older, current.key_id), current.encrypts_from + QUIET_SECONDS <= now
        if state == self._settled:
            return
        if older and not await self._try():
            await asyncio.sleep(RETRY_SECONDS)
            return
        self._settled = state

    async def walk(self, report: Report = _log_progress) -> Tally:
        """Goes through all rows once.

        Args:
            report: Called now and then.

        Raises:
            MeshError: UNAVAILABLE with reason DATABASE_UNAVAILABLE.
        """
        tally = Tally()
        reported = time.monotonic()
        for table in self._tables:
            after: Key | None = None
            while True:
                begun = time.monotonic()
                key_id = self._cipher.keys().encrypting(self._clock().timestamp()).key_id
                page = await self._database.read(
                    partial(table.page, after=after, key_id=key_id, limit=PAGE_ROWS)
                )
                if page.last is None:
                    break
                after = page.last
                await self._take_rest(begun)
                for start in range(0, len(page.stale), STEP_ROWS):
                    begun = time.monotonic()
                    await self._step(table, page.stale[start : start + STEP_ROWS], tally)
                    if time.monotonic() - reported > PROGRESS_SECONDS:
                        reported = time.monotonic()
                        report(table.table.name, tally)
                    await self._take_rest(begun)
        return tally

    async def _try(self) -> bool:
        """Walks once; returns whether nothing is left to try again."""
        try:
            tally = await self.walk()
        except MeshError as error:
            logger().warning("re-encrypting waits for the database", reason=error.reason)
            return False
        if tally != Tally():
            logger().info(
                "re-encrypted",
                reencrypted=tally.reencrypted,
                in_use=tally.busy,
                damaged=tally.damaged,
            )
        return tally.busy == 0

    async def _take_rest(self, begun: float) -> None:
        await asyncio.sleep(max(REST_SECONDS, self._rest * (time.monotonic() - begun)))

    async def _step(self, table: EncryptedTable, keys: Sequence[Key], tally: Tally) -> None:
        changes, damaged = await self._database.read(
            lambda session: self._changes(session, table, keys)
        )
        for associated_data in damaged[: max(0, NAMED - tally.damaged)]:
            logger().error(
                "an encrypted field does not decrypt, it stays as it is",
                associated_data=associated_data,
            )
        tally.damaged += len(damaged)
        if not changes:
            return
        done = set(await self._database.write(lambda session: table.replace(session, changes)))
        for change in changes:
            if change.key in done:
                tally.reencrypted += len(change.values)
            else:
                tally.busy += len(change.values)

    def _changes(
        self, session: Session, table: EncryptedTable, keys: Sequence[Key]
    ) -> tuple[list[Change], list[str]]:
        """Returns new ciphertexts of rows, and the associated data of those that do not decrypt."""
        changes: list[Change] = []
        damaged: list[str] = []
        for row in table.rows(session, keys):
            values: dict[str, tuple[bytes, bytes]] = {}
            for column in table.columns:
                old: bytes | None = row._mapping[column.name]
                if old is None:
                    continue
                associated_data = column.associated_data(row)
                try:
                    new = self._reencrypted(old, associated_data)
                except DecryptionError:
                    damaged.append(associated_data)
                    continue
                if new is not None:
                    values[column.name] = old, new
            if values:
                changes.append(Change(table.key_of(row), values))
        return changes, damaged

    def _reencrypted(self, old: bytes, associated_data: str) -> bytes | None:
        """Returns the new ciphertext; None when the old one has no older key.

        Raises:
            DecryptionError: It is damaged, belongs to another row, or its key is gone.
        """
        now = self._clock().timestamp()
        keys = self._cipher.keys()
        key_id = old.partition(b":")[0].decode("ascii", "replace")
        if key_id == keys.encrypting(now).key_id:
            return None
        plain = self._cipher.decrypt(old, associated_data)
        # A replica whose clock is fast writes with a key that this one does not encrypt with yet.
        if key_id not in self._cipher.keys().superseded(now):
            return None
        return self._cipher.encrypt(plain, associated_data)
