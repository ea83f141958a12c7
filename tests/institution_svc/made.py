"""Facilities that tests make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediq.institution.v1 import institution_service_pb2 as requests
from mediq.institution.v1.institution_pb2 import Institution

from tests.institution_svc.conftest import Metadata

if TYPE_CHECKING:
    from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceAsyncStub


async def create(
    stub: InstitutionServiceAsyncStub,
    metadata: Metadata,
    name: str = "RSUD Contoh",
    city: str = "Bandung",
) -> Institution:
    return await stub.CreateInstitution(
        requests.CreateInstitutionRequest(name=name, city=city, time_zone="Asia/Jakarta"),
        metadata=metadata,
    )
