"""The use cases that count: a facility now, a day, a week, and as a file."""

import datetime
from collections.abc import Sequence
from functools import partial

from mediq.queue.v1 import report_service_pb2 as requests

from mesh.clock import Clock
from mesh.errors import invalid
from mesh.shared_state.cache import Cache, get_or_load
from queue_svc.application.facility_directory import FacilityDirectory
from queue_svc.application.unit_of_work import UnitsOfWork
from queue_svc.domain.days import days_between, parse_day, week_until
from queue_svc.messages import reports
from queue_svc.persistence.facility_queries import FacilityQueries

MOST_DAYS = 93
"""Days of one export."""


class Reports:
    """Reads the numbers of facilities."""

    def __init__(
        self,
        units: UnitsOfWork,
        directory: FacilityDirectory,
        cache: Cache,
        clock: Clock,
        cache_seconds: float,
    ) -> None:
        """Reads in units of work.

        Args:
            units: Opens the queues.
            directory: Gives the days of facilities.
            cache: Keeps numbers.
            clock: Gives the time.
            cache_seconds: Longest use of cached numbers, in seconds.
        """
        self._units = units
        self._directory = directory
        self._cache = cache
        self._clock = clock
        self._cache_seconds = cache_seconds

    async def now(self, institution_id: str) -> requests.QueueStats:
        """Returns the numbers of a facility now, which may be cached.

        Raises:
            MeshError: As `Facilities.facts`.
        """
        days, now = await self._directory.active_days(institution_id), self._clock()
        found = await get_or_load(
            self._cache,
            institution_id,
            f"stats/{'/'.join(days)}",
            self._cache_seconds,
            partial(self._load_now, institution_id, days, now),
        )
        return requests.QueueStats.FromString(found)

    async def daily(self, institution_id: str, day: str) -> requests.DailyStats:
        """Returns the numbers of a day; today when it is empty.

        Raises:
            MeshError: DAY_INVALID, or as `Facilities.facts`.
        """
        day = await self._directory.day_asked(institution_id, "day", day)
        found = await self._numbers(institution_id, [day])
        return reports.daily(day, *found[day])

    async def weekly(self, institution_id: str, last_day: str) -> requests.WeeklyStats:
        """Returns the numbers of the seven days that end on a day; today when it is empty.

        Raises:
            MeshError: DAY_INVALID, or as `Facilities.facts`.
        """
        last = await self._directory.day_asked(institution_id, "last_day", last_day)
        days = week_until(parse_day("last_day", last))
        return reports.weekly(await self._numbers(institution_id, days))

    async def export(self, institution_id: str, first_day: str, last_day: str) -> bytes:
        """Returns the numbers of some days as CSV; an empty day is today.

        Raises:
            MeshError: DAY_INVALID, DAYS_INVALID, or as `Facilities.facts`.
        """
        first = await self._directory.day_asked(institution_id, "first_day", first_day)
        last = await self._directory.day_asked(institution_id, "last_day", last_day)
        start, end = parse_day("first_day", first), parse_day("last_day", last)
        if not start <= end < start + datetime.timedelta(days=MOST_DAYS):
            raise invalid("last_day", f"1 to {MOST_DAYS} days from first_day", "DAYS_INVALID")
        days = days_between(start, end)
        return reports.csv_document(await self._numbers(institution_id, days, samples=False))

    async def _load_now(
        self, institution_id: str, days: Sequence[str], now: datetime.datetime
    ) -> bytes:
        found = await self._units.read_facility(
            institution_id, query_stats, institution_id, days, now
        )
        return found.SerializeToString()

    async def _numbers(
        self, institution_id: str, days: Sequence[str], *, samples: bool = True
    ) -> reports.Days:
        return await self._units.read_facility(
            institution_id, query_numbers, institution_id, days, samples=samples
        )


def query_stats(
    queries: FacilityQueries,
    institution_id: str,
    days: Sequence[str],
    now: datetime.datetime,
) -> requests.QueueStats:
    """Reads the numbers of a facility now."""
    queues = queries.queues(institution_id, days)
    moments = queries.moments(queues, now)
    tallies = queries.tallies(queues)
    return reports.now(institution_id, days[-1], queues, tallies, moments)


def query_numbers(
    queries: FacilityQueries, institution_id: str, days: Sequence[str], *, samples: bool
) -> reports.Days:
    """Reads the queues and numbers of each day."""
    queues = queries.queues(institution_id, days)
    tallies = queries.tallies(queues, samples=samples)
    return {day: ([one for one in queues if one.day == day], tallies) for day in days}
