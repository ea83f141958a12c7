"""How many tickets a patient has taken lately."""

import datetime
from collections import defaultdict
from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from mesh.errors import MeshError
from queue_svc.domain.rules import Rules
from queue_svc.domain.tickets import tickets_limited
from queue_svc.persistence.mapping import TICKET

WINDOW = datetime.timedelta(hours=1)


class TicketQuota:
    """The tickets of some patients within the last hour, whatever became of them.

    Patients are not locked: those who take tickets of several services at the same moment may get
    one more of each.
    """

    def __init__(self, session: Session, patients: Collection[str], now: datetime.datetime) -> None:
        """Reads what these patients have taken before `now`."""
        self._now = now
        self._times: dict[str, list[datetime.datetime]] = defaultdict(list)
        if not patients:
            return
        query = (
            select(TICKET.c.patient_id, TICKET.c.create_time)
            .where(TICKET.c.patient_id.in_(patients), TICKET.c.create_time > now - WINDOW)
            .order_by(TICKET.c.create_time)
        )
        for patient_id, time in session.execute(query):
            self._times[patient_id].append(time)

    def add(self, patient_id: str) -> None:
        """Counts a ticket that is made now."""
        self._times[patient_id].append(self._now)

    def refusal(self, patient_id: str, rules: Rules) -> MeshError | None:
        """Returns TICKETS_LIMITED with the time to wait, if the patient has taken all they may."""
        times = self._times[patient_id]
        if len(times) < rules.tickets_an_hour:
            return None
        free = times[-rules.tickets_an_hour] + WINDOW
        return tickets_limited(max((free - self._now).total_seconds(), 0.001))
