"""QueueService: translation between messages, the store and the streams."""

from queue_svc.servicers.changes import Changes
from queue_svc.servicers.numbers import Numbers
from queue_svc.servicers.patients import Patients
from queue_svc.servicers.streams import Streams
from queue_svc.servicers.tickets import TicketReads


class QueueServicer(Changes, TicketReads, Numbers, Streams, Patients):
    """Tickets, order, calls, numbers and live state of queues."""
