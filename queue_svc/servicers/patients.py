"""The tickets of one person, for ocr_svc: the copy and the erasure that the person asked for."""

from mediq.queue.v1 import queue_service_pb2 as requests
from sqlalchemy.orm import Session

from mesh.contract import pagination
from mesh.idempotency import key_of
from mesh.rpc.pipeline import Context
from queue_svc.application.ticket_reads import describe_tickets
from queue_svc.messages.tickets import history_message
from queue_svc.servicers.base import ServicerBase
from queue_svc.servicers.changes import SERVICE
from queue_svc.servicers.tickets import owner_key


class Patients(ServicerBase):
    """The RPCs about the tickets of one person."""

    async def ListPatientTickets(
        self, request: requests.ListPatientTicketsRequest, context: Context
    ) -> requests.ListPatientTicketsResponse:
        size, now = pagination.page_size(request.page_size), self._clock()

        def query(session: Session) -> requests.ListPatientTicketsResponse:
            reader = self._dependencies.patients(session)
            tickets, token = reader.page(request.patient_id.lower(), request.page_token, size)
            histories = reader.histories([one.id for one in tickets])
            return requests.ListPatientTicketsResponse(
                tickets=[
                    requests.PatientTicket(
                        ticket=message, changes=history_message(one, histories[one.id]).changes
                    )
                    for one, message in zip(
                        tickets, describe_tickets(reader, tickets, now), strict=True
                    )
                ],
                next_page_token=token,
            )

        return await self._dependencies.database.read(query)

    async def ErasePatientTickets(
        self, request: requests.ErasePatientTicketsRequest, context: Context
    ) -> requests.ErasePatientTicketsResponse:
        erased: list[str] = []
        patient_id = request.patient_id.lower()

        def erase(session: Session) -> requests.ErasePatientTicketsResponse:
            erased[:] = self._dependencies.patients(session).erase(
                patient_id, answer_scopes(patient_id)
            )
            return requests.ErasePatientTicketsResponse(tickets=len(erased))

        answer = await self._dependencies.idempotency.once(
            SERVICE, request, requests.ErasePatientTicketsResponse, erase
        )
        for ticket_id in erased:
            await self._dependencies.cache.delete(owner_key(ticket_id))
        return answer


def answer_scopes(patient_id: str) -> list[str]:
    """Returns where the answers to a person's own requests are kept: the account is the caller."""
    own = (requests.CreateTicketRequest(), requests.CancelTicketRequest())
    return [key_of(request, patient_id)[0] for request in own]
