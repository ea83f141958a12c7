"""What the facility service writes down for the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediq.institution.v1 import institution_service_pb2 as requests
from mediq.policy.v1.policy_pb2 import Role

from tests.support.audit import CHANGE, REFUSED, Collector
from tests.support.mesh import Mesh, problem

if TYPE_CHECKING:
    from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceAsyncStub

    from tests.institution_svc.conftest import Metadata


async def test_changes_of_a_facility_are_written_down(
    institutions: InstitutionServiceAsyncStub, network_admin: Metadata, audit: Collector
) -> None:
    made = await institutions.CreateInstitution(
        requests.CreateInstitutionRequest(name="RSUD", city="Bandung", time_zone="Asia/Jakarta"),
        metadata=network_admin,
    )
    service = await institutions.CreateHealthcareService(
        requests.CreateHealthcareServiceRequest(institution_id=made.id, name="Poli", prefix="A"),
        metadata=network_admin,
    )
    await institutions.DeleteInstitution(
        requests.DeleteInstitutionRequest(id=made.id), metadata=network_admin
    )
    for method in ("CreateInstitution", "CreateHealthcareService", "DeleteInstitution"):
        (event,) = await audit.of(method)
        assert (event.act, event.institution_id) == (CHANGE, made.id), method
        assert not event.person_ids
    (event,) = await audit.of("CreateHealthcareService")
    assert list(event.object_ids) == [service.id]


async def test_reading_a_facility_is_not(
    institutions: InstitutionServiceAsyncStub, network_admin: Metadata, audit: Collector
) -> None:
    made = await institutions.CreateInstitution(
        requests.CreateInstitutionRequest(name="RSUD", city="Bandung", time_zone="Asia/Jakarta"),
        metadata=network_admin,
    )
    await institutions.GetInstitution(requests.GetInstitutionRequest(id=made.id))
    await audit.of("CreateInstitution")
    assert len(audit.events) == 1


async def test_who_is_not_allowed_is_written_down(
    institutions: InstitutionServiceAsyncStub, mesh: Mesh, audit: Collector
) -> None:
    request = requests.CreateInstitutionRequest(name="RSUD", city="X", time_zone="Asia/Jakarta")
    call = institutions.CreateInstitution(request, metadata=mesh.token(Role.ROLE_OPERATOR))
    assert (await problem(call))[1] == "ROLE_NOT_ALLOWED"
    (event,) = await audit.of("CreateInstitution")
    assert (event.act, event.refusal) == (REFUSED, "ROLE_NOT_ALLOWED")
