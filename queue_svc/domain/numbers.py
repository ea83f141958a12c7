"""What is counted and measured of a queue's day, and what each change adds to it."""

import datetime
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from zoneinfo import ZoneInfo

from queue_svc.domain.quantiles import quantile
from queue_svc.domain.states import SERVED, Priority, Status
from queue_svc.domain.tickets import Ticket

TEN_MINUTES_MS = 600_000


class Sample(IntEnum):
    """Names a time that is measured."""

    WAIT = 1
    """From issue to first call."""
    SERVICE = 2
    """From start to end of service."""
    ERROR = 3
    """Between the wait that a patient was told and the real one."""


@dataclass(frozen=True)
class DayPart:
    """Names a part of a queue's day."""

    hour: int
    """Facility-local hour in which it happened, 0 to 23."""
    priority: Priority
    counter_id: str
    """Counter that acted; empty when none did."""
    counter_name: str = field(default="", compare=False)
    """Its name when it acted last: a counter stays the same under a new name."""


@dataclass(frozen=True)
class Effect:
    """Holds what a change adds to the numbers of one part, or takes back."""

    part: DayPart
    counts: Mapping[str, int]
    """By name of a count or a sum of `Tally`."""
    samples: Mapping[Sample, int]
    """Measured times, in milliseconds."""
    sign: int = 1
    """-1 takes the counts and samples back."""

    @property
    def taken_back(self) -> "Effect":
        """Returns what undoes it."""
        return replace(self, sign=-self.sign)


COUNTS = (
    *("issued", "called", "done", "no_show", "cancelled", "transferred", "within_standard"),
    *("wait_ms", "service_ms", "compared", "within_ten_minutes", "under_upper_bound"),
)
"""The counts and sums."""
_ENDS = {
    Status.DONE: "done",
    Status.NO_SHOW: "no_show",
    Status.CANCELLED: "cancelled",
    Status.TRANSFERRED: "transferred",
}


@dataclass
class Tally:
    """Counts, sums and measured times."""

    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[Sample, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    """How many values are in each bucket, see `quantiles`."""

    @classmethod
    def total(cls, tallies: Iterable["Tally"]) -> "Tally":
        """Adds up several."""
        whole = cls()
        for one in tallies:
            whole.counts.update(one.counts)
            for sample, buckets in one.samples.items():
                whole.samples[sample].update(buckets)
        return whole

    @property
    def mean_wait_ms(self) -> int | None:
        """Returns the mean time from issue to first call; None when nobody was called."""
        return _mean(self.counts["wait_ms"], self.counts["called"])

    @property
    def mean_service_ms(self) -> int | None:
        """Returns the mean time of service; None when nobody was served."""
        return _mean(self.counts["service_ms"], self.counts["done"] + self.counts["transferred"])

    def quantile_ms(self, sample: Sample, share: float) -> int | None:
        """Returns the time that a share of the measured ones does not pass; None without any."""
        found = quantile(self.samples.get(sample, {}), share)
        return None if found is None else round(found)

    @property
    def empty(self) -> bool:
        """Returns whether nothing is counted."""
        return not any(self.counts.values())


@dataclass(frozen=True)
class Moment:
    """Describes what a service looks like now."""

    in_service: int
    """Tickets that a counter holds."""
    open_counters: int
    """Counters that called recently."""
    longest_wait_seconds: float | None
    """How long the oldest waiting ticket has waited; None when nobody waits."""


def effects(before: Ticket | None, after: Ticket) -> list[Effect]:
    """Returns what one change adds to the numbers, or takes back.

    Each thing counts in the facility-local hour in which it happened, for the counter that acted
    and for the priority at that moment. Only a first call goes with its ticket: it counts for the
    priority and the counter that the ticket has now, for no counter while the patient waits again.
    The ticket does not keep who called it first, so a call could not be taken back otherwise.

    Args:
        before: The ticket before; None when it is new.
        after: The ticket after.
    """
    found: list[Effect] = []
    if before is None:
        found.append(Effect(_part(after, after.create_time), {"issued": 1}, {}))
    called_before, called = _called(before), _called(after)
    if called_before != called:
        if called_before is not None:
            found.append(called_before.taken_back)
        if called is not None:
            found.append(called)
    if before is not None and before.open and after.close_time is not None:
        samples = {}
        counts = {_ENDS[after.status]: 1}
        if after.status in SERVED and after.service_ms is not None:
            counts["service_ms"] = after.service_ms
            samples[Sample.SERVICE] = after.service_ms
        found.append(Effect(_part(after, after.close_time, at_counter=True), counts, samples))
    return found


def _called(ticket: Ticket | None) -> Effect | None:
    """Returns the first call of a ticket; None before it."""
    if ticket is None or ticket.wait_ms is None:
        return None
    wait_ms = ticket.wait_ms
    # Not call_time: that is the last call.
    moment = ticket.create_time + datetime.timedelta(milliseconds=wait_ms)
    standard_ms = ticket.queue.service.standard_minutes * 60_000
    counts = {"called": 1, "wait_ms": wait_ms, "within_standard": int(wait_ms <= standard_ms)}
    samples = {Sample.WAIT: wait_ms}
    if ticket.prediction is not None:
        error = abs(wait_ms - ticket.prediction.wait_ms)
        counts["compared"] = 1
        counts["within_ten_minutes"] = int(error <= TEN_MINUTES_MS)
        counts["under_upper_bound"] = int(wait_ms <= ticket.prediction.high_ms)
        samples[Sample.ERROR] = error
    return Effect(_part(ticket, moment, at_counter=True), counts, samples)


def _part(ticket: Ticket, moment: datetime.datetime, *, at_counter: bool = False) -> DayPart:
    hour = moment.astimezone(ZoneInfo(ticket.queue.service.time_zone)).hour
    counter = ticket.counter if at_counter else None
    if counter is None:
        return DayPart(hour, ticket.priority, "")
    return DayPart(hour, ticket.priority, counter.id, counter.name)


def _mean(total: int, count: int) -> int | None:
    return round(total / count) if count else None
