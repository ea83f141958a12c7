"""Whose staff reach a patient, what a counter sees of one, and the session that it opens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo, RequestInfo
from grpc_status import rpc_status
from mediq.policy.v1.policy_pb2 import Access, Role, Scope
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1 import user_service_pb2 as users
from mediq.user.v1.user_pb2 import User
from mediq.user.v1.user_service_pb2_grpc import UserServiceStub

from mesh.contract.methods import methods
from mesh.identity.tokens import TokenVerifier
from tests.support.mesh import problem
from tests.user_svc.conftest import NAME, Metadata, World, bearer, new_nik
from tests.user_svc.counter import DETAILS, UNKNOWN, Counter

Call = Callable[[Counter, str, Metadata], Awaitable[object]]
Calls = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
DENIED = ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")


async def _reveal(counter: Counter, user_id: str, metadata: Metadata) -> object:
    return await counter.reveal(user_id, metadata)


async def _correct(counter: Counter, user_id: str, metadata: Metadata) -> object:
    return await counter.correct(user_id, metadata, alamat="JL. KENANGA 1")


async def _open_rights(counter: Counter, user_id: str, metadata: Metadata) -> object:
    return await counter.open_rights(user_id, metadata)


CALLS = pytest.mark.parametrize("call", [_reveal, _correct, _open_rights])


@pytest.fixture
def counter(world: World) -> Counter:
    return Counter(world)


async def refusal_of(call: Awaitable[object], identifier: str) -> list[bytes]:
    """All that a refused caller gets, but for the identifier that they named and the trace."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    assert status is not None
    assert identifier in str(status)
    found = [status.message.encode()]
    for detail in status.details:
        info = ErrorInfo()
        if detail.Unpack(info):
            info.metadata.pop("traceId", None)
            found.append(info.SerializeToString(deterministic=True))
        elif not detail.Is(RequestInfo.DESCRIPTOR):
            found.append(detail.value.replace(identifier.encode(), b""))
    return found


class TestScope:
    @CALLS
    async def test_staff_of_the_facility_and_the_network(
        self, counter: Counter, call: Call
    ) -> None:
        patient = await counter.patient()
        admin = counter.mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=counter.institution_id)
        for metadata in (counter.operator, admin, counter.world.network_admin):
            assert await call(counter, patient.id.upper(), metadata)

    @CALLS
    async def test_others_are_told_what_is_told_of_nobody(
        self, counter: Counter, call: Call
    ) -> None:
        patient, other = await counter.patient(), Counter(counter.world)
        await other.patient()
        nobody = str(uuid4())
        unknown = await refusal_of(call(counter, nobody, counter.operator), nobody)
        admin = counter.mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=other.institution_id)
        # An operator without a facility is a network administrator to nobody.
        homeless = counter.mesh.token(Role.ROLE_OPERATOR)
        for metadata in (other.operator, admin, homeless):
            assert await refusal_of(call(counter, patient.id, metadata), patient.id) == unknown

    @CALLS
    async def test_patients_may_not(self, counter: Counter, call: Call) -> None:
        patient = await counter.patient()
        token = counter.mesh.token
        for metadata in (
            token(Role.ROLE_PASIEN, subject=patient.id),
            token(scope=Scope.SCOPE_TICKETS, subject=patient.id),
            token(scope=Scope.SCOPE_REGISTRATION, subject=patient.id),
            token(scope=Scope.SCOPE_DATA_RIGHTS, subject=patient.id),
        ):
            assert await problem(call(counter, patient.id, metadata)) == DENIED

    @CALLS
    async def test_staff_accounts_are_no_patients(self, counter: Counter, call: Call) -> None:
        colleague = await counter.world.create(institution_id=counter.institution_id)
        for metadata in (counter.operator, counter.world.network_admin):
            assert await problem(call(counter, colleague.id, metadata)) == UNKNOWN

    @CALLS
    async def test_closed_accounts_are_not_found(self, counter: Counter, call: Call) -> None:
        patient = await counter.patient()
        await counter.world.users.DeleteUser(
            users.DeleteUserRequest(id=patient.id), metadata=counter.world.network_admin
        )
        for metadata in (counter.operator, counter.world.network_admin):
            assert await problem(call(counter, patient.id, metadata)) == UNKNOWN

    @pytest.mark.parametrize(
        "request_",
        [
            users.RevealNikRequest(id=str(uuid4()), reason="abcd"),
            users.CorrectPatientRequest(id=str(uuid4()), alamat="JL. A 1"),
            users.OpenDataRightsRequest(id=str(uuid4())),
            users.RevealNikRequest(id="x", reason="alasan"),
        ],
    )
    async def test_a_reason_is_needed(
        self,
        counter: Counter,
        request_: users.RevealNikRequest
        | users.CorrectPatientRequest
        | users.OpenDataRightsRequest,
    ) -> None:
        stub = counter.world.users
        call: Awaitable[object]
        if isinstance(request_, users.RevealNikRequest):
            call = stub.RevealNik(request_, metadata=counter.operator)
        elif isinstance(request_, users.CorrectPatientRequest):
            call = stub.CorrectPatient(request_, metadata=counter.operator)
        else:
            call = stub.OpenDataRights(request_, metadata=counter.operator)
        assert await problem(call) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


