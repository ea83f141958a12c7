"""The use case that copies a person's data."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mediq.queue.v1.ticket_service_pb2 import PatientTicket
from mediq.user.v1.user_service_pb2 import PatientRecord

from mesh.clock import Clock
from mesh.errors import MeshError, StatusCode
from ocr_svc.adapters.accounts import Accounts
from ocr_svc.adapters.queue import Queue
from ocr_svc.application.unit_of_work import UnitsOfWork
from ocr_svc.domain.registration import Registration

MAX_TICKETS = 5000
"""Tickets in one copy, some 7 MB: a message of the mesh is at most 12 MiB."""


@dataclass(frozen=True)
class PersonalData:
    """Holds the copy of a person's data."""

    time: datetime
    """When it was begun."""
    record: PatientRecord
    registrations: Sequence[Registration]
    """Newest first."""
    tickets: Sequence[PatientTicket]
    """Newest first."""


class PersonalDataExport:
    """Copies what the services know of a person."""

    def __init__(self, units: UnitsOfWork, accounts: Accounts, queue: Queue, clock: Clock) -> None:
        """Works in units of work.

        Args:
            units: Opens the registrations.
            accounts: Knows the person.
            queue: Knows the person's tickets.
            clock: Gives the time.
        """
        self._units = units
        self._accounts = accounts
        self._queue = queue
        self._clock = clock

    async def export(self, user_id: str) -> PersonalData:
        """Returns a copy of all that is known of a person.

        Raises:
            MeshError: USER_NOT_FOUND, TOO_MANY_TICKETS, or what the other services raise.
        """
        now = self._clock()
        record = await self._accounts.record(user_id)
        tickets = await self._tickets(user_id)
        registrations = await self._units.read(lambda unit: unit.registrations.of_patient(user_id))
        return PersonalData(now, record, registrations, tickets)

    async def _tickets(self, user_id: str) -> Sequence[PatientTicket]:
        found: list[PatientTicket] = []
        async for one in self._queue.tickets(user_id):
            found.append(one)
            if len(found) > MAX_TICKETS:
                raise MeshError(
                    f"more than {MAX_TICKETS} tickets do not fit into one copy",
                    StatusCode.RESOURCE_EXHAUSTED,
                    "TOO_MANY_TICKETS",
                )
        return found
