"""Every RPC of the queue service in one stub: a test asks for a ticket, a board and a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from mediq.queue.v1.live_service_pb2_grpc import LiveServiceStub
from mediq.queue.v1.report_service_pb2_grpc import ReportServiceStub
from mediq.queue.v1.ticket_service_pb2_grpc import TicketServiceStub

if TYPE_CHECKING:
    from mediq.queue.v1.live_service_pb2_grpc import LiveServiceAsyncStub
    from mediq.queue.v1.report_service_pb2_grpc import ReportServiceAsyncStub
    from mediq.queue.v1.ticket_service_pb2_grpc import TicketServiceAsyncStub

    class QueueStub(TicketServiceAsyncStub, LiveServiceAsyncStub, ReportServiceAsyncStub):
        """The RPCs of tickets, of live state and of reports."""

        def __init__(self, channel: grpc.aio.Channel) -> None: ...

else:

    class QueueStub(TicketServiceStub, LiveServiceStub, ReportServiceStub):
        """The RPCs of tickets, of live state and of reports."""

        def __init__(self, channel: grpc.aio.Channel) -> None:
            for service in QueueStub.__bases__:
                service.__init__(self, channel)
