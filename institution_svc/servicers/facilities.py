"""The RPCs of facilities: requests as commands and queries, and their answers."""

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.empty_pb2 import Empty
from mediq.institution.v1 import institution_pb2 as messages
from mediq.institution.v1 import institution_service_pb2 as requests
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceServicer

from institution_svc.application.facility_commands import (
    CloseInstitution,
    CreateCounter,
    CreateInstitution,
    CreateService,
    UpdateInstitution,
    UpdateService,
    close_institution,
    create_counter,
    create_institution,
    create_service,
    require_network_admin,
    update_institution,
    update_service,
)
from institution_svc.application.facility_queries import (
    facility_facts,
    get_institution,
    list_counters,
    list_institutions,
    list_services,
    search_institutions,
)
from institution_svc.application.unit_of_work import UnitsOfWork
from institution_svc.domain.facilities import (
    Changes,
    Rates,
    ServiceChanges,
    ServiceKind,
)
from institution_svc.messages.facilities import (
    counter_message,
    institution_message,
    priority_rules_of,
    service_message,
)
from mesh.contract import pagination
from mesh.contract.call import principal
from mesh.rpc.pipeline import Context

Row = TypeVar("Row")
DEFAULT_MATCHES = 20
"""Facilities that a search gives when the request does not say."""


def _rates(message: messages.PriorityRates) -> Rates:
    return Rates(message.high, message.normal, message.low)


def _kind(number: int) -> ServiceKind:
    return ServiceKind(number or ServiceKind.CLINIC)


def _create_service(request: requests.CreateHealthcareServiceRequest) -> CreateService:
    return CreateService(
        institution_id=request.institution_id,
        name=request.name,
        prefix=request.prefix,
        kind=_kind(request.kind),
        service_minutes=request.service_minutes,
        rates=_rates(request.rates) if request.HasField("rates") else Rates(),
        standard_wait_minutes=request.standard_wait_minutes,
        opens=request.opens,
        closes=request.closes,
    )


def _service_changes(request: requests.UpdateHealthcareServiceRequest) -> ServiceChanges:
    plain = ("name", "service_minutes", "standard_wait_minutes", "opens", "closes")
    return ServiceChanges(
        kind=_kind(request.kind) if request.HasField("kind") else None,
        rates=_rates(request.rates) if request.HasField("rates") else None,
        **{
            name: getattr(request, name)
            for name in plain
            if request.HasField(name)  # type: ignore[arg-type]
        },
    )


def _changes(request: requests.UpdateInstitutionRequest) -> Changes:
    return Changes(
        priority_rules=priority_rules_of(request.priority_rules)
        if request.HasField("priority_rules")
        else None,
        **{
            name: getattr(request, name)
            for name in ("name", "city", "address", "time_zone")
            if request.HasField(name)
        },
    )


def _cut(
    rows: list[Row], size: int, position: Callable[[Row], tuple[str, ...]]
) -> tuple[list[Row], str]:
    """Returns a page of rows, of which there is one more when others follow, and its token."""
    more = len(rows) > size
    return rows[:size], pagination.encode_token(*position(rows[size - 1])) if more else ""


def _empty(_: None) -> Empty:
    return Empty()


class InstitutionServicer(InstitutionServiceServicer):
    """Serves facilities with their services and counters."""

    def __init__(self, units: UnitsOfWork) -> None:
        """Serves with units of work."""
        self._units = units

    async def CreateInstitution(
        self, request: requests.CreateInstitutionRequest, context: Context
    ) -> messages.Institution:
        who = principal()
        require_network_admin(who)
        command = CreateInstitution(request.name, request.city, request.address, request.time_zone)
        return await self._units.change(
            who.subject,
            request,
            create_institution,
            command,
            institution_message,
            messages.Institution,
        )

    async def ListInstitutions(
        self, request: requests.ListInstitutionsRequest, context: Context
    ) -> requests.ListInstitutionsResponse:
        size = pagination.page_size(request.page_size)
        after = pagination.decode_token(request.page_token, 2)
        found = await self._units.read(list_institutions, after, size + 1)
        page, token = _cut(found, size, lambda one: (one.name, one.id))
        return requests.ListInstitutionsResponse(
            institutions=map(institution_message, page), next_page_token=token
        )

    async def SearchInstitutions(
        self, request: requests.SearchInstitutionsRequest, context: Context
    ) -> requests.SearchInstitutionsResponse:
        limit = pagination.page_size(request.page_size, DEFAULT_MATCHES)
        found = await self._units.read(search_institutions, request.q, limit)
        return requests.SearchInstitutionsResponse(institutions=map(institution_message, found))

    async def GetInstitution(
        self, request: requests.GetInstitutionRequest, context: Context
    ) -> messages.Institution:
        return institution_message(await self._units.read(get_institution, request.id))

    async def UpdateInstitution(
        self, request: requests.UpdateInstitutionRequest, context: Context
    ) -> messages.Institution:
        return await self._units.change(
            principal().subject,
            request,
            update_institution,
            UpdateInstitution(request.id, _changes(request)),
            institution_message,
            messages.Institution,
        )

    async def DeleteInstitution(
        self, request: requests.DeleteInstitutionRequest, context: Context
    ) -> Empty:
        return await self._units.change(
            principal().subject,
            request,
            close_institution,
            CloseInstitution(request.id),
            _empty,
            Empty,
        )

    async def CreateHealthcareService(
        self, request: requests.CreateHealthcareServiceRequest, context: Context
    ) -> messages.HealthcareService:
        return await self._units.change(
            principal().subject,
            request,
            create_service,
            _create_service(request),
            service_message,
            messages.HealthcareService,
        )

    async def UpdateHealthcareService(
        self, request: requests.UpdateHealthcareServiceRequest, context: Context
    ) -> messages.HealthcareService:
        return await self._units.change(
            principal().subject,
            request,
            update_service,
            UpdateService(request.institution_id, request.id, _service_changes(request)),
            service_message,
            messages.HealthcareService,
        )

    async def ListHealthcareServices(
        self, request: requests.ListHealthcareServicesRequest, context: Context
    ) -> requests.ListHealthcareServicesResponse:
        size = pagination.page_size(request.page_size)
        after = pagination.decode_token(request.page_token, 1)
        found = await self._units.read(list_services, request.institution_id, after, size + 1)
        page, token = _cut(found, size, lambda one: (one.name,))
        return requests.ListHealthcareServicesResponse(
            services=map(service_message, page), next_page_token=token
        )

    async def CreateCounter(
        self, request: requests.CreateCounterRequest, context: Context
    ) -> messages.Counter:
        return await self._units.change(
            principal().subject,
            request,
            create_counter,
            CreateCounter(request.institution_id, request.name),
            counter_message,
            messages.Counter,
        )

    async def ListCounters(
        self, request: requests.ListCountersRequest, context: Context
    ) -> requests.ListCountersResponse:
        size = pagination.page_size(request.page_size)
        after = pagination.decode_token(request.page_token, 1)
        found = await self._units.read(list_counters, request.institution_id, after, size + 1)
        page, token = _cut(found, size, lambda one: (one.name,))
        return requests.ListCountersResponse(
            counters=map(counter_message, page), next_page_token=token
        )

    async def GetFacilityFacts(
        self, request: requests.GetFacilityFactsRequest, context: Context
    ) -> requests.FacilityFacts:
        facts = await self._units.read(facility_facts, request.institution_id, request.service_id)
        return requests.FacilityFacts(
            institution=institution_message(facts.institution),
            counters=map(counter_message, facts.counters),
            service=None if facts.service is None else service_message(facts.service),
        )
