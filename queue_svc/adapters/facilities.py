"""What the queue service asks of others: the facts of a facility, from institution_svc."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mediq.institution.v1.institution_service_pb2 import FacilityFacts, GetFacilityFactsRequest
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceStub

from mesh.errors import MeshError, StatusCode, not_found
from mesh.observability.logs import logger
from mesh.rpc.client import Channels
from mesh.shared_state.cache import Cache
from queue_svc.domain.order import Rates
from queue_svc.domain.rules import ELDERLY_AGE, PriorityRules
from queue_svc.domain.states import Priority, PriorityReason, ServiceKind
from queue_svc.domain.tickets import Counter, Service

if TYPE_CHECKING:
    from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceAsyncStub

STALE_SECONDS = 24 * 3600.0
"""How long an old answer may stand in for an institution_svc that does not answer."""
ANSWER_SECONDS = 0.5
"""How long an answer is waited for when there is an old one."""
STANDARD_MINUTES = 60
"""The wait that an outpatient service should not pass (Kepmenkes 129/2008)."""
PAUSE_SECONDS = 5.0
"""How long an old answer is used before institution_svc is asked again."""


Facts = FacilityFacts | MeshError
"""The facts of a facility, or the error that it could not be asked with: who repeats a request is
answered without them."""


class Facilities:
    """Asks for the facts of facilities, and keeps the answers for a while."""

    def __init__(self, channels: Channels, cache: Cache, fresh_seconds: float) -> None:
        """Asks over `channels`.

        Args:
            channels: Channels of this service.
            cache: Keeps the answers.
            fresh_seconds: How long an answer is used without asking.
        """
        self._stub: InstitutionServiceAsyncStub = InstitutionServiceStub(
            channels.to("institution_svc")
        )
        self._cache = cache
        self._fresh_seconds = fresh_seconds

    async def facts_or_error(
        self, institution_id: str, service_id: str, *, counter_id: str = ""
    ) -> Facts:
        """Returns what `facts` returns, or the error that it raises."""
        try:
            return await self.facts(institution_id, service_id, counter_id=counter_id)
        except MeshError as error:
            return error

    async def facts(
        self, institution_id: str, service_id: str = "", *, counter_id: str = ""
    ) -> FacilityFacts:
        """Returns the facts of a facility and a service.

        Args:
            institution_id: The facility.
            service_id: The service. Empty: the facility alone.
            counter_id: A counter that a cached answer must know; otherwise it is too old.

        Raises:
            MeshError: INSTITUTION_NOT_FOUND, SERVICE_NOT_FOUND, or UNAVAILABLE when there is
                neither an answer nor a cached one.
        """
        key = f"{institution_id}/{service_id}"
        cached = await self._cache.get(f"fresh/{key}")
        if cached is not None:
            known = FacilityFacts.FromString(cached)
            if not counter_id or any(one.id == counter_id for one in known.counters):
                return known
        cached = cached or await self._cache.get(f"stale/{key}")
        request = GetFacilityFactsRequest(institution_id=institution_id, service_id=service_id)
        try:
            async with asyncio.timeout(None if cached is None else ANSWER_SECONDS):
                found = await self._stub.GetFacilityFacts(request)
        except (MeshError, TimeoutError) as error:
            if isinstance(error, MeshError) and error.kind is StatusCode.NOT_FOUND:
                await self._cache.delete(f"fresh/{key}")
                await self._cache.delete(f"stale/{key}")
                raise
            if cached is None:
                raise
            logger().warning("using an old copy of the facility's facts", error=str(error))
            await self._cache.set(f"fresh/{key}", cached, PAUSE_SECONDS)
            return FacilityFacts.FromString(cached)
        cached = found.SerializeToString()
        await self._cache.set(f"fresh/{key}", cached, self._fresh_seconds)
        await self._cache.set(f"stale/{key}", cached, STALE_SECONDS)
        return found


def require_facts(facts: Facts | None) -> FacilityFacts:
    """Returns the facts.

    Raises:
        MeshError: What the facility could not be asked with.
    """
    if isinstance(facts, MeshError):
        raise facts
    assert facts is not None
    return facts


def service_of(facts: FacilityFacts) -> Service:
    """Returns the service that the facts tell of."""
    service = facts.service
    usual = Rates()
    rates = service.rates if service.HasField("rates") else usual
    return Service(
        institution_id=facts.institution.id,
        institution_name=facts.institution.name,
        time_zone=facts.institution.time_zone,
        service_id=service.id,
        service_name=service.name,
        prefix=service.prefix,
        service_minutes=service.service_minutes,
        kind=ServiceKind(service.kind or ServiceKind.CLINIC),
        rate_high=rates.high,
        rate_normal=rates.normal,
        rate_low=rates.low,
        standard_minutes=service.standard_wait_minutes or STANDARD_MINUTES,
        opens=service.opens,
        closes=service.closes,
    )


def priority_rules_of(facts: FacilityFacts) -> PriorityRules:
    """Returns whom the facility prefers."""
    if not facts.institution.HasField("priority_rules"):
        return PriorityRules()
    rules = facts.institution.priority_rules
    return PriorityRules(
        rules.elderly_age or ELDERLY_AGE,
        {PriorityReason(rule.ground): Priority(rule.priority) for rule in rules.rules},
    )


def counter_of(facts: FacilityFacts, counter_id: str) -> Counter:
    """Returns a counter of the facility.

    Raises:
        MeshError: COUNTER_NOT_FOUND.
    """
    for one in facts.counters:
        if one.id == counter_id:
            return Counter(one.id, one.name)
    raise not_found("counter", counter_id)
