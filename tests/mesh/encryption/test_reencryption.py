"""Re-encryption: whole, around damage, in the background."""

from __future__ import annotations

import asyncio
import datetime
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from mesh.clock import utc_now
from mesh.encryption import data_keys
from mesh.encryption.encrypted_columns import EncryptedTable, usage
from mesh.encryption.field_cipher import FieldCipher
from mesh.encryption.reencryption import Reencryptor, Tally
from mesh.errors import unavailable
from mesh.identity.tls import write_private
from mesh.persistence.database import Database
from tests.mesh.encryption.reencryption import (
    ENCRYPTED,
    SECRET,
    SERVICE,
    Stored,
    note_place,
)
from tests.support.waiting import eventually, more


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Gets an entry each time that the background work has looked whether something is to do."""
    done: list[None] = []
    real = Reencryptor._walk_if_due

    async def counted(self: Reencryptor) -> None:
        await real(self)
        done.append(None)

    monkeypatch.setattr(Reencryptor, "_walk_if_due", counted)
    return done


class TestWalk:
    async def test_everything_gets_the_new_key_and_the_old_one_can_go(self, stored: Stored) -> None:
        await stored.fill(150)
        before = await stored.used()
        assert before == {stored.first: 150 + 135 + 15}
        old, new = stored.first, stored.take_over()
        assert await stored.reencryptor().walk() == Tally(reencrypted=300)
        assert await stored.used() == {old: 0, new: 300}
        await stored.check()
        assert data_keys.remove(stored.folder, SERVICE, [old]) == [old]
        await stored.check(FieldCipher.load(stored.folder, SERVICE))
        assert await stored.reencryptor().walk() == Tally()

    async def test_nothing_is_touched_before_the_new_key_takes_over(self, stored: Stored) -> None:
        await stored.fill(20)
        before = await stored.body("owner-0", 0)
        stored.take_over(after=3600)
        assert await stored.reencryptor().walk() == Tally()
        assert await stored.body("owner-0", 0) == before

    async def test_an_empty_database(self, stored: Stored) -> None:
        stored.take_over()
        assert await stored.reencryptor().walk() == Tally()

    async def test_two_rotations_in_a_row(self, stored: Stored) -> None:
        await stored.fill(30)
        stored.take_over()
        await stored.reencryptor().walk()
        last = stored.take_over()
        await stored.reencryptor().walk()
        assert {key: count for key, count in (await stored.used()).items() if count} == {
            last: 30 + 27 + 3
        }
        await stored.check()

    async def test_a_key_that_another_replica_encrypts_with_already_stays(
        self, stored: Stored
    ) -> None:
        """Its clock is fast; this one must not encrypt its rows back."""
        await stored.fill(20)
        added = data_keys.rotate(stored.folder, SERVICE, 3600)
        fast = FieldCipher(added.key_id, {added.key_id: added.secret}, b"i" * 32)
        place = note_place("owner-1", 1, "l1", "body")
        encrypted = fast.encrypt(b"new", place)
        await stored.damage("owner-1", 1, encrypted)
        stored.expected["owner-1", 1]["body"] = b"new"
        assert await stored.reencryptor().walk() == Tally()
        assert await stored.body("owner-1", 1) == encrypted
        await stored.check()

    async def test_nothing_of_the_content_is_logged(self, stored: Stored) -> None:
        await stored.fill(60)
        await stored.damage("owner-1", 1, stored.first.encode() + b":" + SECRET.encode())
        stored.take_over()
        with capture_logs() as logs:
            work = asyncio.ensure_future(stored.reencryptor().run())

            async def reported() -> bool:
                return any(entry["event"] == "re-encrypted" for entry in logs)

            await eventually(reported)
            work.cancel()
        assert {entry["event"] for entry in logs} >= {"re-encrypted"}
        assert any("associated_data" in entry for entry in logs)
        assert SECRET not in repr(logs)


class TestDamage:
    async def test_a_damaged_row_is_counted_named_and_left(self, stored: Stored) -> None:
        await stored.fill(60)
        old = stored.first
        damaged = bytearray(await stored.body("owner-1", 8))
        damaged[-1] ^= 1
        await stored.damage("owner-1", 8, bytes(damaged))
        # A whole ciphertext of another row, and a key that is gone.
        await stored.damage("owner-2", 2, await stored.body("owner-3", 3))
        await stored.damage("owner-4", 4, b"gone:" + bytes(40))
        stored.take_over()
        with capture_logs() as logs:
            tally = await stored.reencryptor().walk()
        assert tally == Tally(reencrypted=60 + 54 + 6 - 3, damaged=3)
        assert sorted(entry["associated_data"] for entry in logs if "associated_data" in entry) == [
            note_place("owner-1", 8, "l2", "body"),
            note_place("owner-2", 2, "l2", "body"),
            note_place("owner-4", 4, "l1", "body"),
        ]
        assert await stored.body("owner-1", 8) == bytes(damaged)
        ids = [key.key_id for key in stored.cipher.keys().keys]
        found = await stored.database.read(lambda session: usage(session, ENCRYPTED, ids))
        assert (found.by_key[old], found.unknown) == (2, 1)

    async def test_many_damaged_rows_do_not_fill_the_log(
        self, stored: Stored, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mesh.encryption.reencryption.NAMED", 10)
        await stored.fill(60)
        other = FieldCipher("z", {"z": b"z" * 32}, b"i" * 32)
        stored.take_over()
        stranger = Reencryptor(ENCRYPTED, other, stored.database)
        with capture_logs() as logs:
            tally = await stranger.walk()
        assert tally == Tally(damaged=120)
        assert len([entry for entry in logs if "associated_data" in entry]) == 10

    async def test_the_service_does_not_walk_for_ever_around_a_damaged_row(
        self, stored: Stored, rounds: list[None]
    ) -> None:
        await stored.fill(20)
        await stored.damage("owner-1", 1, stored.first.encode() + b":" + bytes(40))
        stored.take_over()
        with capture_logs() as logs:
            work = asyncio.ensure_future(stored.reencryptor().run())
            await more(rounds, 10)
            work.cancel()
        assert [entry["event"] for entry in logs].count("re-encrypted") == 1


class TestBackground:
    async def test_it_follows_the_key_and_then_idles(
        self, stored: Stored, rounds: list[None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await stored.fill(50)
        pages: list[int] = []
        real = EncryptedTable.page

        def page(self: EncryptedTable, *args: Any, **kwargs: Any) -> Any:
            pages.append(len(rounds))
            return real(self, *args, **kwargs)

        monkeypatch.setattr(EncryptedTable, "page", page)
        work = asyncio.ensure_future(stored.reencryptor().run())
        await more(rounds, 5)
        # One key: nothing can be older.
        assert pages == []
        for _ in range(2):
            new = stored.take_over()

            async def done(new: str = new) -> bool:
                return (await stored.used())[new] == 50 + 45 + 5

            await eventually(done)
            # It idles as soon as for many rounds no page is read.
            await eventually(lambda: len(rounds) - pages[-1] > 20)
        work.cancel()

    async def test_it_looks_again_when_no_replica_can_lag_any_longer(
        self, stored: Stored, rounds: list[None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A replica with a slow clock writes with the old key after the first walk."""
        monkeypatch.setattr("mesh.encryption.reencryption.QUIET_SECONDS", 3600)
        ahead = datetime.timedelta()
        await stored.fill(20)
        old = stored.first
        slow = FieldCipher(old, {old: stored.cipher.keys().keys[0].secret}, b"i" * 32)
        reencryptor = stored.reencryptor(clock=lambda: utc_now() + ahead)
        work = asyncio.ensure_future(reencryptor.run())
        stored.take_over()

        async def done() -> bool:
            return (await stored.used())[old] == 0

        await eventually(done)
        await more(rounds, 1)
        stored.expected["owner-1", 1]["body"] = b"late"
        await stored.damage(
            "owner-1", 1, slow.encrypt(b"late", note_place("owner-1", 1, "l1", "body"))
        )
        await more(rounds, 5)
        assert (await stored.used())[old] == 1
        ahead = datetime.timedelta(hours=1)
        await eventually(done)
        work.cancel()
        await stored.check()

    async def test_a_key_that_is_put_back_is_encrypted_over(
        self, stored: Stored, rounds: list[None]
    ) -> None:
        """A row from a backup needs a key that was removed since."""
        await stored.fill(20)
        old, restored = stored.first, await stored.body("owner-1", 1)
        before = json.loads(data_keys.file_of(stored.folder, SERVICE).read_bytes())
        new = stored.take_over()
        work = asyncio.ensure_future(stored.reencryptor().run())

        async def done() -> bool:
            return (await stored.used())[new] == 20 + 18 + 2

        await eventually(done)
        assert data_keys.remove(stored.folder, SERVICE, [old]) == [old]
        await more(rounds, 2)
        await stored.damage("owner-1", 1, restored)
        file = data_keys.file_of(stored.folder, SERVICE)
        document = json.loads(file.read_bytes())
        document["keys"][old] = before["keys"][old]
        write_private(file, json.dumps(document).encode())
        await eventually(done)
        assert (await stored.used())[old] == 0
        work.cancel()
        await stored.check()

    async def test_it_waits_for_a_database_that_is_gone(
        self, stored: Stored, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await stored.fill(20)
        old = stored.first
        down, tries = True, 0
        real = Database.read

        async def read(self: Database, work: Any) -> Any:
            nonlocal tries
            tries += 1
            if down:
                raise unavailable("the database does not answer", "DATABASE_UNAVAILABLE")
            return await real(self, work)

        monkeypatch.setattr(Database, "read", read)
        stored.take_over()
        with capture_logs() as logs:
            work = asyncio.ensure_future(stored.reencryptor().run())
            await eventually(lambda: tries > 2)
            assert not work.done()
            down = False

            async def done() -> bool:
                return (await stored.used())[old] == 0

            await eventually(done)
            work.cancel()
        assert logs[0]["reason"] == "DATABASE_UNAVAILABLE"
        await stored.check()

    async def test_progress_is_told(self, stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mesh.encryption.reencryption.PROGRESS_SECONDS", 0.0)
        await stored.fill(60)
        stored.take_over()
        with capture_logs() as logs:
            await stored.reencryptor().walk()
        reported = [entry["reencrypted"] for entry in logs if entry["event"] == "re-encrypting"]
        assert reported == sorted(reported)
        assert len(reported) > 5
