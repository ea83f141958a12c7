"""The numbers of queues, kept up to date by the changes themselves.

A change adds to a few rows in its own transaction, under the lock of its queue. So reading the
numbers never counts tickets, and they are right at once.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from queue_svc.domain.numbers import COUNTS, Part, Sample, Tally, effects
from queue_svc.domain.quantiles import bucket_of
from queue_svc.domain.states import Priority
from queue_svc.domain.tickets import Ticket
from queue_svc.models import RollupRow, RollupSampleRow

_Key = tuple[int, int, int, str]
"""Queue, hour, class and counter."""


class Rollups:
    """What the changes of one unit of work add to the numbers."""

    def __init__(self, session: Session) -> None:
        """Writes in `session`."""
        self._session = session
        self._counts: dict[_Key, Counter[str]] = defaultdict(Counter)
        self._names: dict[_Key, str] = {}
        self._samples: Counter[tuple[_Key, Sample, int]] = Counter()

    def add(self, queue_id: int, before: Ticket | None, after: Ticket) -> None:
        """Remembers what a change adds.

        Args:
            queue_id: The queue of the ticket, whose row is locked.
            before: The ticket before; None when it is new.
            after: The ticket after.
        """
        for effect in effects(before, after):
            part = effect.part
            key = queue_id, part.hour, int(part.priority), part.counter_id
            for name, count in effect.counts.items():
                self._counts[key][name] += count
            self._names[key] = part.counter_name
            for sample, value in effect.samples.items():
                self._samples[key, sample, bucket_of(value)] += effect.sign

    def flush(self) -> None:
        """Writes what was remembered, in one order everywhere."""
        rows = [
            {
                **_key_values(key),
                "counter_name": self._names[key],
                **{name: counts[name] for name in COUNTS},
            }
            for key, counts in sorted(self._counts.items())
        ]
        self._upsert(RollupRow.__table__, rows, COUNTS)
        samples = [
            {**_key_values(key), "sample": int(sample), "bucket": bucket, "count": count}
            for (key, sample, bucket), count in sorted(self._samples.items())
            if count
        ]
        self._upsert(RollupSampleRow.__table__, samples, ("count",))
        self._counts.clear()
        self._samples.clear()

    def _upsert(self, table: Any, rows: Sequence[dict[str, Any]], added: Sequence[str]) -> None:
        """Inserts rows, or adds their numbers to those that are there."""
        assert isinstance(table, Table)
        if not rows:
            return
        if self._session.get_bind().dialect.name == "sqlite":
            lite = sqlite.insert(table).values(rows)
            sums = {name: table.c[name] + lite.excluded[name] for name in added}
            keys = list(table.primary_key.columns)
            self._session.execute(lite.on_conflict_do_update(index_elements=keys, set_=sums))
        else:
            more = mysql.insert(table).values(rows)
            sums = {name: table.c[name] + more.inserted[name] for name in added}
            self._session.execute(more.on_duplicate_key_update(sums))


def tallies(session: Session, queue_ids: Collection[int]) -> dict[int, dict[Part, Tally]]:
    """The numbers of queues, by queue and part.

    Args:
        session: The unit of work.
        queue_ids: The queues.
    """
    found: dict[int, dict[Part, Tally]] = {queue_id: {} for queue_id in queue_ids}
    counts = select(RollupRow).where(RollupRow.queue_id.in_(queue_ids))
    for row in session.scalars(counts):
        part = Part(row.hour, Priority(row.priority), row.counter_id, row.counter_name)
        tally = found[row.queue_id][part] = Tally()
        tally.counts.update({name: getattr(row, name) for name in COUNTS})
    sample = RollupSampleRow
    samples = select(
        *(sample.queue_id, sample.hour, sample.priority, sample.counter_id),
        *(sample.sample, sample.bucket, sample.count),
    ).where(sample.queue_id.in_(queue_ids), sample.count != 0)
    for queue_id, hour, priority, counter_id, kind, bucket, count in session.execute(samples):
        part = Part(hour, Priority(priority), counter_id)
        found[queue_id][part].samples[Sample(kind)][bucket] = count
    return found


def _key_values(key: _Key) -> dict[str, Any]:
    queue_id, hour, priority, counter_id = key
    return {"queue_id": queue_id, "hour": hour, "priority": priority, "counter_id": counter_id}
