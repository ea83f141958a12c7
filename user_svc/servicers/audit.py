"""AuditService: takes events into the trail and answers what is asked of it."""

import datetime
from typing import Literal

from mediq.audit.v1 import audit_service_pb2 as messages
from mediq.audit.v1.audit_service_pb2_grpc import AuditServiceServicer

from mesh.contract import pagination
from mesh.rpc.pipeline import Context
from user_svc.domain.audit_trail import Filter, TouchedFilter
from user_svc.messages.audit import access_message, time_of, touched_message
from user_svc.servicers.callers import calling_service
from user_svc.servicers.dependencies import Dependencies
from user_svc.servicers.page_tokens import entry_position, person_position


class AuditServicer(AuditServiceServicer):
    """Serves the audit trail."""

    def __init__(self, dependencies: Dependencies) -> None:
        """Serves with the use cases of the trail."""
        self._audit_trail = dependencies.audit_trail

    async def AppendAuditEvents(
        self, request: messages.AppendAuditEventsRequest, context: Context
    ) -> messages.AppendAuditEventsResponse:
        appended = await self._audit_trail.append_of(calling_service(), request.events)
        return messages.AppendAuditEventsResponse(appended=appended)

    async def ListAuditEntries(
        self, request: messages.ListAuditEntriesRequest, context: Context
    ) -> messages.ListAuditEntriesResponse:
        wanted = Filter(
            request.person_id,
            request.actor_id,
            request.institution_id,
            _given_time(request, "start_time"),
            _given_time(request, "end_time"),
        )
        size = pagination.page_size(request.page_size)
        found, more = await self._audit_trail.page(wanted, entry_position(request.page_token), size)
        return messages.ListAuditEntriesResponse(
            entries=found,
            next_page_token=pagination.encode_token(str(found[-1].position)) if more else "",
        )

    async def ListTouchedPersons(
        self, request: messages.ListTouchedPersonsRequest, context: Context
    ) -> messages.ListTouchedPersonsResponse:
        wanted = TouchedFilter(
            time_of(request.start_time, "start_time"),
            time_of(request.end_time, "end_time"),
            request.actor_id,
            request.institution_id,
        )
        size = pagination.page_size(request.page_size)
        found = await self._audit_trail.touched_page(
            wanted, person_position(request.page_token), size + 1
        )
        shown, more = found[:size], len(found) > size
        return messages.ListTouchedPersonsResponse(
            persons=map(touched_message, shown),
            next_page_token=pagination.encode_token(shown[-1].person_id) if more else "",
        )

    async def ListPersonAccesses(
        self, request: messages.ListPersonAccessesRequest, context: Context
    ) -> messages.ListPersonAccessesResponse:
        size = pagination.page_size(request.page_size)
        found, more = await self._audit_trail.page(
            Filter(request.user_id), entry_position(request.page_token), size
        )
        return messages.ListPersonAccessesResponse(
            accesses=[access_message(entry, request.user_id) for entry in found],
            next_page_token=pagination.encode_token(str(found[-1].position)) if more else "",
        )

    async def GetAuditHead(
        self, request: messages.GetAuditHeadRequest, context: Context
    ) -> messages.AuditHead:
        return await self._audit_trail.head()


def _given_time(
    request: messages.ListAuditEntriesRequest, field: Literal["start_time", "end_time"]
) -> datetime.datetime | None:
    return time_of(getattr(request, field), field) if request.HasField(field) else None
