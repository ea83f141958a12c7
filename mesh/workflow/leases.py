"""Rows whose steps are done under a lease: one process at a time, and another one after a crash."""

import datetime
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from sqlalchemy import CursorResult, String, Update, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from mesh.persistence.database import UtcDateTime

__all__ = [
    "Item",
    "LeaseRepository",
    "LeasedItem",
    "LeasedRow",
    "changes_a_row",
]


class LeasedRow:
    """Gives a model the columns that a lease needs."""

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int]
    next_attempt_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())
    lease_owner: Mapped[str] = mapped_column(String(36))
    lease_until: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime())
    update_time: Mapped[datetime.datetime] = mapped_column(UtcDateTime())


class LeasedItem(Protocol):
    """Describes what the kit asks of a row in the form that a service's rules know."""

    @property
    def id(self) -> str:
        """Identifies the row."""
        ...

    @property
    def state(self) -> str:
        """Says how far it has come."""
        ...

    @property
    def attempts(self) -> int:
        """Counts the tries of the present step that failed."""
        ...

    def is_unfinished(self) -> bool:
        """Returns whether a step can be done now."""
        ...

    def is_leased(self, now: datetime.datetime) -> bool:
        """Returns whether a process works on it."""
        ...


Row = TypeVar("Row", bound=LeasedRow)
Item = TypeVar("Item", bound=LeasedItem)
"""A row in the form that a service's rules know."""


def changes_a_row(session: Session, statement: Update) -> bool:
    """Runs an update and returns whether it found a row."""
    result = session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount > 0


class LeaseRepository(ABC, Generic[Row, Item]):
    """Reads, leases and changes the rows of one table in one unit of work."""

    def __init__(self, session: Session, table: type[Row], unfinished: Sequence[str]) -> None:
        """Works in `session`.

        Args:
            session: The unit of work.
            table: The model.
            unfinished: States in which a step can be done.
        """
        self._session = session
        self._table = table
        self._unfinished = unfinished

    @abstractmethod
    def _item(self, row: Row) -> Item:
        """Returns the row as the rules know it."""

    def get(self, item_id: str) -> Item:
        """Returns a row that exists.

        Raises:
            NoResultFound: It does not.
        """
        return self._item(self._session.get_one(self._table, item_id))

    def due(self, now: datetime.datetime, limit: int) -> Sequence[str]:
        """Returns rows with a step to do that nobody works on, longest waiting first."""
        table = self._table
        return self._session.scalars(
            select(table.id)
            .where(
                table.state.in_(self._unfinished),
                table.next_attempt_time <= now,
                or_(table.lease_until.is_(None), table.lease_until <= now),
            )
            .order_by(table.next_attempt_time)
            .limit(limit)
        ).all()

    def claim(
        self, item_id: str, owner: str, now: datetime.datetime, until: datetime.datetime
    ) -> Item | None:
        """Leases a row for one step, or renews the lease.

        Args:
            item_id: The row.
            owner: Who works on it.
            now: The time.
            until: End of the lease.

        Returns:
            The row; None when there is no step to do or another one has the lease.
        """
        table = self._table
        claimed = changes_a_row(
            self._session,
            update(table)
            .where(
                table.id == item_id,
                table.state.in_(self._unfinished),
                or_(
                    table.lease_owner == owner,
                    table.lease_until.is_(None),
                    table.lease_until <= now,
                ),
            )
            .values(lease_owner=owner, lease_until=until),
        )
        return self.get(item_id) if claimed else None

    def reschedule(
        self,
        item_id: str,
        owner: str,
        next_attempt_time: datetime.datetime,
        now: datetime.datetime,
    ) -> None:
        """Counts a try that failed and ends the lease."""
        self._session.execute(
            self._owned(item_id, owner, now).values(
                attempts=self._table.attempts + 1,
                next_attempt_time=next_attempt_time,
                lease_owner="",
                lease_until=None,
            )
        )

    def release(self, item_id: str, owner: str, now: datetime.datetime) -> None:
        """Ends the lease of a step that was not finished: another process may go on at once."""
        self._session.execute(
            self._owned(item_id, owner, now).values(
                next_attempt_time=now, lease_owner="", lease_until=None
            )
        )

    def _owned(self, item_id: str, owner: str, now: datetime.datetime) -> Update:
        """Begins a change by the owner of the lease; who lost it changes nothing."""
        table = self._table
        return (
            update(table)
            .where(
                table.id == item_id,
                table.lease_owner == owner,
                table.state.in_(self._unfinished),
            )
            .values(update_time=now)
        )
