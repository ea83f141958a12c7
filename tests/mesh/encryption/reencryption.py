"""Encrypted rows of tables that only tests have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import (
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Session

from mesh.clock import Clock, utc_now
from mesh.encryption import data_keys
from mesh.encryption.encrypted_columns import EncryptedColumn, usage
from mesh.encryption.field_cipher import FieldCipher
from mesh.encryption.reencryption import Reencryptor
from mesh.persistence.database import Database
from tests.support.encrypted import await_turn

SERVICE = "user_svc"
SECRET = "3201010101010001"
METADATA = MetaData()
NOTES = Table(
    "notes",
    METADATA,
    Column("owner", String(36), primary_key=True),
    Column("number", Integer(), primary_key=True, autoincrement=False),
    Column("label", String(20), nullable=False),
    Column("body", LargeBinary(1024)),
    Column("extra", LargeBinary(1024)),
)
CARDS = Table(
    "cards",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("content", LargeBinary(1024), nullable=False),
)


def note_place(owner: str, number: int, label: str, name: str) -> str:
    return f"notes/{owner}/{number}/{label}/{name}"


def of_note(name: str, row: Row[Any]) -> str:
    # The label is no part of the primary key: a place may come from any column.
    return note_place(row.owner, row.number, row.label, name)


ENCRYPTED = (
    EncryptedColumn(NOTES, "body", partial(of_note, "body")),
    EncryptedColumn(NOTES, "extra", partial(of_note, "extra")),
    EncryptedColumn(CARDS, "content", lambda row: f"cards/{row.id}"),
)


@dataclass
class Stored:
    """A database with encrypted rows, its key folder, and what each value must be."""

    database: Database
    folder: Path
    cipher: FieldCipher
    expected: dict[tuple[str, int], dict[str, bytes | None]] = field(default_factory=dict)
    cards: dict[str, bytes] = field(default_factory=dict)

    @property
    def first(self) -> str:
        return self.cipher.keys().keys[0].key_id

    async def fill(self, rows: int) -> None:
        """Adds notes, every tenth without an extra, and a few cards."""

        def add(session: Session) -> None:
            for index in range(rows):
                owner, number, label = f"owner-{index % 7}", index, f"l{index % 3}"
                values: dict[str, bytes | None] = {
                    "body": f"{SECRET} {index}".encode(),
                    "extra": None if index % 10 == 0 else f"extra {index}".encode(),
                }
                self.expected[owner, number] = values
                session.execute(
                    insert(NOTES).values(
                        owner=owner,
                        number=number,
                        label=label,
                        **{
                            name: plain
                            and self.cipher.encrypt(plain, note_place(owner, number, label, name))
                            for name, plain in values.items()
                        },
                    )
                )
            for index in range(rows // 10):
                key = str(uuid4())
                self.cards[key] = f"card {index}".encode()
                encrypted = self.cipher.encrypt(self.cards[key], f"cards/{key}")
                session.execute(insert(CARDS).values(id=key, content=encrypted))

        await self.database.write(add)

    def take_over(self, after: float = 0) -> str:
        """A new key, once it encrypts."""
        added = data_keys.rotate(self.folder, SERVICE, after)
        return (added if after else await_turn(added)).key_id

    def reencryptor(self, cipher: FieldCipher | None = None, clock: Clock = utc_now) -> Reencryptor:
        return Reencryptor(ENCRYPTED, cipher or self.cipher, self.database, clock=clock)

    async def used(self) -> dict[str, int]:
        """Ciphertexts by key."""
        ids = [key.key_id for key in self.cipher.keys().keys]
        found = await self.database.read(lambda session: usage(session, ENCRYPTED, ids))
        assert found.unknown == 0
        return dict(found.by_key)

    async def check(self, cipher: FieldCipher | None = None) -> None:
        """Every value is the one that was written last."""
        reader = cipher or self.cipher
        rows = await self.database.read(lambda session: session.execute(select(NOTES)).all())
        assert {(row.owner, row.number) for row in rows} == set(self.expected)
        for row in rows:
            for name, plain in self.expected[row.owner, row.number].items():
                encrypted = row._mapping[name]
                assert (encrypted is None) == (plain is None)
                if plain is not None:
                    assert reader.decrypt(encrypted, of_note(name, row)) == plain
        cards = await self.database.read(lambda session: session.execute(select(CARDS)).all())
        assert {row.id: reader.decrypt(row.content, f"cards/{row.id}") for row in cards} == (
            self.cards
        )

    async def damage(self, owner: str, number: int, encrypted: bytes) -> None:
        await self.database.write(
            lambda session: session.execute(
                update(NOTES)
                .where(NOTES.c.owner == owner, NOTES.c.number == number)
                .values(body=encrypted)
            )
        )

    async def body(self, owner: str, number: int) -> bytes:
        query = select(NOTES.c.body).where(NOTES.c.owner == owner, NOTES.c.number == number)
        found = await self.database.read(lambda session: session.execute(query).scalar_one())
        assert isinstance(found, bytes)
        return found


@pytest.fixture
async def stored(
    quick_reencryption: None, database_url: str, tmp_path: Path
) -> AsyncIterator[Stored]:
    folder = tmp_path / "keys"
    data_keys.ensure_data_key(folder, SERVICE)
    database = Database(database_url)
    METADATA.create_all(database.engine)
    yield Stored(database, folder, FieldCipher.load(folder, SERVICE))
    await database.close()
