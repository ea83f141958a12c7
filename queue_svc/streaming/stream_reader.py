"""What streams show, read from the database: what several ask for at one moment, at once."""

from collections.abc import Mapping, Sequence
from functools import reduce

from mediq.queue.v1.live_service_pb2 import CounterState, WatchQueueResponse

from mesh.clock import Clock
from mesh.contract.access_scope import AccessScope
from mesh.errors import not_found
from mesh.persistence.batching import KeyedBatcher
from queue_svc.application.facility_directory import Facility
from queue_svc.application.unit_of_work import UnitsOfWork
from queue_svc.domain.estimates import WaitingList
from queue_svc.domain.tickets import ChangeLogEntry, Service, Ticket, as_issued, changed
from queue_svc.persistence.ticket_queries import TicketQueries
from queue_svc.streaming.stream_queries import (
    MISSED,
    query_board_state,
    query_counter_state,
    query_missed,
)


class StreamReader:
    """Reads what the streams of this process show."""

    def __init__(self, units: UnitsOfWork, clock: Clock) -> None:
        """Reads through `units`, at the time of `clock`."""
        self._units = units
        self._clock = clock
        # An event wakes everyone who watches a queue: what they ask for is read together.
        self._tickets: KeyedBatcher[str, Ticket] = KeyedBatcher(self._read_tickets, MISSED)
        self._waiting_lists: KeyedBatcher[Service, WaitingList | None] = KeyedBatcher(
            self._read_waiting_lists, MISSED
        )

    async def board(
        self, facility: Facility, service_id: str
    ) -> tuple[WatchQueueResponse, dict[int, int]]:
        """Reads the board and the revisions at which it is right."""
        return await self._units.read_facility(
            facility.institution_id,
            query_board_state,
            facility,
            facility.days(),
            service_id,
            self._clock(),
        )

    async def missed(
        self, facility: Facility, days: Sequence[str], seen: Mapping[int, int]
    ) -> Sequence[ChangeLogEntry] | None:
        """Returns what happened at a facility since a cursor; None when that is too much.

        Args:
            facility: The facility.
            days: The days of its queues.
            seen: Revision of each queue that the client has seen.
        """
        return await self._units.read_facility(
            facility.institution_id, query_missed, facility.institution_id, days, seen
        )

    async def counter_state(
        self, facility: Facility, service_id: str, counter_id: str
    ) -> CounterState:
        """Returns what an operator sees at a counter."""
        return await self._units.read_tickets(
            AccessScope(institution_id=facility.institution_id),
            query_counter_state,
            facility.institution_id,
            service_id,
            counter_id,
            facility.days(),
            self._clock(),
        )

    async def ticket(self, ticket_id: str) -> Ticket:
        """Returns a ticket as it is now.

        Raises:
            MeshError: TICKET_NOT_FOUND.
        """
        return await self._tickets.submit("all", ticket_id)

    async def waiting_list(self, ticket: Ticket) -> WaitingList | None:
        """Returns who waits with a ticket; None for one that does not wait."""
        if not ticket.waits:
            return None
        return await self._waiting_lists.submit("all", ticket.queue.service)

    async def versions_between(self, shown: int | None, ticket: Ticket) -> Sequence[Ticket]:
        """Returns the states between the version that was shown and the one that is seen now."""
        if shown is None or ticket.version <= shown + 1:
            return ()
        history = await self._units.read_tickets(AccessScope(), TicketQueries.history, ticket.id)
        first = as_issued(ticket, history[0].priority)
        changes = [one.change for one in history[1:]]
        return [
            reduce(changed, changes[: version - 1], first)
            for version in range(shown + 1, ticket.version)
        ]

    async def _read_tickets(self, identifiers: Sequence[str]) -> Sequence[Ticket | Exception]:
        read = await self._units.read_tickets(AccessScope(), TicketQueries.by_ids, identifiers)
        found = {one.id: one for one in read}
        return [found.get(one) or not_found("ticket", one) for one in identifiers]

    async def _read_waiting_lists(
        self, services: Sequence[Service]
    ) -> Sequence[WaitingList | None]:
        found = await self._units.read_tickets(
            AccessScope(), TicketQueries.waiting_lists, services, self._clock()
        )
        return [found.get(service.key) for service in services]
