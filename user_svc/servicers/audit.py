"""AuditService: takes events into the trail and answers what is asked of it."""

import datetime
from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from mediq.audit.v1 import audit_service_pb2 as messages
from mediq.audit.v1.audit_pb2 import AuditEntry
from mediq.audit.v1.audit_service_pb2_grpc import AuditServiceServicer
from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from mesh.clock import timestamp, utc_now
from mesh.contract import pagination
from mesh.contract.call import current_call
from mesh.contract.methods import peer_name
from mesh.errors import forbidden, invalid
from mesh.persistence.database import Database
from mesh.rpc.pipeline import Context
from user_svc.audit import queries
from user_svc.audit.chain import MAX_POSITION, AuditChain, moment, read_head
from user_svc.audit.queries import Filter, Touched, require_order
from user_svc.persistence.audit_models import AUDIT_ENTRIES


class AuditServicer(AuditServiceServicer):
    """The audit trail."""

    def __init__(self, database: Database, chain: AuditChain) -> None:
        """Keeps the trail in `database`."""
        self._database = database
        self._chain = chain

    async def AppendAuditEvents(
        self, request: messages.AppendAuditEventsRequest, context: Context
    ) -> messages.AppendAuditEventsResponse:
        call = current_call()
        caller = "" if call is None else peer_name(call.peer)
        if any(event.service != caller for event in request.events):
            # A service that was taken over must not write down what another one did.
            raise forbidden("events are those of the service that sends them", "OTHER_SERVICE")
        appended = await self._database.write(
            lambda session: self._chain.append(session, request.events, utc_now())
        )
        return messages.AppendAuditEventsResponse(appended=appended)

    async def ListAuditEntries(
        self, request: messages.ListAuditEntriesRequest, context: Context
    ) -> messages.ListAuditEntriesResponse:
        start, end = _given(request, "start_time"), _given(request, "end_time")
        require_order(start, end)
        wanted = Filter(
            request.person_id.lower(),
            request.actor_id.lower(),
            request.institution_id.lower(),
            start,
            end,
        )
        found, token = await self._page(wanted, request.page_size, request.page_token)
        return messages.ListAuditEntriesResponse(entries=found, next_page_token=token)

    async def ListTouchedPersons(
        self, request: messages.ListTouchedPersonsRequest, context: Context
    ) -> messages.ListTouchedPersonsResponse:
        actor_id, institution_id = request.actor_id.lower(), request.institution_id.lower()
        start = moment(request.start_time, "start_time")
        end = moment(request.end_time, "end_time")
        require_order(start, end)
        after, size = _person(request.page_token), pagination.page_size(request.page_size)
        found = await self._database.read(
            lambda session: queries.touched(
                session, start, end, after, size + 1, actor_id, institution_id
            )
        )
        shown = found[:size]
        return messages.ListTouchedPersonsResponse(
            persons=[touched_message(one) for one in shown],
            next_page_token=pagination.encode_token(shown[-1].person_id)
            if len(found) > size
            else "",
        )

    async def ListPersonAccesses(
        self, request: messages.ListPersonAccessesRequest, context: Context
    ) -> messages.ListPersonAccessesResponse:
        person_id = request.user_id.lower()
        found, token = await self._page(Filter(person_id), request.page_size, request.page_token)
        return messages.ListPersonAccessesResponse(
            accesses=[_access(entry, person_id) for entry in found], next_page_token=token
        )

    async def GetAuditHead(
        self, request: messages.GetAuditHeadRequest, context: Context
    ) -> messages.AuditHead:
        def read(session: Session) -> messages.AuditHead:
            head = read_head(session)
            times = select(AUDIT_ENTRIES.c.record_time).where(
                AUDIT_ENTRIES.c.position == head.position
            )
            time = session.scalars(times).one_or_none()
            return messages.AuditHead(
                position=head.position,
                mac=head.mac,
                record_time=None if time is None else timestamp(time),
            )

        return await self._database.read(read)

    async def _page(
        self, wanted: Filter, page_size: int, page_token: str
    ) -> tuple[list[AuditEntry], str]:
        """Entries and the token of the next page."""
        before, size = _position(page_token), pagination.page_size(page_size)

        def look(session: Session) -> tuple[list[AuditEntry], bool]:
            found: Sequence[Row[Any]] = queries.entries(session, wanted, before, size + 1)
            return [self._chain.entry(row) for row in found[:size]], len(found) > size

        shown, more = await self._database.read(look)
        return shown, pagination.encode_token(str(shown[-1].position)) if more else ""


def touched_message(person: Touched) -> messages.TouchedPerson:
    """The person as others see it."""
    return messages.TouchedPerson(
        user_id=person.person_id,
        accesses=person.accesses,
        changes=person.changes,
        first_time=timestamp(person.first),
        last_time=timestamp(person.last),
    )


def _access(entry: AuditEntry, person_id: str) -> messages.PersonAccess:
    """The entry as the person sees it: staff stay unnamed."""
    event = entry.event
    return messages.PersonAccess(
        occur_time=event.occur_time,
        act=event.act,
        method=event.method,
        role=event.actor.role,
        # A session that a draft was issued for is nobody's own: anyone may hold up a card.
        self=event.actor.id.lower() == person_id,
        institution_id=event.actor.institution_id,
        reason=event.reason,
    )


def _given(
    request: messages.ListAuditEntriesRequest, field: Literal["start_time", "end_time"]
) -> datetime.datetime | None:
    return moment(getattr(request, field), field) if request.HasField(field) else None


def _position(page_token: str) -> int | None:
    found = pagination.decode_token(page_token, 1)
    if found is None:
        return None
    if found[0].isascii() and found[0].isdigit() and int(found[0]) <= MAX_POSITION:
        return int(found[0])
    raise invalid("page_token", "not a token of ours", "PAGE_TOKEN_INVALID")


def _person(page_token: str) -> str:
    found = pagination.decode_token(page_token, 1)
    if found is None:
        return ""
    try:
        return str(UUID(found[0]))
    except ValueError as error:
        raise invalid("page_token", "not a token of ours", "PAGE_TOKEN_INVALID") from error
