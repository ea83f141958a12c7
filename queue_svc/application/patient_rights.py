"""The use cases of a person's rights: the copy and the erasure of their tickets."""

import datetime
from functools import partial

from mediq.queue.v1 import ticket_service_pb2 as requests
from sqlalchemy.orm import Session

from mesh.clock import Clock
from mesh.contract import pagination
from mesh.idempotency import Idempotency, key_of
from mesh.shared_state.cache import Cache
from queue_svc.application.ticket_reads import describe_tickets, owner_key
from queue_svc.application.unit_of_work import UnitsOfWork
from queue_svc.messages.tickets import history_message
from queue_svc.persistence.patient_tickets import PatientTickets


class PatientRights:
    """Copies and erases the tickets of persons, wherever they were issued."""

    def __init__(
        self, units: UnitsOfWork, idempotency: Idempotency, cache: Cache, clock: Clock
    ) -> None:
        """Works in units of work.

        Args:
            units: Opens the tickets.
            idempotency: Remembers the answers of erasures.
            cache: Holds to whom a ticket belongs.
            clock: Gives the time.
        """
        self._units = units
        self._idempotency = idempotency
        self._cache = cache
        self._clock = clock

    async def list_tickets(
        self, patient_id: str, token: str, asked: int
    ) -> requests.ListPatientTicketsResponse:
        """Returns a page of a person's tickets with what happened to them, newest first.

        Args:
            patient_id: The person's account.
            token: Token of the page. Empty: the first one.
            asked: Most tickets of the page. 0: the standard size.

        Raises:
            MeshError: PAGE_TOKEN_INVALID.
        """
        size = pagination.page_size(asked)
        return await self._units.read_patient(
            query_patient_tickets, patient_id, token, size, self._clock()
        )

    async def erase(
        self, caller: str, patient_id: str, request: requests.ErasePatientTicketsRequest
    ) -> requests.ErasePatientTicketsResponse:
        """Takes a person out of their tickets, once a request.

        Args:
            caller: Who asks.
            patient_id: The person's account.
            request: The request, by which a repeated one is known.

        Raises:
            MeshError: OPEN_TICKETS or REQUEST_ID_REUSED.
        """
        erased: list[str] = []
        answer = await self._idempotency.once(
            caller,
            request,
            requests.ErasePatientTicketsResponse,
            partial(self._erase, patient_id, erased),
        )
        for ticket_id in erased:
            await self._cache.delete(owner_key(ticket_id))
        return answer

    def _erase(
        self, patient_id: str, erased: list[str], session: Session
    ) -> requests.ErasePatientTicketsResponse:
        """Erases in a unit of work, which may run again; `erased` takes the tickets."""
        tickets = self._units.patient_tickets(session)
        erased[:] = tickets.erase(patient_id, answer_scopes(patient_id))
        return requests.ErasePatientTicketsResponse(tickets=len(erased))


def answer_scopes(patient_id: str) -> list[str]:
    """Returns where the answers to a person's own requests are kept: the account is the caller."""
    own = (requests.CreateTicketRequest(), requests.CancelTicketRequest())
    return [key_of(request, patient_id)[0] for request in own]


def query_patient_tickets(
    queries: PatientTickets, patient_id: str, token: str, size: int, now: datetime.datetime
) -> requests.ListPatientTicketsResponse:
    """Reads a page of a person's tickets with what happened to them.

    Raises:
        MeshError: PAGE_TOKEN_INVALID.
    """
    tickets, next_token = queries.page(patient_id, token, size)
    histories = queries.histories([one.id for one in tickets])
    return requests.ListPatientTicketsResponse(
        tickets=[
            requests.PatientTicket(
                ticket=message, changes=history_message(one, histories[one.id]).changes
            )
            for one, message in zip(tickets, describe_tickets(queries, tickets, now), strict=True)
        ],
        next_page_token=next_token,
    )
