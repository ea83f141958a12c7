"""Re-encryption beside other work: under load, by two at once, after a crash."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from mesh.encryption import data_keys
from mesh.encryption.encrypted_columns import Change, EncryptedTable, Key, encrypted_tables
from mesh.encryption.field_cipher import FieldCipher
from mesh.encryption.reencryption import Reencryptor, Tally
from mesh.persistence.database import Database
from tests.mesh.encryption.reencryption import (
    ENCRYPTED,
    METADATA,
    NOTES,
    SECRET,
    SERVICE,
    Stored,
    note_place,
)
from tests.support.backends.databases import on_mariadb_only
from tests.support.runs.depth import DEPTH
from tests.support.waiting import PATIENCE_SECONDS, eventually


class TestConcurrency:
    @pytest.fixture
    def table(self) -> EncryptedTable:
        return encrypted_tables(ENCRYPTED)[0]

    def change(self, key: Key, old: bytes, new: bytes = b"new") -> Change:
        return Change(key, {"body": (old, new)})

    async def test_a_row_that_changed_in_between_is_not_overwritten(
        self, stored: Stored, table: EncryptedTable
    ) -> None:
        await stored.fill(3)
        old = await stored.body("owner-1", 1)
        await stored.damage("owner-1", 1, b"written by somebody else")
        changes = [
            self.change(("owner-1", 1), old),
            self.change(("owner-2", 2), await stored.body("owner-2", 2)),
            self.change(("owner-9", 9), old),
        ]
        done = await stored.database.write(lambda session: table.replace(session, changes))
        assert done == [("owner-2", 2)]
        assert await stored.body("owner-1", 1) == b"written by somebody else"
        assert await stored.body("owner-2", 2) == b"new"

    async def test_one_changed_column_of_two_leaves_the_row_for_later(
        self, stored: Stored, table: EncryptedTable
    ) -> None:
        await stored.fill(2)
        row = (await stored.database.read(lambda session: table.rows(session, [("owner-1", 1)])))[0]
        await stored.damage("owner-1", 1, b"x")
        change = Change(("owner-1", 1), {"body": (row.body, b"a"), "extra": (row.extra, b"b")})
        assert await stored.database.write(lambda session: table.replace(session, [change])) == []

    async def test_a_write_between_reading_and_writing_wins(
        self, stored: Stored, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A write that comes after each read of the walk: nothing of it is lost."""
        await stored.fill(30)
        stored.take_over()
        real = EncryptedTable.replace
        hurried: list[Key] = []

        def replace(self: EncryptedTable, session: Session, changes: list[Change]) -> Any:
            if self.table is NOTES and not hurried:
                owner, number = changes[0].key
                hurried.append(changes[0].key)
                label = f"l{number % 3}"
                encrypted = stored.cipher.encrypt(
                    b"hurried", note_place(owner, number, label, "body")
                )
                session.execute(
                    update(NOTES)
                    .where(NOTES.c.owner == owner, NOTES.c.number == number)
                    .values(body=encrypted)
                )
                stored.expected[owner, number]["body"] = b"hurried"
            return real(self, session, changes)

        monkeypatch.setattr(EncryptedTable, "replace", replace)
        first = await stored.reencryptor().walk()
        assert 1 <= first.busy <= 2
        assert len(hurried) == 1
        second = await stored.reencryptor().walk()
        assert second.busy == second.damaged == 0
        await stored.check()

    @on_mariadb_only
    async def test_a_locked_row_is_passed_over_and_not_waited_for(self, stored: Stored) -> None:
        """A writer of SQLite has the whole database."""
        await stored.fill(40)
        old, new = stored.first, stored.take_over()
        with stored.database.engine.begin() as other:
            other.execute(
                select(NOTES)
                .where(NOTES.c.owner == "owner-1", NOTES.c.number == 1)
                .with_for_update()
            ).all()
            # The server lets a lock be waited for for 50 s, and fails the statement then.
            tally = await stored.reencryptor().walk()
        assert tally.busy == 2
        assert await stored.used() == {old: 2, new: 40 + 36 + 4 - 2}
        assert await stored.reencryptor().walk() == Tally(reencrypted=2)

    @on_mariadb_only
    async def test_a_change_reads_its_own_rows_only(
        self, stored: Stored, table: EncryptedTable
    ) -> None:
        """Else each step would read the whole table, and lock it. SQLite does not count."""
        await stored.fill(600)
        key = "owner-1", 1
        old = await stored.body(*key)

        def read_by(session: Session) -> int:
            session.execute(text("FLUSH STATUS"))
            table.replace(session, [self.change(key, old)])
            found = session.execute(text("SHOW SESSION STATUS LIKE 'Handler_read%'")).all()
            return sum(int(count) for name, count in found if name != "Handler_read_rnd_deleted")

        assert await stored.database.write(read_by) < 10
        assert await stored.body(*key) == b"new"

    async def test_two_replicas_at_once(self, stored: Stored) -> None:
        await stored.fill(200)
        other = Stored(
            Database(stored.database.engine.url.render_as_string(hide_password=False)),
            stored.folder,
            FieldCipher.load(stored.folder, SERVICE),
        )
        old, new = stored.first, stored.take_over()
        works = [asyncio.ensure_future(one.reencryptor().run()) for one in (stored, other)]

        async def done() -> bool:
            return (await stored.used())[old] == 0

        await eventually(done)
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        await other.database.close()
        assert await stored.used() == {old: 0, new: 200 + 180 + 20}
        await stored.check()

    @pytest.mark.deep
    async def test_reads_and_writes_go_on(self, stored: Stored) -> None:
        """Rotation under load: what was written last is there, and always readable."""
        await stored.fill(100 * DEPTH)
        old = stored.first
        keys = sorted(stored.expected)
        chance = random.Random(7)
        locks = {key: asyncio.Lock() for key in keys}
        # A replica of its own: it reads the key file by itself.
        replica = FieldCipher.load(stored.folder, SERVICE)
        seen: Counter[str] = Counter()
        written = 0
        stop = asyncio.Event()

        async def write() -> None:
            nonlocal written
            while not stop.is_set():
                key = owner, number = chance.choice(keys)
                label, plain = f"l{number % 3}", f"{SECRET} {chance.random()}".encode()
                async with locks[key]:
                    encrypted = replica.encrypt(plain, note_place(owner, number, label, "body"))
                    await stored.damage(owner, number, encrypted)
                    stored.expected[key]["body"] = plain
                written += 1

        async def read() -> None:
            while not stop.is_set():
                key = owner, number = chance.choice(keys)
                async with locks[key]:
                    encrypted = await stored.body(owner, number)
                    place = note_place(owner, number, f"l{number % 3}", "body")
                    assert replica.decrypt(encrypted, place) == stored.expected[key]["body"]
                seen[encrypted.partition(b":")[0].decode()] += 1

        tasks = [asyncio.ensure_future(work()) for work in (write, write, read, read, read)]
        tasks.append(asyncio.ensure_future(stored.reencryptor().run()))
        try:
            new = stored.take_over(after=1)

            async def done() -> bool:
                for task in tasks:
                    if task.done():
                        task.result()
                return (await stored.used())[old] == 0

            await eventually(done)
        finally:
            stop.set()
            tasks[-1].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[:-1] == [None] * 5
        await stored.reencryptor().walk()
        assert await stored.used() == {old: 0, new: (100 + 90 + 10) * DEPTH}
        await stored.check()
        assert data_keys.remove(stored.folder, SERVICE, [old]) == [old]
        await stored.check(FieldCipher.load(stored.folder, SERVICE))
        assert written > 20
        assert min(seen[old], seen[new]) > 10


