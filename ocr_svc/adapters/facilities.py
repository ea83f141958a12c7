"""Calls institution_svc: whether a facility has a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediq.institution.v1.institution_service_pb2 import GetFacilityFactsRequest
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceStub

if TYPE_CHECKING:
    from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceAsyncStub

    from mesh.rpc.client import Channels


class Facilities:
    """Asks for the facts of facilities."""

    def __init__(self, channels: Channels) -> None:
        """Calls through `channels`."""
        self._stub: InstitutionServiceAsyncStub = InstitutionServiceStub(
            channels.to("institution_svc")
        )

    async def require_service(self, institution_id: str, service_id: str) -> str:
        """Returns the time zone, an IANA name, of a facility that is open and has the service.

        Raises:
            MeshError: INSTITUTION_NOT_FOUND or SERVICE_NOT_FOUND.
        """
        facts = await self._stub.GetFacilityFacts(
            GetFacilityFactsRequest(institution_id=institution_id, service_id=service_id)
        )
        return facts.institution.time_zone
