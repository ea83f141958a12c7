"""InstitutionService: translation between messages and the repository."""

import uuid

from google.protobuf.empty_pb2 import Empty
from mediq.institution.v1 import institution_pb2 as messages
from mediq.institution.v1 import institution_service_pb2 as requests
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceServicer
from mediq.queue.v1.queue_pb2 import Priority, PriorityGround
from sqlalchemy.orm import Session

from institution_svc import domain, store
from mesh.clock import timestamp, utc_now
from mesh.contract import pagination
from mesh.contract.call import principal
from mesh.errors import forbidden
from mesh.idempotency import Idempotency
from mesh.persistence.database import Database
from mesh.rpc.pipeline import Context

MAX_LISTED_COUNTERS = 500


def _rules(found: domain.PriorityRules) -> messages.PriorityRules:
    return messages.PriorityRules(
        elderly_age=found.elderly_age,
        rules=[
            messages.PriorityRule(
                ground=PriorityGround.ValueType(ground), priority=Priority.ValueType(priority)
            )
            for ground, priority in found.classes().items()
            if priority is not None
        ],
    )


def _domain_rules(message: messages.PriorityRules) -> domain.PriorityRules:
    return domain.priority_rules(
        message.elderly_age,
        [(domain.Ground(rule.ground), domain.Priority(rule.priority)) for rule in message.rules],
    )


def _rates(message: messages.PriorityRates) -> domain.Rates:
    return domain.Rates(message.high, message.normal, message.low)


def _kind(number: int) -> domain.ServiceKind:
    return domain.ServiceKind(number or domain.ServiceKind.CLINIC)


def _new_service(request: requests.CreateHealthcareServiceRequest) -> domain.HealthcareService:
    kind = _kind(request.kind)
    return domain.HealthcareService(
        id=str(uuid.uuid4()),
        institution_id=request.institution_id,
        name=request.name,
        prefix=request.prefix,
        service_minutes=request.service_minutes or domain.DEFAULT_SERVICE_MINUTES,
        kind=kind,
        rates=_rates(request.rates) if request.HasField("rates") else domain.Rates(),
        standard_wait_minutes=request.standard_wait_minutes or domain.standard_wait_minutes(kind),
        opens=request.opens,
        closes=request.closes,
    )


def _service_changes(request: requests.UpdateHealthcareServiceRequest) -> domain.ServiceChanges:
    plain = ("name", "service_minutes", "standard_wait_minutes", "opens", "closes")
    return domain.ServiceChanges(
        kind=_kind(request.kind) if request.HasField("kind") else None,
        rates=_rates(request.rates) if request.HasField("rates") else None,
        **{
            name: getattr(request, name)
            for name in plain
            if request.HasField(name)  # type: ignore[arg-type]
        },
    )


def _institution(found: domain.Institution) -> messages.Institution:
    return messages.Institution(
        id=found.id,
        name=found.name,
        city=found.city,
        address=found.address,
        time_zone=found.time_zone,
        create_time=timestamp(found.create_time),
        update_time=timestamp(found.update_time),
        priority_rules=_rules(found.priority_rules),
    )


def _service(found: domain.HealthcareService) -> messages.HealthcareService:
    values = vars(found) | {"rates": messages.PriorityRates(**vars(found.rates))}
    return messages.HealthcareService(**values)


def _counter(found: domain.Counter) -> messages.Counter:
    return messages.Counter(**vars(found))


