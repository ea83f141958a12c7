"""What the parts of QueueService share."""

import functools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mediq.institution.v1.institution_service_pb2 import FacilityFacts
from mediq.queue.v1 import queue_pb2 as messages
from mediq.queue.v1.queue_service_pb2 import WatchEventsResponse
from mediq.queue.v1.queue_service_pb2_grpc import QueueServiceServicer

from mesh.contract import pagination
from mesh.contract.access_scope import AccessScope
from mesh.contract.call import principal
from mesh.errors import MeshError, invalid
from mesh.idempotency import Idempotency
from mesh.persistence.database import Database
from mesh.shared_state.cache import Cache
from queue_svc.adapters.facilities import Facilities
from queue_svc.application.ticket_commands import TicketCommandHandler
from queue_svc.application.ticket_reads import describe_tickets
from queue_svc.domain.days import Clock, active_days, parse_day, service_day
from queue_svc.domain.rules import Rules
from queue_svc.domain.tickets import Ticket
from queue_svc.persistence.facility_queries import FacilityQueries, OpenFacilityQueries
from queue_svc.persistence.patient_tickets import OpenPatients
from queue_svc.persistence.ticket_queries import OpenTicketQueries, TicketQueries
from queue_svc.streaming.stream_service import StreamService

Result = TypeVar("Result")


@dataclass(frozen=True)
class Dependencies:
    """What QueueService works with."""

    database: Database
    commands: TicketCommandHandler
    reader: OpenTicketQueries
    overview: OpenFacilityQueries
    patients: OpenPatients
    idempotency: Idempotency
    facilities: Facilities
    streams: StreamService
    tail_events: Callable[[str], AsyncIterator[WatchEventsResponse]]
    """Follows the events that fit a pattern."""
    cache: Cache
    rules: Rules
    clock: Clock
    copy_seconds: float
    """Longest use of a copy in the cache."""
    fhir_export: bool
    """Whether visits are given out as FHIR Encounters."""


def page_of(identifiers: Sequence[str], token: str, size: int) -> tuple[Sequence[str], str]:
    """A page of a list that moves: it goes on after the ticket that the token names.

    Raises:
        MeshError: INVALID_ARGUMENT with reason PAGE_TOKEN_INVALID.
    """
    position = pagination.decode_token(token, 2)
    start = 0
    if position is not None:
        offset, last = position
        if not offset.isdecimal():
            raise invalid("page_token", "not a token of ours", "PAGE_TOKEN_INVALID")
        # When that ticket has left the list, others moved up: rather show one twice than none.
        start = identifiers.index(last) + 1 if last in identifiers else int(offset) - 1
    page = identifiers[max(0, start) : max(0, start) + size]
    end = max(0, start) + len(page)
    more = end < len(identifiers)
    return page, pagination.encode_token(str(end), page[-1]) if page and more else ""


class ServicerBase(QueueServiceServicer):
    """A part of QueueService."""

    def __init__(self, parts: Dependencies) -> None:
        """Serves with `parts`."""
        self._dependencies = parts
        self._clock = parts.clock

    async def _facts(
        self, institution_id: str, service_id: str, *, counter_id: str = ""
    ) -> Callable[[], FacilityFacts]:
        """Gives the facts, or their error, when the effect asks: a repeated request never does."""
        try:
            found = await self._dependencies.facilities.facts(
                institution_id, service_id, counter_id=counter_id
            )
        except MeshError as error:
            return functools.partial(_raise, error)
        return lambda: found

    async def _days_of(self, institution_id: str) -> tuple[str, ...]:
        facts = await self._dependencies.facilities.facts(institution_id)
        return self._days(facts.institution.time_zone)

    def _days(self, time_zone: str) -> tuple[str, ...]:
        return active_days(self._clock(), time_zone, self._dependencies.rules.carry_hours)

    async def _day(self, institution_id: str, field: str, asked: str) -> str:
        """The day that a report is asked for; today at the facility when none is named."""
        if asked:
            return parse_day(field, asked).isoformat()
        facts = await self._dependencies.facilities.facts(institution_id)
        return service_day(self._clock(), facts.institution.time_zone)

    async def _read(
        self, work: Callable[[TicketQueries], Result], scope: AccessScope | None = None
    ) -> Result:
        """Reads what the caller can reach, or what a reach says."""
        seen = AccessScope.of(principal()) if scope is None else scope
        return await self._dependencies.database.read(
            lambda session: work(self._dependencies.reader(session, seen))
        )

    async def _look(self, institution_id: str, work: Callable[[FacilityQueries], Result]) -> Result:
        """Reads a facility; the policy has seen to it that the caller may."""
        scope = AccessScope(institution_id=institution_id)
        return await self._dependencies.database.read(
            lambda session: work(self._dependencies.overview(session, scope))
        )

    async def _get(self, ticket_id: str) -> Ticket:
        return await self._read(lambda reader: reader.get(ticket_id))

    async def _described(self, identifiers: Sequence[str]) -> list[messages.Ticket]:
        now = self._clock()
        return await self._read(
            lambda reader: describe_tickets(reader, reader.by_ids(identifiers), now)
        )


def _raise(error: MeshError) -> FacilityFacts:
    raise error
