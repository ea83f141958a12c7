"""A queue, its service and a ticket, without a database."""

import datetime

from queue_svc.domain.states import Priority, Status
from queue_svc.domain.tickets import Counter, Queue, Service, Ticket

NOW = datetime.datetime(2026, 3, 2, 2, 0, tzinfo=datetime.UTC)
LOKET = Counter("c1", "Loket 1")
SERVICE = Service("i", "RSUD", "Asia/Jakarta", "s", "Poli Umum", "A", 10)
QUEUE = Queue(1, SERVICE, "2026-03-02", 0, 0, "", None)
S = Status


def a_ticket(status: Status = S.WAITING, calls: int = 0) -> Ticket:
    counter = LOKET if status in (S.CALLED, S.SERVING, S.SKIPPED) else None
    return Ticket(
        id="t",
        queue=QUEUE,
        sequence=12,
        number="A-012",
        patient_id="p",
        priority=Priority.NORMAL,
        status=status,
        version=1,
        calls=calls,
        queue_time=NOW,
        create_time=NOW,
        update_time=NOW,
        counter=counter,
    )
