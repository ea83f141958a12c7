"""What the servicers work with."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from mediq.queue.v1.live_service_pb2 import WatchEventsResponse

from queue_svc.application.boards import Boards
from queue_svc.application.facility_directory import FacilityDirectory
from queue_svc.application.patient_rights import PatientRights
from queue_svc.application.reports import Reports
from queue_svc.application.ticket_commands import TicketCommandHandler
from queue_svc.application.ticket_reads import TicketReads
from queue_svc.streaming.stream_service import StreamService

EventTail = Callable[[str], AsyncIterator[WatchEventsResponse]]
"""Follows the events that fit a pattern of routing keys."""


@dataclass(frozen=True)
class Dependencies:
    """Holds the use cases and the streams."""

    commands: TicketCommandHandler
    tickets: TicketReads
    patients: PatientRights
    boards: Boards
    reports: Reports
    directory: FacilityDirectory
    streams: StreamService
    tail_events: EventTail
