from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from mediq.institution.v1 import institution_service_pb2 as requests
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceStub
from mediq.policy.v1.policy_pb2 import Role

from tests.institution_svc.conftest import Metadata
from tests.institution_svc.made import create
from tests.support.mesh import Mesh, problem

if TYPE_CHECKING:
    from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceAsyncStub


async def test_create_get_list(
    institutions: InstitutionServiceAsyncStub, network_admin: Metadata
) -> None:
    made = [await create(institutions, network_admin, f"Puskesmas {n}") for n in range(5)]
    got = await institutions.GetInstitution(requests.GetInstitutionRequest(id=made[2].id))
    assert got == made[2]
    seen: list[str] = []
    token = ""
    while True:
        page = await institutions.ListInstitutions(
            requests.ListInstitutionsRequest(page_size=2, page_token=token)
        )
        seen += [one.id for one in page.institutions]
        token = page.next_page_token
        if not token:
            break
    assert seen == [one.id for one in made]


async def test_search_forgives_a_typing_error(
    institutions: InstitutionServiceAsyncStub, network_admin: Metadata
) -> None:
    wanted = await create(institutions, network_admin, "RSUD Cibabat", "Cimahi")
    await create(institutions, network_admin, "Puskesmas Melati", "Denpasar")
    for words in ("cibabat", "cibabad", "rsud cimahi"):
        found = await institutions.SearchInstitutions(requests.SearchInstitutionsRequest(q=words))
        assert [one.id for one in found.institutions][:1] == [wanted.id], words
    none = await institutions.SearchInstitutions(requests.SearchInstitutionsRequest(q="xyzzyqq"))
    assert not none.institutions


async def test_update_changes_only_what_is_given(
    institutions: InstitutionServiceAsyncStub, network_admin: Metadata
) -> None:
    made = await create(institutions, network_admin)
    changed = await institutions.UpdateInstitution(
        requests.UpdateInstitutionRequest(id=made.id, city="Cimahi"), metadata=network_admin
    )
    assert (changed.name, changed.city, changed.time_zone) == (made.name, "Cimahi", "Asia/Jakarta")
    assert changed.update_time.ToNanoseconds() > made.update_time.ToNanoseconds()


async def test_closed_facility_is_gone(
    institutions: InstitutionServiceAsyncStub, network_admin: Metadata
) -> None:
    made = await create(institutions, network_admin)
    await institutions.DeleteInstitution(
        requests.DeleteInstitutionRequest(id=made.id), metadata=network_admin
    )
    call = institutions.GetInstitution(requests.GetInstitutionRequest(id=made.id))
    assert await problem(call) == ("NOT_FOUND", "INSTITUTION_NOT_FOUND")
    listed = await institutions.ListInstitutions(requests.ListInstitutionsRequest())
    assert not listed.institutions


async def test_services_and_counters_are_unique(
    institutions: InstitutionServiceAsyncStub, network_admin: Metadata
) -> None:
    made = await create(institutions, network_admin)
    request = requests.CreateHealthcareServiceRequest(
        institution_id=made.id, name="Poli Umum", prefix="A"
    )
    service = await institutions.CreateHealthcareService(request, metadata=network_admin)
    assert service.service_minutes == 10
    again = institutions.CreateHealthcareService(request, metadata=network_admin)
    assert (await problem(again))[0] == "ALREADY_EXISTS"
    request.name = "Poli Gigi"
    prefix = institutions.CreateHealthcareService(request, metadata=network_admin)
    assert await problem(prefix) == ("ALREADY_EXISTS", "SERVICE_PREFIX_TAKEN")
    counter = requests.CreateCounterRequest(institution_id=made.id, name="Loket 1")
    await institutions.CreateCounter(counter, metadata=network_admin)
    assert await problem(institutions.CreateCounter(counter, metadata=network_admin)) == (
        "ALREADY_EXISTS",
        "COUNTER_NAME_TAKEN",
    )


async def test_same_request_id_gives_the_same_answer(
    institutions: InstitutionServiceAsyncStub, network_admin: Metadata
) -> None:
    request = requests.CreateInstitutionRequest(
        request_id=str(uuid4()), name="RSUD", city="Palu", time_zone="Asia/Makassar"
    )
    first = await institutions.CreateInstitution(request, metadata=network_admin)
    second = await institutions.CreateInstitution(request, metadata=network_admin)
    assert first == second
    request.city = "Poso"
    call = institutions.CreateInstitution(request, metadata=network_admin)
    assert await problem(call) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def test_facility_admin_stays_in_the_facility(
    institutions: InstitutionServiceAsyncStub, mesh: Mesh, network_admin: Metadata
) -> None:
    made = await create(institutions, network_admin)
    other = mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=str(uuid4()))
    call = institutions.UpdateInstitution(
        requests.UpdateInstitutionRequest(id=made.id, city="X"), metadata=other
    )
    assert await problem(call) == ("PERMISSION_DENIED", "OTHER_INSTITUTION")
    own = mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=made.id)
    assert await problem(create(institutions, own)) == ("PERMISSION_DENIED", "NETWORK_ADMIN_ONLY")


async def test_facts_are_for_services_only(
    institutions: InstitutionServiceAsyncStub, mesh: Mesh, network_admin: Metadata
) -> None:
    made = await create(institutions, network_admin)
    request = requests.GetFacilityFactsRequest(institution_id=made.id)
    call = institutions.GetFacilityFacts(request, metadata=network_admin)
    assert await problem(call) == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
    async with mesh.channel("institution_svc", "queue_svc") as channel:
        facts = await InstitutionServiceStub(channel).GetFacilityFacts(request)
    assert facts.institution == made


async def test_bad_fields_are_named(
    institutions: InstitutionServiceAsyncStub, network_admin: Metadata
) -> None:
    call = institutions.CreateInstitution(
        requests.CreateInstitutionRequest(name="", city="Palu", time_zone="Mars/Olympus"),
        metadata=network_admin,
    )
    assert await problem(call) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    token = requests.ListInstitutionsRequest(page_token="###")
    assert await problem(institutions.ListInstitutions(token)) == (
        "INVALID_ARGUMENT",
        "PAGE_TOKEN_INVALID",
    )


async def test_no_token_no_change(institutions: InstitutionServiceAsyncStub) -> None:
    assert await problem(create(institutions, ())) == ("UNAUTHENTICATED", "TOKEN_MISSING")
