"""The numbers of queues, kept up to date by the changes themselves.

A change adds to a few rows in its own transaction, under the lock of its queue. So reading the
numbers never counts tickets, and they are right at once.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from queue_svc.domain.numbers import COUNTS, DayPart, Sample, Tally, effects
from queue_svc.domain.quantiles import bucket_of
from queue_svc.domain.states import Priority
from queue_svc.domain.tickets import Ticket
from queue_svc.persistence.models import RollupRow, RollupSampleRow

_Key = tuple[int, int, int, str]
"""Queue, hour, priority and counter."""


def _adding(table: Any, added: Sequence[str], replaced: Sequence[str]) -> tuple[Any, Any]:
    """Returns statements that add to rows or make them, for SQLite and for MySQL and MariaDB."""
    lite, more = sqlite.insert(table), mysql.insert(table)
    columns = table.c
    return (
        lite.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={
                **{name: columns[name] + lite.excluded[name] for name in added},
                **{name: lite.excluded[name] for name in replaced},
            },
        ),
        more.on_duplicate_key_update(
            {
                **{name: columns[name] + more.inserted[name] for name in added},
                **{name: more.inserted[name] for name in replaced},
            }
        ),
    )


_ADD_COUNTS = _adding(RollupRow.__table__, COUNTS, ["counter_name"])
_ADD_SAMPLES = _adding(RollupSampleRow.__table__, ["count"], [])


class Rollups:
    """Collects what the changes of one unit of work add to the numbers."""

    def __init__(self, session: Session) -> None:
        """Writes in `session`."""
        self._session = session
        self._counts: dict[_Key, Counter[str]] = defaultdict(Counter)
        self._names: dict[_Key, str] = {}
        self._samples: Counter[tuple[_Key, Sample, int]] = Counter()

    def add(self, queue_id: int, before: Ticket | None, after: Ticket) -> None:
        """Collects what a change adds.

        Args:
            queue_id: The queue of the ticket, whose row is locked.
            before: The ticket before; None when it is new.
            after: The ticket after.
        """
        for effect in effects(before, after):
            part = effect.part
            key = queue_id, part.hour, int(part.priority), part.counter_id
            for name, count in effect.counts.items():
                self._counts[key][name] += effect.sign * count
            self._names[key] = part.counter_name
            for sample, value in effect.samples.items():
                self._samples[key, sample, bucket_of(value)] += effect.sign

    def flush(self) -> None:
        """Writes what was collected, in at most two statements and one order everywhere."""
        rows = [
            {
                **_key_values(key),
                "counter_name": self._names[key],
                **{name: counts[name] for name in COUNTS},
            }
            for key, counts in sorted(self._counts.items())
            if any(counts.values())
        ]
        samples = [
            {**_key_values(key), "sample": int(sample), "bucket": bucket, "count": count}
            for (key, sample, bucket), count in sorted(self._samples.items())
            if count
        ]
        on_server = self._session.get_bind().dialect.name != "sqlite"
        # The driver sends the rows of one execution as one statement. Rows in the statement itself
        # would do the same, but it would be compiled each time: ten times slower.
        if rows:
            self._session.execute(_ADD_COUNTS[on_server], rows)
        if samples:
            self._session.execute(_ADD_SAMPLES[on_server], samples)
        self._counts.clear()
        self._names.clear()
        self._samples.clear()


def tallies(
    session: Session, queue_ids: Collection[int], *, samples: bool = True
) -> dict[int, dict[DayPart, Tally]]:
    """Returns the numbers of queues, by queue and part.

    Args:
        session: The unit of work.
        queue_ids: The queues.
        samples: Whether quantiles are asked for: the measured times are most of the rows.
    """
    found: dict[int, dict[DayPart, Tally]] = {queue_id: {} for queue_id in queue_ids}
    counted = select(RollupRow.__table__).where(RollupRow.queue_id.in_(queue_ids))
    for row in session.execute(counted).mappings():
        part = DayPart(
            row["hour"], Priority(row["priority"]), row["counter_id"], row["counter_name"]
        )
        tally = found[row["queue_id"]][part] = Tally()
        tally.counts.update({name: row[name] for name in COUNTS})
    if not samples:
        return found
    sample = RollupSampleRow
    measured = select(
        *(sample.queue_id, sample.hour, sample.priority, sample.counter_id),
        *(sample.sample, sample.bucket, sample.count),
    ).where(sample.queue_id.in_(queue_ids), sample.count != 0)
    for queue_id, hour, priority, counter_id, kind, bucket, count in session.execute(measured):
        part = DayPart(hour, Priority(priority), counter_id)
        found[queue_id][part].samples[Sample(kind)][bucket] = count
    return found


def _key_values(key: _Key) -> dict[str, Any]:
    queue_id, hour, priority, counter_id = key
    return {"queue_id": queue_id, "hour": hour, "priority": priority, "counter_id": counter_id}
