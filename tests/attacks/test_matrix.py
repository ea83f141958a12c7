"""Every RPC, called by everyone, on their own objects and on somebody else's.

What must happen is computed from the policies (tools/generation/access.py, which prints
docs/reference/access.md).
"""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest
from mediq.policy.v1.policy_pb2 import Access, Role, Scope

from mesh.contract.methods import SERVERS, Method, methods, peer_name
from mesh.identity.tls import PEERS
from tests import attacks
from tests.attacks.callers import headers_of
from tests.attacks.doors import Doors, RawCall
from tests.attacks.made import Side, request_for
from tests.attacks.world import World
from tests.support.scan import NUMBER
from tests.support.waiting import PATIENCE_SECONDS
from tools.generation.access import CALLERS, Caller, Verdict, matrix_cell, verdict

pytestmark = pytest.mark.model
TESTS = Path(__file__).parents[1]
WHOLE_NIK = {"RevealNik", "UploadDocument", "GetDraft", "UpdateDraft", "ExportPersonalData"}
"""RPCs that show a whole NIK: the audited look, one's own card and one's own copy."""
DOCUMENT = TESTS.parent / "docs" / "reference" / "access.md"
ALL = list(methods().values())
each_method = pytest.mark.parametrize("method", ALL, ids=lambda method: method.name)


def side_of(world: World, own: bool) -> Side:
    return (world.first if own else world.second).side


def told_nobodys_number(world: World, method: Method, answer: str) -> None:
    """Fails when an answer shows a whole NIK that is not asked for, or a name to anybody."""
    if method.name not in WHOLE_NIK:
        assert not NUMBER.search(answer), f"{method.name} shows a NIK"
    if method.policy.access == Access.ACCESS_PUBLIC and method.name not in WHOLE_NIK:
        patients = (world.first, world.second)
        told = [name for name in (one.patient_name for one in patients) if name.upper() in answer]
        told += [one.side.patient_id for one in patients if one.side.patient_id in answer]
        assert not told, f"{method.name} names a patient to anybody"


def held_apart(world: World, method: Method, caller: Caller, answer: str) -> None:
    """Fails when an answer tells a caller about the other facility or patient."""
    if method.policy.access == Access.ACCESS_USER and not caller.whole_network:
        told = {secret for secret in world.second.side.secrets if secret in answer}
        assert not told, f"{caller.name} learns {told} from {method.name}"


@each_method
def test_everyone_gets_through_envoy_what_the_policy_says(
    world: World, doors: Doors, method: Method
) -> None:
    for caller in CALLERS:
        for own in (True, False):
            expected = verdict(method, caller, own)
            harmless = method.mutating and expected is Verdict.PASSES
            request = request_for(method, side_of(world, own), broken=harmless)
            for found, answer in doors.rest(method, request, headers_of(world, caller)):
                assert found == expected, f"{caller.name}, own {own}: {answer}"
                told_nobodys_number(world, method, answer)
                if own and found is Verdict.PASSES:
                    held_apart(world, method, caller, answer)


@each_method
def test_everyone_gets_at_the_service_what_the_policy_says(
    world: World, doors: Doors, method: Method
) -> None:
    for caller in CALLERS:
        for own in (True, False):
            expected = verdict(method, caller, own)
            harmless = method.mutating and expected is Verdict.PASSES
            request = request_for(method, side_of(world, own), broken=harmless)
            found, answer = doors.port(method, request, headers_of(world, caller), "edge")
            assert found == expected, f"{caller.name}, own {own}: {answer}"
            told_nobodys_number(world, method, answer)
            if own and found is Verdict.PASSES:
                held_apart(world, method, caller, answer)


@each_method
def test_certificates_that_are_not_listed_call_nothing(
    world: World, doors: Doors, method: Method
) -> None:
    listed = {peer_name(peer) for peer in method.policy.callers}
    for identity in PEERS:
        request = request_for(method, world.first.side, broken=True)
        found, answer = doors.port(method, request, world.network.headers, identity)
        if identity not in listed:
            assert found is Verdict.PERMISSION_DENIED, f"{identity}: {answer}"
            assert "CALLER_NOT_ALLOWED" in answer
        elif method.policy.access == Access.ACCESS_SERVICE:
            assert found is Verdict.PASSES, f"{identity}: {answer}"


@each_method
def test_nobody_without_a_certificate_reaches_a_service(
    world: World, doors: Doors, method: Method
) -> None:
    channel = doors.channel(method.server, "")
    request = request_for(method, world.first.side, broken=True)
    call: RawCall = channel.unary_unary(
        method.path, request_serializer=type(request).SerializeToString
    )
    with pytest.raises(grpc.RpcError) as caught:
        call(request, metadata=tuple(world.network.headers.items()), timeout=PATIENCE_SECONDS)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_refused_calls_changed_nothing(world: World) -> None:
    """The last of the matrix: what it called upon is still what it was."""
    headers = world.network.headers
    for facility in (world.first, world.second):
        ticket = world.client.get(f"/queue/{facility.side.ticket_id}", headers=headers).json()
        assert (ticket["status"], ticket["version"]) == ("TICKET_STATUS_WAITING", 1)
        assert ticket["priority"] == "PRIORITY_NORMAL"
        user = world.client.get(f"/users/{facility.operator.id}", headers=headers)
        assert user.json()["role"] == "ROLE_OPERATOR"
        assert world.client.get("/users/profile", headers=facility.operator.headers).is_success
        place = world.client.get(f"/institutions/{facility.side.institution_id}").json()
        assert place["name"].startswith("Puskesmas ")


def test_the_printed_table_is_the_tested_one() -> None:
    printed = {}
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("| `"):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            assert name not in printed
            printed[name.strip("`")] = cells
    tested = {method.name: [matrix_cell(method, caller) for caller in CALLERS] for method in ALL}
    assert printed == tested


def test_every_role_and_scope_of_the_contracts_is_a_caller() -> None:
    assert {caller.role for caller in CALLERS} == set(Role.values())
    assert {caller.scope for caller in CALLERS} == set(Scope.values())
    assert {method.server for method in ALL} == set(SERVERS)


def test_the_list_of_checks_names_tests_that_exist() -> None:
    """The list in this folder's docstring."""
    named = set(re.findall(r"[\w/]+/test_\w+\.py", attacks.__doc__ or ""))
    assert len(named) > 20
    assert not [name for name in named if not (TESTS / name).is_file()]
