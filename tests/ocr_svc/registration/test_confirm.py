from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import grpc
import pytest
from mediq.ocr.v1 import registration_service_pb2 as messages
from mediq.policy.v1.policy_pb2 import Scope
from mediq.user.v1.auth_service_pb2_grpc import add_AuthServiceServicer_to_server
from mediq.user.v1.user_service_pb2_grpc import add_UserServiceServicer_to_server

from mesh.errors import MeshError, StatusCode, unavailable
from mesh.identity.tls import server_credentials
from tests.ocr_svc.conftest import Clinic, registration_token, upload
from tests.ocr_svc.doubles import NAME, NIK, card
from tests.ocr_svc.steps import COMPLETED, FAILED, state_becomes
from tests.support.deadlines import set_deadline
from tests.support.mesh import problem
from tests.support.waiting import PATIENCE_SECONDS, eventually, more

if TYPE_CHECKING:
    from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceAsyncStub

CONFIRMED = messages.REGISTRATION_STATE_CONFIRMED
ACCOUNT_READY = messages.REGISTRATION_STATE_ACCOUNT_READY


async def test_from_draft_to_ticket(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    draft, metadata = await upload(registrations)
    update = messages.UpdateDraftRequest(id=draft.id, nama="SITI RAHAYU B")
    await registrations.UpdateDraft(update, metadata=metadata)
    confirm = clinic.confirm_request(draft.id)
    done = await registrations.ConfirmRegistration(confirm, metadata=metadata)
    assert (done.state, done.failure_reason) == (COMPLETED, "")
    assert done.user_id == clinic.users.accounts[NIK]
    assert done.ticket == clinic.queue.tickets[done.id]
    assert done.ticket.patient_id == done.user_id
    assert clinic.users.keys == [done.id]
    (identity,) = clinic.users.identities
    assert (identity.nik, identity.nama) == (NIK, "SITI RAHAYU B")
    assert (identity.tanggal_lahir, identity.jenis_kelamin) == ("01-07-1990", "PEREMPUAN")
    issued = clinic.sessions.issued[-1]
    assert (issued.scope, issued.subject_id) == (Scope.SCOPE_TICKETS, done.user_id)
    assert done.session.access_token
    get = messages.GetRegistrationRequest(draft_id=draft.id)
    again = await registrations.GetRegistration(get, metadata=metadata)
    assert (again.id, again.ticket) == (done.id, done.ticket)
    assert again.session.access_token != done.session.access_token


async def test_only_what_is_needed_remains(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    draft, metadata = await upload(registrations)
    confirm = clinic.confirm_request(draft.id)
    await registrations.ConfirmRegistration(confirm, metadata=metadata)
    assert clinic.rows("SELECT reading FROM drafts") == [(None,)]
    ((identity, consent),) = clinic.rows("SELECT identity, consent_time FROM registrations")
    assert identity is None
    assert consent
    confirmed = ("FAILED_PRECONDITION", "DRAFT_CONFIRMED")
    update = messages.UpdateDraftRequest(id=draft.id, nama="X")
    assert await problem(registrations.UpdateDraft(update, metadata=metadata)) == confirmed
    get = messages.GetDraftRequest(id=draft.id)
    assert await problem(registrations.GetDraft(get, metadata=metadata)) == confirmed


async def test_confirmed_again(registrations: RegistrationServiceAsyncStub, clinic: Clinic) -> None:
    draft, metadata = await upload(registrations)
    confirm = clinic.confirm_request(draft.id)
    first = await registrations.ConfirmRegistration(confirm, metadata=metadata)
    for key in (confirm.request_id, str(uuid4())):
        repeated = clinic.confirm_request(draft.id, request_id=key)
        again = await registrations.ConfirmRegistration(repeated, metadata=metadata)
        assert (again.id, again.ticket, again.user_id) == (first.id, first.ticket, first.user_id)
    assert clinic.queue.calls == 1
    other = {"service_id": clinic.facilities.other_service_id}
    for key, reason in (
        (confirm.request_id, "REQUEST_ID_REUSED"),
        (str(uuid4()), "ALREADY_CONFIRMED"),
    ):
        request = clinic.confirm_request(draft.id, request_id=key, **other)
        call = registrations.ConfirmRegistration(request, metadata=metadata)
        assert await problem(call) == ("ALREADY_EXISTS", reason)


@pytest.mark.parametrize("same_key", [True, False])
async def test_confirmed_five_times_at_once(
    clinic: Clinic, database_url: str, same_key: bool
) -> None:
    async with clinic.serve(database_url=database_url) as stub:
        draft, metadata = await upload(stub)
        key = str(uuid4())
        found = await asyncio.gather(
            *(
                stub.ConfirmRegistration(
                    clinic.confirm_request(draft.id, request_id=key if same_key else str(uuid4())),
                    metadata=metadata,
                )
                for _ in range(5)
            )
        )
    assert {one.state for one in found} == {COMPLETED}
    assert len({(one.id, one.ticket.id) for one in found}) == 1
    assert len(clinic.queue.tickets) == len(set(clinic.users.keys)) == 1


async def test_two_replicas_do_not_run_the_same_step(
    looks: list[None], clinic: Clinic, database_url: str
) -> None:
    clinic.queue.hold = asyncio.Event()
    async with (
        clinic.serve(database_url=database_url) as one,
        clinic.serve(database_url=database_url) as other,
    ):
        draft, metadata = await upload(one)
        calls = [
            asyncio.ensure_future(
                stub.ConfirmRegistration(clinic.confirm_request(draft.id), metadata=metadata)
            )
            for stub in (one, other)
        ]
        await clinic.queue.arrived.wait()
        await more(looks, 40)
        assert clinic.queue.calls == 1
        clinic.queue.hold.set()
        first, second = await asyncio.gather(*calls)
    assert (first.id, first.ticket) == (second.id, second.ticket)
    assert first.state == COMPLETED
    assert clinic.users.keys == [first.id]
    assert clinic.queue.calls == 1


async def test_unknown_facility_stores_nothing(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    draft, metadata = await upload(registrations)
    for changes, reason in (
        ({"institution_id": str(uuid4())}, "INSTITUTION_NOT_FOUND"),
        ({"service_id": str(uuid4())}, "SERVICE_NOT_FOUND"),
    ):
        call = registrations.ConfirmRegistration(
            clinic.confirm_request(draft.id, **changes), metadata=metadata
        )
        assert await problem(call) == ("NOT_FOUND", reason)
    clinic.facilities.refusal = unavailable("down", "DOWN")
    confirm = clinic.confirm_request(draft.id)
    call = registrations.ConfirmRegistration(confirm, metadata=metadata)
    assert (await problem(call))[0] == "UNAVAILABLE"
    get = messages.GetRegistrationRequest(draft_id=draft.id)
    missing = registrations.GetRegistration(get, metadata=metadata)
    assert await problem(missing) == ("NOT_FOUND", "REGISTRATION_NOT_FOUND")
    clinic.facilities.refusal = None
    done = await registrations.ConfirmRegistration(confirm, metadata=metadata)
    assert done.state == COMPLETED


async def test_incomplete_or_without_consent(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    clinic.reader.reading = card(nik="")
    draft, metadata = await upload(registrations)
    confirm = clinic.confirm_request(draft.id)
    call = registrations.ConfirmRegistration(confirm, metadata=metadata)
    assert await problem(call) == ("FAILED_PRECONDITION", "DRAFT_INCOMPLETE")
    request = clinic.confirm_request(draft.id, consent=False)
    call = registrations.ConfirmRegistration(request, metadata=metadata)
    assert await problem(call) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    unknown = str(uuid4())
    call = registrations.ConfirmRegistration(
        clinic.confirm_request(unknown), metadata=registration_token(clinic.mesh, unknown)
    )
    assert await problem(call) == ("NOT_FOUND", "DRAFT_NOT_FOUND")
    assert not clinic.rows("SELECT id FROM registrations")


async def test_refused_for_good(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    refusals: tuple[tuple[object, MeshError], ...] = (
        (clinic.users, MeshError("no", StatusCode.ALREADY_EXISTS, "NIK_NAME_MISMATCH")),
        (clinic.queue, MeshError("no", StatusCode.FAILED_PRECONDITION, "ACTIVE_TICKET_EXISTS")),
    )
    for double, refusal in refusals:
        double.refusal = refusal  # type: ignore[attr-defined]
        draft, metadata = await upload(registrations)
        for _ in range(2):
            confirm = clinic.confirm_request(draft.id)
            call = registrations.ConfirmRegistration(confirm, metadata=metadata)
            assert await problem(call) == (refusal.kind.value, refusal.reason)
        found = await state_becomes(registrations, draft.id, metadata, FAILED)
        assert found.failure_reason == refusal.reason
        assert not found.HasField("ticket")
        assert not found.HasField("session")
        double.refusal = None  # type: ignore[attr-defined]
    assert clinic.rows("SELECT identity FROM registrations") == [(None,), (None,)]
    assert clinic.queue.calls == 1


async def test_the_ticket_is_there_without_a_session(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    draft, metadata = await upload(registrations)
    clinic.sessions.refusal = unavailable("down", "DOWN")
    confirm = clinic.confirm_request(draft.id)
    done = await registrations.ConfirmRegistration(confirm, metadata=metadata)
    assert done.state == COMPLETED
    assert done.ticket.number
    assert not done.HasField("session")
    clinic.sessions.refusal = None
    assert (await registrations.ConfirmRegistration(confirm, metadata=metadata)).session


@asynccontextmanager
async def user_svc_on(clinic: Clinic, address: str) -> AsyncIterator[str]:
    """user_svc on an address of the test's choice, to go away and to come back."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_AuthServiceServicer_to_server(clinic.sessions, server)
    add_UserServiceServicer_to_server(clinic.users, server)
    port = server.add_secure_port(address, server_credentials(clinic.mesh.home / "tls", "user_svc"))
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def test_user_svc_goes_away_and_comes_back(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer comes at once: a call that waits for its deadline does not end here."""
    set_deadline(monkeypatch, 3600)
    async with user_svc_on(clinic, "127.0.0.1:0") as address:
        monkeypatch.setenv("MEDIQ_USER_SVC_ADDRESS", address)
        running = clinic.serve()
        stub = await running.__aenter__()
        draft, metadata = await upload(stub)
    try:
        confirm = clinic.confirm_request(draft.id)
        waiting = await stub.ConfirmRegistration(confirm, metadata=metadata)
        assert (waiting.state, waiting.user_id) == (CONFIRMED, "")
        async with user_svc_on(clinic, address):
            done = await state_becomes(stub, draft.id, metadata, COMPLETED)
            assert done.id == waiting.id
            assert list(clinic.queue.tickets) == [done.id]
            assert set(clinic.users.keys) == {done.id}
    finally:
        await running.__aexit__(None, None, None)


@pytest.mark.usefixtures("answers_at_once")
async def test_the_answer_comes_before_the_deadline_and_the_step_goes_on(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    clinic.queue.hold = asyncio.Event()
    draft, metadata = await upload(registrations)
    confirm = clinic.confirm_request(draft.id)

    async def begun() -> bool:
        # On a busy machine the deadline may pass before the call has come.
        try:
            await registrations.ConfirmRegistration(confirm, metadata=metadata, timeout=2)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
            return False
        return True

    await eventually(begun)
    await clinic.queue.arrived.wait()
    found = await registrations.ConfirmRegistration(confirm, metadata=metadata)
    assert found.state == ACCOUNT_READY
    assert found.user_id == clinic.users.accounts[NIK]
    # The caller's deadline passes; it is not the step's.
    await asyncio.sleep(2)
    clinic.queue.hold.set()
    await state_becomes(registrations, draft.id, metadata, COMPLETED)
    assert clinic.queue.calls == 1


@pytest.mark.usefixtures("answers_at_once")
async def test_a_hurried_confirmation_is_begun_all_the_same(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    clinic.users.hold = asyncio.Event()
    draft, metadata = await upload(registrations)
    confirm = clinic.confirm_request(draft.id)
    found = await registrations.ConfirmRegistration(confirm, metadata=metadata)
    assert found.state == CONFIRMED
    clinic.users.hold.set()
    await state_becomes(registrations, draft.id, metadata, COMPLETED)


async def test_the_step_goes_on_when_the_client_is_gone(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    clinic.queue.hold = asyncio.Event()
    draft, metadata = await upload(registrations)
    call = registrations.ConfirmRegistration(clinic.confirm_request(draft.id), metadata=metadata)
    pending = asyncio.ensure_future(call)
    await clinic.queue.arrived.wait()
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    clinic.queue.hold.set()
    await state_becomes(registrations, draft.id, metadata, COMPLETED)
    assert clinic.queue.calls == 1


@pytest.mark.usefixtures("answers_at_once")
async def test_a_stopped_process_gives_its_lease_back(clinic: Clinic) -> None:
    clinic.queue.hold = asyncio.Event()
    async with clinic.serve() as stub:
        draft, metadata = await upload(stub)
        confirm = clinic.confirm_request(draft.id)
        await stub.ConfirmRegistration(confirm, metadata=metadata)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await clinic.queue.arrived.wait()
    assert clinic.rows("SELECT state, lease_until FROM registrations") == [("ACCOUNT_READY", None)]
    clinic.queue.hold.set()
    async with clinic.serve() as stub:
        done = await state_becomes(stub, draft.id, metadata, COMPLETED)
    assert list(clinic.queue.tickets) == [done.id]
    assert len(clinic.users.keys) == 1


async def test_what_takes_too_long_fails(clinic: Clinic) -> None:
    clinic.queue.refusal = unavailable("down", "DOWN")
    async with clinic.serve(give_up_minutes=0.5 / 60) as stub:
        draft, metadata = await upload(stub)
        confirm = clinic.confirm_request(draft.id)
        await stub.ConfirmRegistration(confirm, metadata=metadata)
        found = await state_becomes(stub, draft.id, metadata, FAILED)
        assert found.failure_reason == "REGISTRATION_TIMED_OUT"
        call = stub.ConfirmRegistration(confirm, metadata=metadata)
        assert await problem(call) == ("ABORTED", "REGISTRATION_TIMED_OUT")


async def test_a_damaged_row_does_not_stop_the_others(clinic: Clinic) -> None:
    clinic.users.refusal = unavailable("down", "DOWN")
    async with clinic.serve() as stub:
        drafts = []
        for _ in range(2):
            drafts.append(await upload(stub))
            confirm = clinic.confirm_request(drafts[-1][0].id)
            await stub.ConfirmRegistration(confirm, metadata=drafts[-1][1])
        where = f"WHERE draft_id = '{drafts[0][0].id}'"
        clinic.damage(f"identity = x'00', attempts = 0 {where}")
        # A step that had read the row before the damage ends first: then none can complete it.
        await eventually(
            lambda: clinic.rows(f"SELECT attempts FROM registrations {where}") != [(0,)]
        )
        clinic.users.refusal = None
        await state_becomes(stub, drafts[1][0].id, drafts[1][1], COMPLETED)
        found = await state_becomes(stub, drafts[0][0].id, drafts[0][1], CONFIRMED)
        assert not found.user_id
    assert NAME not in str(clinic.rows("SELECT * FROM registrations"))
