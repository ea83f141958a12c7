"""Which columns of a service hold ciphertexts, and which data keys these need.

A service says it in its `mesh.registry.ServiceDefinition`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    CursorResult,
    FromClause,
    Row,
    Table,
    and_,
    case,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.orm import Session

__all__ = [
    "Change",
    "EncryptedColumn",
    "EncryptedTable",
    "Key",
    "Page",
    "Usage",
    "encrypted_tables",
    "usage",
]

Key = tuple[Any, ...]
"""Values of a primary key."""


@dataclass(frozen=True)
class EncryptedColumn:
    """Describes a column that holds ciphertexts of `FieldCipher.encrypt`, or NULL."""

    table: FromClause
    """`Model.__table__`, or a `Table`; it has a primary key."""
    name: str
    """Name of the column."""
    associated_data: Callable[[Row[Any]], str]
    """Gives what the ciphertext of a row is bound to, from all columns of the row."""


@dataclass(frozen=True)
class Usage:
    """Counts how many ciphertexts need which key."""

    by_key: Mapping[str, int]
    """Ciphertexts by identifier of their key."""
    unknown: int
    """Values that begin with none of these identifiers."""


def usage(session: Session, columns: Sequence[EncryptedColumn], key_ids: Sequence[str]) -> Usage:
    """Counts the ciphertexts. It reads every row.

    Args:
        session: The unit of work.
        columns: What the service declares.
        key_ids: The keys to count for.
    """
    by_key = Counter(dict.fromkeys(key_ids, 0))
    unknown = 0
    for one in columns:
        column = one.table.c[one.name]
        sums = (
            func.coalesce(func.sum(case((_begins_with(column, key_id), 1), else_=0)), 0)
            for key_id in key_ids
        )
        total, *counts = session.execute(select(func.count(column), *sums)).one()
        by_key.update({key_id: int(count) for key_id, count in zip(key_ids, counts, strict=True)})
        unknown += total - sum(int(count) for count in counts)
    return Usage(dict(by_key), unknown)


@dataclass(frozen=True)
class Page:
    """Holds some rows of a table in the order of its primary key."""

    last: Key | None
    """Where the next page begins; None when there was no row."""
    stale: Sequence[Key]
    """Rows with a ciphertext of another key."""


@dataclass(frozen=True)
class Change:
    """Holds the new ciphertexts of one row."""

    key: Key
    values: Mapping[str, tuple[bytes, bytes]]
    """The old and the new ciphertext by column."""


@dataclass(frozen=True)
class EncryptedTable:
    """Reads and changes a table with all its encrypted columns."""

    table: Table
    columns: Sequence[EncryptedColumn]

    @cached_property
    def primary_key(self) -> Sequence[Column[Any]]:
        """Returns the columns of the primary key."""
        return tuple(self.table.primary_key)

    def page(self, session: Session, after: Key | None, key_id: str, limit: int) -> Page:
        """Returns the rows that follow in the order of the primary key.

        Args:
            session: The unit of work.
            after: The last row that was seen; None begins.
            key_id: The key that ciphertexts should have.
            limit: Most rows.
        """
        encrypted = [self.table.c[one.name] for one in self.columns]
        stale = or_(*(column.is_not(None) & ~_begins_with(column, key_id) for column in encrypted))
        rows = session.execute(
            select(*self.primary_key, case((stale, 1), else_=0))
            .where(true() if after is None else _after(self.primary_key, after))
            .order_by(*self.primary_key)
            .limit(limit)
        ).all()
        return Page(
            last=tuple(rows[-1][:-1]) if rows else None,
            stale=[tuple(row[:-1]) for row in rows if row[-1]],
        )

    def rows(self, session: Session, keys: Sequence[Key]) -> Sequence[Row[Any]]:
        """Returns whole rows, by primary key; those that are gone are left out."""
        return session.execute(select(self.table).where(self._among(keys))).all()

    def key_of(self, row: Row[Any]) -> Key:
        """Returns the primary key of a whole row."""
        return tuple(row._mapping[column] for column in self.primary_key)

    def replace(self, session: Session, changes: Sequence[Change]) -> Sequence[Key]:
        """Changes rows that still hold the old ciphertexts and that nobody else has locked.

        Returns:
            The rows that were changed.
        """
        # It never waits for a lock while it holds others: no unit of work waits long for this one.
        free = session.execute(
            select(*self.primary_key)
            .where(self._among([change.key for change in changes]))
            .with_for_update(skip_locked=True)
        )
        unlocked = {tuple(row) for row in free}
        changed: list[Key] = []
        for change in changes:
            if change.key not in unlocked:
                continue
            # Not (a, b) IN ...: an update with it reads the whole index of MariaDB.
            row = zip(self.primary_key, change.key, strict=True)
            old = ((self.table.c[name], value) for name, (value, _) in change.values.items())
            done = session.execute(
                update(self.table)
                .where(*(column == value for column, value in (*row, *old)))
                .values({name: value for name, (_, value) in change.values.items()})
            )
            assert isinstance(done, CursorResult)
            if done.rowcount == 1:
                changed.append(change.key)
        return changed

    def _among(self, keys: Sequence[Key]) -> ColumnElement[bool]:
        if len(self.primary_key) == 1:
            return self.primary_key[0].in_([key[0] for key in keys])
        return tuple_(*self.primary_key).in_(keys)


def encrypted_tables(columns: Sequence[EncryptedColumn]) -> Sequence[EncryptedTable]:
    """Returns the declared columns, table by table."""
    by_table: dict[Table, list[EncryptedColumn]] = {}
    for one in columns:
        assert isinstance(one.table, Table)
        by_table.setdefault(one.table, []).append(one)
    return [EncryptedTable(table, ones) for table, ones in by_table.items()]


def _begins_with(column: ColumnElement[Any], key_id: str) -> ColumnElement[bool]:
    prefix = f"{key_id}:".encode()
    return func.substr(column, 1, len(prefix)) == literal(prefix)


def _after(columns: Sequence[Column[Any]], key: Key) -> ColumnElement[bool]:
    # Not (a, b) > (x, y): MySQL and MariaDB read the whole index for that.
    later: ColumnElement[bool] = false()
    for column, value in reversed(list(zip(columns, key, strict=True))):
        later = or_(column > value, and_(column == value, later))
    return and_(columns[0] >= key[0], later)
