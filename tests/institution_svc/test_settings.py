"""Settings of facilities and their services."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from mediq.institution.v1 import institution_pb2 as messages
from mediq.institution.v1 import institution_service_pb2 as requests
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceStub
from mediq.policy.v1.policy_pb2 import Role
from mediq.queue.v1 import queue_pb2 as queue

from mesh.contract.status import from_rpc_error
from tests.institution_svc.conftest import Metadata
from tests.institution_svc.made import create
from tests.support.mesh import Mesh, problem

if TYPE_CHECKING:
    import grpc
    from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceAsyncStub

RATES = messages.PriorityRates(high=4, normal=2, low=1)
NO_RULES = messages.PriorityRules(elderly_age=60)
OTHER_RATES = messages.PriorityRates(high=8.5, normal=8.5, low=0.1)


class Facility:
    """A facility of the test, and who administers it."""

    def __init__(self, stub: InstitutionServiceAsyncStub, metadata: Metadata, id: str) -> None:
        self.stub, self.metadata, self.id = stub, metadata, id

    async def rules(self, **changes: Any) -> messages.PriorityRules:
        request = requests.UpdateInstitutionRequest(id=self.id, **changes)
        return (await self.stub.UpdateInstitution(request, metadata=self.metadata)).priority_rules

    async def add(self, **settings: Any) -> messages.HealthcareService:
        values = {"name": "Poli Umum", "prefix": "A"} | settings
        request = requests.CreateHealthcareServiceRequest(institution_id=self.id, **values)
        return await self.stub.CreateHealthcareService(request, metadata=self.metadata)

    async def change(self, service_id: str, **changes: Any) -> messages.HealthcareService:
        values = {"institution_id": self.id, "id": service_id} | changes
        request = requests.UpdateHealthcareServiceRequest(**values)
        return await self.stub.UpdateHealthcareService(request, metadata=self.metadata)

    async def services(self) -> list[messages.HealthcareService]:
        request = requests.ListHealthcareServicesRequest(institution_id=self.id)
        return list((await self.stub.ListHealthcareServices(request)).services)


@pytest.fixture
async def facility(
    institutions: InstitutionServiceAsyncStub, mesh: Mesh, network_admin: Metadata
) -> Facility:
    made = await create(institutions, network_admin)
    return Facility(
        institutions, mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=made.id), made.id
    )


def rule(
    ground: queue.PriorityGround.ValueType, priority: queue.Priority.ValueType
) -> messages.PriorityRule:
    return messages.PriorityRule(ground=ground, priority=priority)


async def violation(call: grpc.aio.UnaryUnaryCall[Any, Any] | Any) -> tuple[str, str]:
    """The reason of an INVALID_ARGUMENT and the field that it names."""
    import grpc
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    request = error_details_pb2.BadRequest()
    assert any(one.Unpack(request) for one in rpc_status.from_call(error.value).details)
    (found,) = request.field_violations
    return from_rpc_error(error.value).reason, found.field


async def test_a_new_facility_prefers_by_law(facility: Facility) -> None:
    got = await facility.stub.GetInstitution(requests.GetInstitutionRequest(id=facility.id))
    assert got.priority_rules.elderly_age == 60
    assert [(one.ground, one.priority) for one in got.priority_rules.rules] == [
        (queue.PRIORITY_GROUND_ELDERLY, queue.PRIORITY_HIGH),
        (queue.PRIORITY_GROUND_PREGNANT, queue.PRIORITY_HIGH),
        (queue.PRIORITY_GROUND_DISABLED, queue.PRIORITY_HIGH),
        (queue.PRIORITY_GROUND_REFERRAL, queue.PRIORITY_HIGH),
    ]


async def test_priority_rules_are_replaced_as_a_whole(facility: Facility) -> None:
    wanted = messages.PriorityRules(
        elderly_age=65,
        rules=[
            rule(queue.PRIORITY_GROUND_ELDERLY, queue.PRIORITY_NORMAL),
            rule(queue.PRIORITY_GROUND_REFERRAL, queue.PRIORITY_HIGH),
        ],
    )
    assert await facility.rules(priority_rules=wanted) == wanted
    assert await facility.rules(city="Cimahi") == wanted
    assert await facility.rules(priority_rules=messages.PriorityRules()) == NO_RULES
    got = await facility.stub.GetInstitution(requests.GetInstitutionRequest(id=facility.id))
    assert (got.priority_rules, got.city) == (NO_RULES, "Cimahi")
    listed = await facility.stub.ListInstitutions(requests.ListInstitutionsRequest())
    found = await facility.stub.SearchInstitutions(requests.SearchInstitutionsRequest(q="RSUD"))
    assert list(listed.institutions) == list(found.institutions) == [got]


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (
            [
                rule(queue.PRIORITY_GROUND_ELDERLY, queue.PRIORITY_HIGH),
                rule(queue.PRIORITY_GROUND_ELDERLY, queue.PRIORITY_NORMAL),
            ],
            "RULES_INVALID",
        ),
        ([rule(queue.PRIORITY_GROUND_STAFF, queue.PRIORITY_HIGH)], "INVALID_REQUEST"),
        ([rule(queue.PRIORITY_GROUND_PREGNANT, queue.PRIORITY_URGENT)], "INVALID_REQUEST"),
        ([messages.PriorityRule()], "INVALID_REQUEST"),
        ([rule(queue.PRIORITY_GROUND_PREGNANT, queue.PRIORITY_HIGH)] * 5, "INVALID_REQUEST"),
    ],
)
async def test_bad_priority_rules(
    facility: Facility, rules: list[messages.PriorityRule], reason: str
) -> None:
    call = facility.rules(city="Cimahi", priority_rules=messages.PriorityRules(rules=rules))
    assert await problem(call) == ("INVALID_ARGUMENT", reason)
    got = await facility.stub.GetInstitution(requests.GetInstitutionRequest(id=facility.id))
    assert (got.city, len(got.priority_rules.rules)) == ("Bandung", 4)


async def test_bad_priority_rules_name_the_field(facility: Facility) -> None:
    twice = [rule(queue.PRIORITY_GROUND_DISABLED, queue.PRIORITY_HIGH)] * 2
    call = facility.rules(priority_rules=messages.PriorityRules(rules=twice))
    assert await violation(call) == ("RULES_INVALID", "priority_rules.rules")


@pytest.mark.parametrize("age", [-1, 121])
async def test_an_impossible_elderly_age(facility: Facility, age: int) -> None:
    call = facility.rules(priority_rules=messages.PriorityRules(elderly_age=age))
    assert await problem(call) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("kind", "stored", "minutes"),
    [
        (messages.SERVICE_KIND_UNSPECIFIED, messages.SERVICE_KIND_CLINIC, 60),
        (messages.SERVICE_KIND_REGISTRATION, messages.SERVICE_KIND_REGISTRATION, 60),
        (messages.SERVICE_KIND_PHARMACY, messages.SERVICE_KIND_PHARMACY, 30),
        (messages.SERVICE_KIND_OTHER, messages.SERVICE_KIND_OTHER, 60),
    ],
)
async def test_a_new_service_has_the_usual_settings(
    facility: Facility,
    kind: messages.ServiceKind.ValueType,
    stored: messages.ServiceKind.ValueType,
    minutes: int,
) -> None:
    made = await facility.add(kind=kind)
    assert made == messages.HealthcareService(
        id=made.id,
        institution_id=facility.id,
        name="Poli Umum",
        prefix="A",
        service_minutes=10,
        kind=stored,
        rates=RATES,
        standard_wait_minutes=minutes,
    )
    assert await facility.services() == [made]


async def test_a_service_keeps_the_settings_that_it_is_given(
    facility: Facility, mesh: Mesh
) -> None:
    made = await facility.add(
        kind=messages.SERVICE_KIND_PHARMACY,
        rates=OTHER_RATES,
        standard_wait_minutes=45,
        opens="07:30",
        closes="14:00",
    )
    assert (made.rates, made.standard_wait_minutes) == (OTHER_RATES, 45)
    assert (made.opens, made.closes) == ("07:30", "14:00")
    assert await facility.services() == [made]
    request = requests.GetFacilityFactsRequest(institution_id=facility.id, service_id=made.id)
    async with mesh.channel("institution_svc", "queue_svc") as channel:
        facts = await InstitutionServiceStub(channel).GetFacilityFacts(request)
    assert facts.service == made
    assert len(facts.institution.priority_rules.rules) == 4


BAD_HOURS = [
    ({"opens": "08:00"}, "closes"),
    ({"closes": "16:00"}, "opens"),
    ({"opens": "08:00", "closes": "08:00"}, "closes"),
    ({"opens": "22:00", "closes": "06:00"}, "closes"),
]
INVERTED_RATES = [
    messages.PriorityRates(high=1, normal=2, low=0.5),
    messages.PriorityRates(high=4, normal=1, low=2),
]


@pytest.mark.parametrize(("hours", "field"), BAD_HOURS)
async def test_bad_hours(facility: Facility, hours: dict[str, str], field: str) -> None:
    assert await violation(facility.add(**hours)) == ("HOURS_INVALID", field)
    assert await facility.services() == []
    made = await facility.add()
    assert await violation(facility.change(made.id, **hours)) == ("HOURS_INVALID", field)
    assert await facility.services() == [made]


@pytest.mark.parametrize("rates", INVERTED_RATES)
async def test_inverted_rates(facility: Facility, rates: messages.PriorityRates) -> None:
    assert await violation(facility.add(rates=rates)) == ("RATES_INVALID", "rates")
    made = await facility.add()
    assert await violation(facility.change(made.id, rates=rates)) == ("RATES_INVALID", "rates")
    assert await facility.services() == [made]


@pytest.mark.parametrize(
    "settings",
    [
        {"rates": messages.PriorityRates(high=4, normal=2)},
        {"rates": messages.PriorityRates(high=1001, normal=2, low=1)},
        {"rates": messages.PriorityRates(high=math.nan, normal=2, low=1)},
        {"rates": messages.PriorityRates(high=math.inf, normal=2, low=1)},
        {"opens": "8:00", "closes": "16:00"},
        {"opens": "08:00", "closes": "24:00"},
        {"standard_wait_minutes": 601},
        {"standard_wait_minutes": -1},
        {"service_minutes": 241},
        {"kind": 9},
    ],
)
async def test_settings_out_of_range(facility: Facility, settings: dict[str, Any]) -> None:
    bad = ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert await problem(facility.add(**settings)) == bad
    made = await facility.add()
    assert await problem(facility.change(made.id, **settings)) == bad


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Poli Anak"},
        {"service_minutes": 15},
        {"kind": messages.SERVICE_KIND_PHARMACY},
        {"rates": OTHER_RATES},
        {"standard_wait_minutes": 90},
        {"opens": "07:00"},
        {"closes": "23:59"},
        {"opens": "", "closes": ""},
        {},
    ],
)
async def test_an_update_changes_only_what_is_given(
    facility: Facility, changes: dict[str, Any]
) -> None:
    made = await facility.add(opens="08:00", closes="16:00")
    changed = await facility.change(made.id, **changes)
    rest = {name: getattr(made, name) for name in made.DESCRIPTOR.fields_by_name}
    assert changed == messages.HealthcareService(**(rest | changes))
    assert await facility.services() == [changed]


async def test_a_kind_that_is_not_stated_is_a_clinic(facility: Facility) -> None:
    made = await facility.add(kind=messages.SERVICE_KIND_PHARMACY)
    changed = await facility.change(made.id, kind=messages.SERVICE_KIND_UNSPECIFIED)
    assert (changed.kind, changed.standard_wait_minutes) == (messages.SERVICE_KIND_CLINIC, 30)


async def test_the_name_of_another_service_is_taken(facility: Facility) -> None:
    made = await facility.add()
    other = await facility.add(name="Poli Gigi", prefix="B")
    assert await problem(facility.change(other.id, name="Poli Umum", service_minutes=99)) == (
        "ALREADY_EXISTS",
        "SERVICE_NAME_TAKEN",
    )
    assert await facility.services() == [other, made]
    assert await facility.change(made.id, name="Poli Umum") == made


async def test_a_service_is_found_in_its_own_facility_only(
    facility: Facility, institutions: InstitutionServiceAsyncStub, network_admin: Metadata
) -> None:
    made = await facility.add()
    other = await create(institutions, network_admin, "RSUD Lain")
    gone = ("NOT_FOUND", "SERVICE_NOT_FOUND")
    assert await problem(facility.change(str(uuid4()), name="X")) == gone
    facility.metadata = network_admin
    assert await problem(facility.change(made.id, institution_id=other.id, name="X")) == gone
    closing = requests.DeleteInstitutionRequest(id=facility.id)
    await institutions.DeleteInstitution(closing, metadata=network_admin)
    closed = ("NOT_FOUND", "INSTITUTION_NOT_FOUND")
    assert await problem(facility.change(made.id, name="X")) == closed


async def test_who_may_change_a_service(facility: Facility, mesh: Mesh) -> None:
    made = await facility.add()
    facility.metadata = mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=str(uuid4()))
    other = ("PERMISSION_DENIED", "OTHER_INSTITUTION")
    assert await problem(facility.change(made.id, name="X")) == other
    facility.metadata = mesh.token(Role.ROLE_OPERATOR, institution_id=facility.id)
    assert (await problem(facility.change(made.id, name="X")))[0] == "PERMISSION_DENIED"
    assert await facility.services() == [made]


async def test_an_update_has_one_effect_a_request_id(facility: Facility) -> None:
    made = await facility.add()
    key = str(uuid4())
    first = await facility.change(made.id, request_id=key, service_minutes=20)
    later = await facility.change(made.id, service_minutes=30)
    assert await facility.change(made.id, request_id=key, service_minutes=20) == first
    assert await facility.services() == [later]
    again = facility.change(made.id, request_id=key, service_minutes=25)
    assert await problem(again) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def test_two_updates_at_once_leave_sound_hours(facility: Facility) -> None:
    made = await facility.add(opens="08:00", closes="16:00")
    answers = await asyncio.gather(
        facility.change(made.id, opens="12:00"),
        facility.change(made.id, closes="11:00"),
        return_exceptions=True,
    )
    (refusal,) = (one for one in answers if isinstance(one, BaseException))
    assert "opens" in str(refusal)
    (found,) = await facility.services()
    assert found.opens < found.closes
