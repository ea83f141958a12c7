"""The numbers of a facility: now, a day, a week, and as a file."""

import datetime
from collections.abc import Mapping, Sequence

from google.api.httpbody_pb2 import HttpBody
from mediq.queue.v1 import queue_service_pb2 as requests

from mesh.errors import invalid
from mesh.rpc.pipeline import Context
from mesh.shared_state.cache import get_or_load
from queue_svc.domain.days import days_between, parse_day, week_until
from queue_svc.domain.numbers import DayPart, Tally
from queue_svc.domain.tickets import Queue
from queue_svc.messages import reports
from queue_svc.persistence.facility_queries import FacilityQueries
from queue_svc.servicers.base import ServicerBase

MOST_DAYS = 93
"""Days of one export."""
Days = dict[str, tuple[list[Queue], Mapping[int, Mapping[DayPart, Tally]]]]
"""Queues of a day and their numbers, by day."""


class Numbers(ServicerBase):
    """The RPCs that count."""

    async def GetQueueStats(
        self, request: requests.GetQueueStatsRequest, context: Context
    ) -> requests.QueueStats:
        institution_id = request.institution_id
        days, now = await self._days_of(institution_id), self._clock()

        def query(reader: FacilityQueries) -> bytes:
            queues = reader.queues(institution_id, days)
            moments = reader.moments(queues, now)
            tallies = reader.tallies(queues)
            return reports.now(
                institution_id, days[-1], queues, tallies, moments
            ).SerializeToString()

        async def load() -> bytes:
            return await self._look(institution_id, query)

        found = await get_or_load(
            self._dependencies.cache,
            institution_id,
            f"stats/{'/'.join(days)}",
            self._dependencies.copy_seconds,
            load,
        )
        return requests.QueueStats.FromString(found)

    async def GetDailyStats(
        self, request: requests.GetDailyStatsRequest, context: Context
    ) -> requests.DailyStats:
        day = await self._day(request.institution_id, "day", request.day)
        found = await self._numbers(request.institution_id, [day])
        return reports.daily(day, *found[day])

    async def GetWeeklyStats(
        self, request: requests.GetWeeklyStatsRequest, context: Context
    ) -> requests.WeeklyStats:
        last = await self._day(request.institution_id, "last_day", request.last_day)
        days = week_until(parse_day("last_day", last))
        return reports.weekly(await self._numbers(request.institution_id, days))

    async def ExportStats(self, request: requests.ExportStatsRequest, context: Context) -> HttpBody:
        first = await self._day(request.institution_id, "first_day", request.first_day)
        last = await self._day(request.institution_id, "last_day", request.last_day)
        start, end = parse_day("first_day", first), parse_day("last_day", last)
        if not start <= end < start + datetime.timedelta(days=MOST_DAYS):
            raise invalid("last_day", f"1 to {MOST_DAYS} days from first_day", "DAYS_INVALID")
        days = days_between(start, end)
        found = await self._numbers(request.institution_id, days, samples=False)
        return HttpBody(content_type="text/csv; charset=utf-8", data=reports.csv_document(found))

    async def _numbers(
        self, institution_id: str, days: Sequence[str], *, samples: bool = True
    ) -> Days:
        """Queues and numbers of each day."""

        def query(reader: FacilityQueries) -> Days:
            queues = reader.queues(institution_id, days)
            tallies = reader.tallies(queues, samples=samples)
            return {day: ([one for one in queues if one.day == day], tallies) for day in days}

        return await self._look(institution_id, query)