PROGRAM = """
import asyncio, sys
from pathlib import Path
from mesh.encryption import reencryption
from mesh.encryption.field_cipher import FieldCipher
from mesh.persistence.database import Database
from mesh.identity.tls import write_private
from tests.mesh.encryption.reencryption import ENCRYPTED

async def main():
    reencryption.PROGRESS_SECONDS, reencryption.STEP_ROWS, reencryption.PAGE_ROWS = 0.0, 5, 40
    cipher = FieldCipher.load(Path(sys.argv[1]), "user_svc")
    reencryptor = reencryption.Reencryptor(ENCRYPTED, cipher, Database(sys.argv[2]))

    def report(table, tally):
        print(tally.reencrypted, flush=True)
        sys.stdin.readline()

    await reencryptor.walk(report)

asyncio.run(main())
"""


async def test_a_process_that_is_killed_in_the_middle(stored: Stored) -> None:
    await stored.fill(400)
    old, new = stored.first, stored.take_over()
    total = 400 + 360 + 40
    url = stored.database.engine.url.render_as_string(hide_password=False)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", PROGRAM, str(stored.folder), url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(5):
            process.stdin.write(b"\n")
            await process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        await process.wait()
    used = await stored.used()
    assert used[old] + used[new] == total
    assert used[old] > 0
    assert used[new] > 0
    await stored.check()
    # What was done is not done again.
    assert await stored.reencryptor().walk() == Tally(reencrypted=used[old])
    assert await stored.used() == {old: 0, new: total}
    await stored.check()


async def test_sqlite_goes_on_for_others_while_rows_are_encrypted(
    quick_reencryption: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step is a short transaction: after each a writer of another process gets in at once."""
    folder = tmp_path / "keys"
    data_keys.ensure_data_key(folder, SERVICE)
    database = Database(f"sqlite:///{tmp_path / 'notes.db'}")
    METADATA.create_all(database.engine)
    stored = Stored(database, folder, FieldCipher.load(folder, SERVICE))
    await stored.fill(1000)
    stored.take_over()
    sizes: list[int] = []
    entered = 0
    real = EncryptedTable.replace

    def replace(self: EncryptedTable, session: Session, changes: list[Change]) -> Any:
        sizes.append(len(changes))
        return real(self, session, changes)

    async def enter(_: Reencryptor, __: float) -> None:
        nonlocal entered
        with sqlite3.connect(tmp_path / "notes.db", isolation_level=None, timeout=0) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("COMMIT")
        other.close()
        entered += 1

    monkeypatch.setattr(EncryptedTable, "replace", replace)
    monkeypatch.setattr(Reencryptor, "_take_rest", enter)
    await stored.reencryptor().walk()
    await database.close()
    assert max(sizes) == 7
    assert entered > len(sizes) >= 1000 // 7
