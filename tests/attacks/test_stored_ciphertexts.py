"""Ciphertexts of the running mesh, put where they do not belong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.persistence.database import make_engine
from mesh.registry import service_definition, services_with_encrypted_columns
from tests.attacks.world import World

pytestmark = pytest.mark.model
ROWS = 20
"""Of each column."""
FILLED = {
    ("user_svc", "users", "nik"),
    ("user_svc", "users", "nama"),
    ("user_svc", "idempotency", "answer"),
    ("user_svc", "audit_entries", "payload"),
    ("ocr_svc", "drafts", "reading"),
    ("queue_svc", "idempotency", "answer"),
    ("institution_svc", "idempotency", "answer"),
}
"""Columns that the world alone has filled."""


def stored(world: World, service: str) -> Iterator[tuple[str, str, str, bytes]]:
    """Table, column, associated data and ciphertext of what a service has stored."""
    engine = make_engine(f"sqlite:///{world.home / 'data' / service}.db", 1)
    with engine.connect() as connection:
        for one in service_definition(service).encrypted_columns:
            column = one.table.c[one.name]
            wanted = select(one.table).where(column.is_not(None)).limit(ROWS)
            for row in connection.execute(wanted):
                yield str(one.table), one.name, one.associated_data(row), row._mapping[column]
    engine.dispose()


@pytest.mark.parametrize("service", services_with_encrypted_columns())
def test_each_opens_in_its_own_row_only(world: World, service: str) -> None:
    cipher = FieldCipher.load(world.home / "keys", service)
    found = list(stored(world, service))
    assert {(service, table, name) for table, name, _, _ in found} >= {
        one for one in FILLED if one[0] == service
    }
    bound = defaultdict(list)
    for table, name, associated_data, ciphertext in found:
        bound[table, name].append(associated_data)
        cipher.decrypt(ciphertext, associated_data)
    for table, name, associated_data, ciphertext in found:
        # Another row of the column, and another column.
        others = [one for one in bound[table, name] if one != associated_data][:3]
        others += [ones[0] for column, ones in bound.items() if column != (table, name)]
        for other in {*others} - {associated_data}:
            with pytest.raises(DecryptionError):
                cipher.decrypt(ciphertext, other)


@pytest.mark.parametrize("service", services_with_encrypted_columns())
def test_services_do_not_open_what_others_have_encrypted(world: World, service: str) -> None:
    for other in services_with_encrypted_columns():
        if other != service:
            cipher = FieldCipher.load(world.home / "keys", other)
            _, _, associated_data, ciphertext = next(stored(world, service))
            with pytest.raises(DecryptionError):
                cipher.decrypt(ciphertext, associated_data)


def test_the_same_text_is_never_encrypted_the_same(world: World) -> None:
    """A random nonce for each: what is equal does not show."""
    found = [ciphertext for _, _, _, ciphertext in stored(world, "user_svc")]
    assert len(found) > ROWS
    assert len(set(found)) == len(found)