class TestJoining:
    async def test_every_facility_where_the_patient_registers(self, counter: Counter) -> None:
        nik, second = new_nik(), Counter(counter.world)
        patient = await counter.patient(nik)
        assert await problem(second.reveal(patient.id)) == UNKNOWN
        for _ in range(2):
            assert await second.patient(nik) == patient
        assert await counter.reveal(patient.id) == await second.reveal(patient.id) == nik
        assert list((await counter.record(patient.id)).institution_ids) == [
            counter.institution_id,
            second.institution_id,
        ]

    async def test_a_registration_without_a_facility_joins_none(self, counter: Counter) -> None:
        patient = (await counter.world.ensure(new_nik())).user
        assert not (await counter.record(patient.id)).institution_ids

    async def test_somebody_else_does_not_join(self, counter: Counter) -> None:
        nik, second = new_nik(), Counter(counter.world)
        patient = await counter.patient(nik)
        assert (await problem(second.patient(nik, "BUDI SANTOSO")))[1] == "NIK_NAME_MISMATCH"
        assert await problem(second.reveal(patient.id)) == UNKNOWN

    async def test_a_repetition_joins_once(self, counter: Counter) -> None:
        nik, key = new_nik(), str(uuid4())
        facility = counter.institution_id
        first = await counter.world.ensure(nik, request_id=key, institution_id=facility)
        assert first == await counter.world.ensure(nik, request_id=key, institution_id=facility)
        assert counter.world.sql("SELECT COUNT(*) FROM patient_institutions") == [(1,)]

    async def test_registrations_at_the_same_moment(self, counter: Counter) -> None:
        nik, second = new_nik(), Counter(counter.world)
        found = await asyncio.gather(
            *(where.patient(nik) for _ in range(6) for where in (counter, second))
        )
        assert len({one.id for one in found}) == 1
        assert set((await counter.record(found[0].id)).institution_ids) == {
            counter.institution_id,
            second.institution_id,
        }

    async def test_a_patient_who_is_entered_at_the_counter(self, counter: Counter) -> None:
        facility = counter.institution_id
        admin = counter.mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=facility)

        async def enter(institution_id: str, metadata: Metadata) -> User:
            request = users.CreateUserRequest(
                nama=NAME, role=Role.ROLE_PASIEN, nik=new_nik(), institution_id=institution_id
            )
            return await counter.world.users.CreateUser(request, metadata=metadata)

        for metadata in (admin, counter.operator):
            here = await enter(facility, metadata)
            assert await counter.reveal(here.id)
            assert await problem(Counter(counter.world).reveal(here.id)) == UNKNOWN
            assert list((await counter.record(here.id)).institution_ids) == [facility]
        nowhere = await enter("", counter.world.network_admin)
        assert await problem(counter.reveal(nowhere.id)) == UNKNOWN
        assert await counter.reveal(nowhere.id, counter.world.network_admin)

    async def test_staff_join_nothing(self, counter: Counter) -> None:
        await counter.world.create(institution_id=counter.institution_id)
        assert counter.world.sql("SELECT COUNT(*) FROM patient_institutions") == [(0,)]


