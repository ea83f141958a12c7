"""The RPCs that count."""

from google.api.httpbody_pb2 import HttpBody
from mediq.queue.v1 import report_service_pb2 as requests
from mediq.queue.v1.report_service_pb2_grpc import ReportServiceServicer

from mesh.rpc.pipeline import Context
from queue_svc.servicers.dependencies import Dependencies


class ReportServicer(ReportServiceServicer):
    """Serves the numbers of a facility: now, a day, a week, and as a file."""

    def __init__(self, dependencies: Dependencies) -> None:
        """Serves with the use cases of reports."""
        self._reports = dependencies.reports

    async def GetQueueStats(
        self, request: requests.GetQueueStatsRequest, context: Context
    ) -> requests.QueueStats:
        return await self._reports.now(request.institution_id)

    async def GetDailyStats(
        self, request: requests.GetDailyStatsRequest, context: Context
    ) -> requests.DailyStats:
        return await self._reports.daily(request.institution_id, request.day)

    async def GetWeeklyStats(
        self, request: requests.GetWeeklyStatsRequest, context: Context
    ) -> requests.WeeklyStats:
        return await self._reports.weekly(request.institution_id, request.last_day)

    async def ExportStats(self, request: requests.ExportStatsRequest, context: Context) -> HttpBody:
        document = await self._reports.export(
            request.institution_id, request.first_day, request.last_day
        )
        return HttpBody(content_type="text/csv; charset=utf-8", data=document)
