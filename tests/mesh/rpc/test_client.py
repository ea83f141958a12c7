import json
import time
from contextvars import copy_context

import grpc
import pytest
from mediq.institution.v1 import institution_service_pb2 as requests
from mediq.institution.v1.institution_pb2 import Institution
from mediq.institution.v1.institution_service_pb2_grpc import (
    InstitutionServiceStub,
)
from mediq.policy.v1.policy_pb2 import Peer

from mesh.contract.call import Call, enter_call
from mesh.contract.methods import methods
from mesh.errors import MeshError, StatusCode
from mesh.rpc.client import MARGIN_SECONDS, service_config, timeout_for
from mesh.rpc.pipeline import Context
from tests.mesh.conftest import SERVICE
from tests.support.mesh import Mesh, partly
from tests.support.waiting import PATIENCE_SECONDS

FACTS = requests.GetFacilityFactsRequest(institution_id="x")
PATH = "/mediq.institution.v1.InstitutionService/GetFacilityFacts"


class Scripted:
    """Fails as often as a test says, then answers."""

    def __init__(self, failures: int, code: grpc.StatusCode) -> None:
        self.left = failures
        self.code = code
        self.calls = 0
        self.remaining: list[float] = []
        self.traced: list[bool] = []

    async def GetFacilityFacts(
        self, request: requests.GetFacilityFactsRequest, context: Context
    ) -> requests.FacilityFacts:
        self.calls += 1
        self.remaining.append(context.time_remaining() or -1)
        self.traced.append("traceparent" in dict(context.invocation_metadata() or ()))
        if self.left:
            self.left -= 1
            await context.abort(self.code, "scripted")
        return requests.FacilityFacts(institution=Institution(name="RSUD"))


async def call(mesh: Mesh, scripted: Scripted) -> requests.FacilityFacts:
    registration = (partly(SERVICE), scripted)
    async with mesh.double("institution_svc", registration):
        channels = mesh.channels("queue_svc")
        try:
            stub = InstitutionServiceStub(channels.to("institution_svc"))
            return await stub.GetFacilityFacts(FACTS)
        finally:
            await channels.close()


async def test_unavailable_is_retried(mesh: Mesh) -> None:
    scripted = Scripted(2, grpc.StatusCode.UNAVAILABLE)
    assert (await call(mesh, scripted)).institution.name == "RSUD"
    assert scripted.calls == 3


async def test_retries_end(mesh: Mesh) -> None:
    scripted = Scripted(9, grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(MeshError) as caught:
        await call(mesh, scripted)
    assert scripted.calls == 3
    assert caught.value.kind is StatusCode.UNAVAILABLE
    assert caught.value.reason == "INSTITUTION_SVC_UNAVAILABLE"
    assert caught.value.retry_after_seconds


async def test_other_codes_are_not_retried(mesh: Mesh) -> None:
    scripted = Scripted(1, grpc.StatusCode.NOT_FOUND)
    with pytest.raises(MeshError) as caught:
        await call(mesh, scripted)
    assert (scripted.calls, caught.value.kind) == (1, StatusCode.NOT_FOUND)


async def test_refusal_of_a_service_is_not_the_persons_fault(mesh: Mesh) -> None:
    with pytest.raises(MeshError) as caught:
        await call(mesh, Scripted(1, grpc.StatusCode.PERMISSION_DENIED))
    assert caught.value.kind is StatusCode.INTERNAL


async def test_every_call_has_a_deadline(mesh: Mesh) -> None:
    scripted = Scripted(0, grpc.StatusCode.OK)
    await call(mesh, scripted)
    assert 0 < scripted.remaining[0] <= PATIENCE_SECONDS


async def test_deadline_shrinks_along_the_way(mesh: Mesh) -> None:
    scripted = Scripted(0, grpc.StatusCode.OK)
    enter_call(Call(methods()[PATH], Peer.PEER_EDGE, "", time.monotonic() + PATIENCE_SECONDS / 2))
    await call(mesh, scripted)
    assert 0 < scripted.remaining[0] <= PATIENCE_SECONDS / 2
    left = timeout_for(methods()[PATH])
    assert left is not None
    assert 0 < left <= PATIENCE_SECONDS / 2 - MARGIN_SECONDS


def test_no_time_left_is_said_at_once() -> None:
    def ask() -> None:
        enter_call(Call(methods()[PATH], Peer.PEER_EDGE, "", time.monotonic() + 0.01))
        timeout_for(methods()[PATH])

    with pytest.raises(MeshError) as caught:
        copy_context().run(ask)
    assert caught.value.kind is StatusCode.DEADLINE_EXCEEDED


async def test_dead_server_is_unavailable(mesh: Mesh) -> None:
    mesh.addresses["institution_svc"] = "127.0.0.1:1"
    channels = mesh.channels("queue_svc")
    with pytest.raises(MeshError) as caught:
        await InstitutionServiceStub(channels.to("institution_svc")).GetFacilityFacts(FACTS)
    await channels.close()
    assert caught.value.reason == "INSTITUTION_SVC_UNAVAILABLE"


def test_only_marked_methods_are_retried() -> None:
    config = json.loads(service_config("user_svc"))
    names = {entry["method"] for entry in config["methodConfig"][0]["name"]}
    assert "EnsurePatient" in names
    assert "RefreshToken" not in names
    assert "timeout" not in config["methodConfig"][0]