class TestRecord:
    async def test_all_that_is_known(self, counter: Counter) -> None:
        nik = new_nik()
        patient = await counter.patient(nik)
        found = await counter.record(patient.id.upper())
        assert found.user == patient
        identity = {field.name: value for field, value in found.identity.ListFields()}
        assert identity == {"nik": nik, "nama": NAME, **DETAILS}

    async def test_nobody_staff_and_closed_accounts(self, counter: Counter) -> None:
        patient, staff = await counter.patient(), await counter.world.create()
        await counter.erase(patient.id, retained=True)
        for user_id in (str(uuid4()), staff.id, patient.id):
            assert await problem(counter.record(user_id)) == UNKNOWN


class TestReveal:
    async def test_the_whole_number(self, counter: Counter) -> None:
        nik = new_nik()
        assert await counter.reveal((await counter.patient(nik)).id) == nik

    async def test_a_patient_without_one(self, counter: Counter) -> None:
        patient = await counter.patient()
        counter.world.sql("UPDATE users SET nik = NULL, nik_index = NULL")
        refusal = await problem(counter.reveal(patient.id))
        assert refusal == ("FAILED_PRECONDITION", "NIK_UNKNOWN")


class TestDataRights:
    async def test_a_session_of_its_own_for_a_quarter_of_an_hour(self, counter: Counter) -> None:
        patient = await counter.patient()
        verifier = TokenVerifier(counter.world.settings.keys / "jwks.json")
        before = int(time.time())
        opened = [await counter.open_rights(patient.id.upper()) for _ in range(2)]
        first, second = (verifier.verify(one.access_token) for one in opened)
        assert (first.subject, first.scope) == (patient.id, Scope.SCOPE_DATA_RIGHTS)
        assert (first.role, first.institution_id) == (Role.ROLE_UNSPECIFIED, "")
        assert first.session_id != second.session_id
        assert before + 15 * 60 <= first.expires_at <= time.time() + 15 * 60
        assert first.expires_at == opened[0].access_expire_time.seconds

    async def test_it_opens_nothing_else(self, counter: Counter) -> None:
        patient = await counter.patient()
        metadata = bearer((await counter.open_rights(patient.id)).access_token)
        refused = set()
        async with counter.mesh.channel("user_svc") as edge:
            for method in methods().values():
                if (
                    not method.service.startswith("mediq.user.")
                    or method.policy.access != Access.ACCESS_USER
                ):
                    continue
                call: Calls = edge.unary_unary(method.path)
                # The session is the person's: their own account is asked for where one can be.
                request = GetMessageClass(method.input)()
                for name in ("id", "user_id"):
                    if name in method.input.fields_by_name:
                        setattr(request, name, patient.id)
                answer = call(request.SerializeToString(), metadata=metadata)
                assert await problem(answer) == DENIED, method.name
                refused.add(method.name)
        assert {"GetProfile", "GetUserByNik", "RevealNik", "OpenDataRights"} <= refused

    async def test_services_do_not_issue_it(self, counter: Counter) -> None:
        patient = await counter.patient()
        call = counter.world.ocr_auth.IssueNarrowSession(
            logins.IssueNarrowSessionRequest(scope=Scope.SCOPE_DATA_RIGHTS, subject_id=patient.id)
        )
        assert await problem(call) == ("INVALID_ARGUMENT", "SCOPE_NOT_ISSUED")


@pytest.mark.parametrize("identity", ["edge", "gateway", "queue_svc", "ops", "user_svc"])
async def test_records_and_erasures_are_for_the_registration_service(
    counter: Counter, identity: str
) -> None:
    patient = await counter.patient()
    async with counter.mesh.channel("user_svc", identity) as channel:
        stub = UserServiceStub(channel)
        for call in (
            stub.GetPatientRecord(
                users.GetPatientRecordRequest(id=patient.id), metadata=counter.world.network_admin
            ),
            stub.ErasePatient(
                users.ErasePatientRequest(id=patient.id, request_id=str(uuid4())),
                metadata=counter.world.network_admin,
            ),
        ):
            assert await problem(call) == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
    assert (await counter.record(patient.id)).user == patient
