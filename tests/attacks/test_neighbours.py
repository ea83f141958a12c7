"""Objects of the next person in the same hall, and requests that mix what is one's own and not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from uuid import uuid4

import pytest

from mesh.contract.methods import Method
from tests.attacks.callers import headers_of
from tests.attacks.doors import Doors
from tests.attacks.made import FOR_PERSONS, Side, request_for
from tests.attacks.world import World
from tools.contract_lint.contracts import rules_of
from tools.generation.access import CALLERS, STAFF, Caller, Verdict, verdict

pytestmark = pytest.mark.model
NIK = "3201016203850055"
ALONE = [caller for caller in CALLERS if (caller.role or caller.scope) and caller.role not in STAFF]
"""Callers whose own is one person's."""
AT_WORK = [caller for caller in CALLERS if caller.role in STAFF and not caller.whole_network]
ANYBODYS = {("CreateTicket", "patient_id")}
"""Fields in which staff may name what is not their facility's: any patient may come to it."""
NOT_THEIRS = ("OTHER_", "_NOT_FOUND")


@pytest.fixture(scope="module")
def neighbour(world: World) -> Side:
    """Another patient who waits for the same service."""
    side, staff = world.first.side, world.first.operator.headers
    name = "Tetangga Wirasatya"
    person = {"role": "ROLE_PASIEN", "nik": NIK, "nama": name, "institutionId": side.institution_id}
    made = world.client.post("/users", json=person, headers=world.first.admin.headers)
    assert made.is_success, made.text
    patient = made.json()["id"]
    ticket = world.client.post(
        "/queue",
        json={
            "requestId": str(uuid4()),
            "institutionId": side.institution_id,
            "serviceId": side.service_id,
            "patientId": patient,
        },
        headers=staff,
    )
    assert ticket.is_success, ticket.text
    world.secrets.update({NIK, name, name.upper()})
    return replace(
        side,
        patient_id=patient,
        ticket_id=ticket.json()["id"],
        journey_id=ticket.json()["journeyId"],
        draft_id=world.second.side.draft_id,
        session_id=world.first.admin.session_id,
    )


@pytest.mark.parametrize("method", FOR_PERSONS, ids=lambda method: method.name)
def test_the_next_in_the_hall_is_as_far_away_as_anybody(
    world: World, doors: Doors, neighbour: Side, method: Method
) -> None:
    own = world.first.side
    theirs = {neighbour.patient_id, neighbour.ticket_id, neighbour.journey_id, neighbour.draft_id}
    assert not theirs & {own.patient_id, own.ticket_id, own.journey_id, own.draft_id}
    for caller in ALONE:
        expected = verdict(method, caller, own=False)
        harmless = method.mutating and expected is Verdict.PASSES
        request, headers = (
            request_for(method, neighbour, broken=harmless),
            headers_of(world, caller),
        )
        answers = [doors.port(method, request, headers, "edge")]
        answers += doors.rest(method, request, headers)
        for found, answer in answers:
            assert found is expected, f"{caller.name}: {answer}"
            assert found is not Verdict.PASSES or not [one for one in theirs if one in answer]


def mixed(method: Method, own: Side, other: Side) -> Iterator[tuple[str, str]]:
    """Each field that names something, and what it names of another facility."""
    named = [
        field.name
        for field in method.input.fields
        if rules_of(field).string.uuid and field.name != "request_id"
    ]
    if len(named) > 1:
        yield from ((name, other.named(method, name)) for name in named)


MIXED = [
    (caller, method)
    for method in FOR_PERSONS
    for caller in AT_WORK
    if verdict(method, caller, own=True) is Verdict.PASSES
    and any(mixed(method, Side(*"abcdefghi"), Side(*"abcdefghi")))
]


def refused_as_not_theirs(found: Verdict, answer: str) -> bool:
    return found is not Verdict.PASSES or any(word in answer for word in NOT_THEIRS)


@pytest.mark.parametrize(("caller", "method"), MIXED, ids=lambda value: value.name if value else "")
def test_one_foreign_thing_in_a_request_is_one_too_many(
    world: World, doors: Doors, caller: Caller, method: Method
) -> None:
    """Who may name their own facility cannot reach into another one beside it."""
    own, other = world.first.side, world.second.side
    headers: Mapping[str, str] = headers_of(world, caller)
    for field, foreign in mixed(method, own, other):
        if (method.name, field) in ANYBODYS:
            continue
        request = request_for(method, own)
        setattr(request, field, foreign)
        answers = [doors.port(method, request, headers, "edge")]
        answers += doors.rest(method, request, headers)
        for found, answer in answers:
            if method.mutating:
                assert refused_as_not_theirs(found, answer), f"{field}: {answer}"
            elif found is Verdict.PASSES:
                told = [one for one in other.secrets - {foreign} if one in answer]
                assert not told, f"{field}: {answer}"


def test_the_next_in_the_hall_still_waits(world: World, neighbour: Side) -> None:
    """After all of the above."""
    headers = world.first.operator.headers
    for waiting in (neighbour, world.first.side):
        ticket = world.client.get(f"/queue/{waiting.ticket_id}", headers=headers).json()
        assert (ticket["status"], ticket["version"]) == ("TICKET_STATUS_WAITING", 1)