class InstitutionServicer(InstitutionServiceServicer):
    """Facilities with their services and counters."""

    def __init__(self, database: Database, idempotency: Idempotency) -> None:
        """Serves from `database`."""
        self._database = database
        self._idempotency = idempotency

    async def CreateInstitution(
        self, request: requests.CreateInstitutionRequest, context: Context
    ) -> messages.Institution:
        if not principal().is_network_admin:
            raise forbidden("only network administrators create facilities", "NETWORK_ADMIN_ONLY")
        return await self._idempotency.once(
            principal().subject,
            request,
            messages.Institution,
            lambda session: _institution(
                store.create_institution(
                    session,
                    request.name,
                    request.city,
                    request.address,
                    request.time_zone,
                    utc_now(),
                )
            ),
        )

    async def ListInstitutions(
        self, request: requests.ListInstitutionsRequest, context: Context
    ) -> requests.ListInstitutionsResponse:
        size = pagination.page_size(request.page_size)
        after = pagination.decode_token(request.page_token, 2)
        found = await self._database.read(
            lambda session: store.list_institutions(session, after, size + 1)
        )
        last = found[size - 1] if len(found) > size else None
        return requests.ListInstitutionsResponse(
            institutions=[_institution(one) for one in found[:size]],
            next_page_token=pagination.encode_token(last.name, last.id) if last else "",
        )

    async def SearchInstitutions(
        self, request: requests.SearchInstitutionsRequest, context: Context
    ) -> requests.SearchInstitutionsResponse:
        limit = pagination.page_size(request.page_size, 20)
        found = await self._database.read(
            lambda session: domain.best_matches(request.q, store.all_institutions(session), limit)
        )
        return requests.SearchInstitutionsResponse(
            institutions=[_institution(one) for one in found]
        )

    async def GetInstitution(
        self, request: requests.GetInstitutionRequest, context: Context
    ) -> messages.Institution:
        return _institution(
            await self._database.read(lambda session: store.get_institution(session, request.id))
        )

    async def UpdateInstitution(
        self, request: requests.UpdateInstitutionRequest, context: Context
    ) -> messages.Institution:
        changes = domain.Changes(
            priority_rules=_domain_rules(request.priority_rules)
            if request.HasField("priority_rules")
            else None,
            **{
                name: getattr(request, name)
                for name in ("name", "city", "address", "time_zone")
                if request.HasField(name)
            },
        )
        return await self._idempotency.once(
            principal().subject,
            request,
            messages.Institution,
            lambda session: _institution(
                store.update_institution(session, request.id, changes, utc_now())
            ),
        )

    async def DeleteInstitution(
        self, request: requests.DeleteInstitutionRequest, context: Context
    ) -> Empty:
        def close(session: Session) -> Empty:
            store.close_institution(session, request.id, utc_now())
            return Empty()

        return await self._idempotency.once(principal().subject, request, Empty, close)

    async def CreateHealthcareService(
        self, request: requests.CreateHealthcareServiceRequest, context: Context
    ) -> messages.HealthcareService:
        return await self._idempotency.once(
            principal().subject,
            request,
            messages.HealthcareService,
            lambda session: _service(store.create_service(session, _new_service(request))),
        )

    async def UpdateHealthcareService(
        self, request: requests.UpdateHealthcareServiceRequest, context: Context
    ) -> messages.HealthcareService:
        changes = _service_changes(request)
        return await self._idempotency.once(
            principal().subject,
            request,
            messages.HealthcareService,
            lambda session: _service(
                store.update_service(session, request.institution_id, request.id, changes)
            ),
        )

    async def ListHealthcareServices(
        self, request: requests.ListHealthcareServicesRequest, context: Context
    ) -> requests.ListHealthcareServicesResponse:
        size = pagination.page_size(request.page_size)
        after = pagination.decode_token(request.page_token, 1)
        found = await self._database.read(
            lambda session: store.list_services(session, request.institution_id, after, size + 1)
        )
        more = len(found) > size
        return requests.ListHealthcareServicesResponse(
            services=[_service(one) for one in found[:size]],
            next_page_token=pagination.encode_token(found[size - 1].name) if more else "",
        )

    async def CreateCounter(
        self, request: requests.CreateCounterRequest, context: Context
    ) -> messages.Counter:
        return await self._idempotency.once(
            principal().subject,
            request,
            messages.Counter,
            lambda session: _counter(
                store.create_counter(session, request.institution_id, request.name)
            ),
        )

    async def ListCounters(
        self, request: requests.ListCountersRequest, context: Context
    ) -> requests.ListCountersResponse:
        size = pagination.page_size(request.page_size)
        after = pagination.decode_token(request.page_token, 1)
        found = await self._database.read(
            lambda session: store.list_counters(session, request.institution_id, after, size + 1)
        )
        more = len(found) > size
        return requests.ListCountersResponse(
            counters=[_counter(one) for one in found[:size]],
            next_page_token=pagination.encode_token(found[size - 1].name) if more else "",
        )

    async def GetFacilityFacts(
        self, request: requests.GetFacilityFactsRequest, context: Context
    ) -> requests.FacilityFacts:
        def look(session: Session) -> requests.FacilityFacts:
            identifier = request.institution_id
            facts = requests.FacilityFacts(
                institution=_institution(store.get_institution(session, identifier)),
                counters=[
                    _counter(one)
                    for one in store.list_counters(session, identifier, None, MAX_LISTED_COUNTERS)
                ],
            )
            if request.service_id:
                service = store.get_service(session, identifier, request.service_id)
                facts.service.CopyFrom(_service(service))
            return facts

        return await self._database.read(look)
