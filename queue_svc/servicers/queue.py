"""QueueService: the RPCs of tickets, of boards and streams, and of reports."""

from queue_svc.servicers.boards import BoardServicer
from queue_svc.servicers.dependencies import Dependencies
from queue_svc.servicers.reports import ReportServicer
from queue_svc.servicers.tickets import TicketServicer


class QueueServicer(TicketServicer, BoardServicer, ReportServicer):
    """Serves tickets, order, calls, numbers and live state of queues."""

    def __init__(self, dependencies: Dependencies) -> None:
        """Serves with all use cases."""
        TicketServicer.__init__(self, dependencies)
        BoardServicer.__init__(self, dependencies)
        ReportServicer.__init__(self, dependencies)
