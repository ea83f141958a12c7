from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import grpc
import pytest
from mediq.ocr.v1 import registration_service_pb2 as messages
from mediq.ocr_engine.v1 import ocr_engine_service_pb2 as engine
from mediq.policy.v1.policy_pb2 import Role, Scope

from mesh.contract.status import from_rpc_error
from mesh.errors import MeshError, StatusCode, unavailable
from ocr_svc.servicers.upload import MAX_IMAGE_BYTES
from tests.ocr_svc.conftest import PHOTO, Clinic, registration_token, upload, upload_request
from tests.ocr_svc.doubles import ADDRESS, NAME, NIK, card
from tests.support.mesh import problem
from tests.support.waiting import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceAsyncStub

FORM = "multipart/form-data; boundary=XyZ"


def form(boundary: str, photo: bytes = PHOTO) -> bytes:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="k.jpg"\r\n\r\n'
    return head.encode() + photo + f"\r\n--{boundary}--\r\n".encode()


def reasons(draft: messages.Draft) -> list[str]:
    return [one.reason for one in draft.warnings]


async def test_upload_reads_the_card_and_opens_the_draft(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    draft, metadata = await upload(registrations, upload_request(form("XyZ"), FORM))
    assert clinic.reader.photos == [PHOTO]
    assert draft.document_type == engine.DOCUMENT_TYPE_KTP
    assert draft.ktp == clinic.reader.reading.ktp
    assert reasons(draft) == ["GLARE", "FIELD_MISSING"]
    (issued,) = clinic.sessions.issued
    assert (issued.scope, issued.subject_id) == (Scope.SCOPE_REGISTRATION, draft.id)
    got = await registrations.GetDraft(messages.GetDraftRequest(id=draft.id), metadata=metadata)
    assert got == draft


async def test_the_draft_shows_all_that_the_engine_says(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    clinic.reader.reading = card(tempat_terbit="KAB. BANDUNG", tanggal_terbit="02-03-2018")
    draft, metadata = await upload(registrations)
    assert draft.ktp == clinic.reader.reading.ktp
    assert draft.ktp.tanggal_terbit.value == "02-03-2018"
    assert draft.ktp.nik.reason == engine.FIELD_REASON_REPAIRED
    assert len(draft.ktp.nik.polygon) == 4
    assert (draft.warnings[0].message, draft.warnings[0].message_en) == (
        "Ada pantulan cahaya.",
        "Light is reflected.",
    )
    assert not draft.HasField("sim")
    request = messages.UpdateDraftRequest(id=draft.id, nama="SITI")
    changed = await registrations.UpdateDraft(request, metadata=metadata)
    assert changed.ktp.nama.reason == engine.FIELD_REASON_UNSPECIFIED
    assert changed.ktp.nama.polygon == draft.ktp.nama.polygon


async def test_card_and_session_at_the_same_time(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    clinic.reader.hold = asyncio.Event()
    call = asyncio.ensure_future(upload(registrations))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await clinic.sessions.arrived.wait()
    clinic.reader.hold.set()
    await call


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (messages.UploadDocumentRequest(), "EMPTY_UPLOAD"),
        (upload_request(b"", FORM), "EMPTY_UPLOAD"),
        (upload_request(form("XyZ", b""), FORM), "EMPTY_UPLOAD"),
        (upload_request(PHOTO, "application/pdf"), "UNSUPPORTED_CONTENT_TYPE"),
        (upload_request(form("other"), FORM), "BROKEN_MULTIPART"),
        (upload_request(form("XyZ").replace(b'"file"', b'"text"'), FORM), "FILE_PART_MISSING"),
        (upload_request(b"x" * (MAX_IMAGE_BYTES + 1)), "IMAGE_TOO_LARGE"),
        (upload_request(request_id="not-a-uuid"), "INVALID_REQUEST"),
    ],
)
async def test_bad_uploads(
    registrations: RegistrationServiceAsyncStub,
    clinic: Clinic,
    request_: messages.UploadDocumentRequest,
    reason: str,
) -> None:
    assert await problem(registrations.UploadDocument(request_)) == ("INVALID_ARGUMENT", reason)
    assert not clinic.reader.photos


@pytest.mark.parametrize(
    "reason",
    [
        *("NOT_AN_IMAGE", "NO_CARD", "SEVERAL_CARDS", "IMAGE_TOO_LARGE"),
        *("CORRUPT_IMAGE", "UNSUPPORTED_IMAGE"),
    ],
)
async def test_the_engine_says_what_is_wrong(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic, reason: str
) -> None:
    clinic.reader.refusal = MeshError("no", StatusCode.INVALID_ARGUMENT, reason)
    call = registrations.UploadDocument(upload_request())
    assert await problem(call) == ("INVALID_ARGUMENT", reason)


async def test_advice_and_retry_time_of_the_engine_come_through(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    async def refused() -> MeshError:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await registrations.UploadDocument(upload_request())
        return from_rpc_error(caught.value)

    advice = {"advice": "BLURRED,NO_CARD"}
    clinic.reader.refusal = MeshError("no", StatusCode.INVALID_ARGUMENT, "NO_CARD", metadata=advice)
    assert (await refused()).metadata == advice
    clinic.reader.refusal = MeshError(
        "busy", StatusCode.RESOURCE_EXHAUSTED, "ENGINE_BUSY", retry_after_seconds=2.5
    )
    busy = await refused()
    assert (busy.kind, busy.reason) == (StatusCode.RESOURCE_EXHAUSTED, "ENGINE_BUSY")
    assert busy.retry_after_seconds == 2.5


async def test_without_the_engine_or_the_sessions(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    clinic.reader.refusal = unavailable("busy", "ENGINE_BUSY")
    call = registrations.UploadDocument(upload_request())
    assert await problem(call) == ("UNAVAILABLE", "ENGINE_BUSY")
    clinic.reader.refusal, clinic.sessions.refusal = None, unavailable("down", "UNAVAILABLE")
    call = registrations.UploadDocument(upload_request())
    assert await problem(call) == ("UNAVAILABLE", "USER_SVC_UNAVAILABLE")


async def test_repeated_upload(registrations: RegistrationServiceAsyncStub, clinic: Clinic) -> None:
    key = str(uuid4())
    first, _ = await upload(registrations, upload_request(form("XyZ"), FORM, key))
    second, metadata = await upload(
        registrations, upload_request(form("Abc"), "multipart/form-data; boundary=Abc", key)
    )
    assert first == second
    assert len(clinic.reader.photos) == 1
    assert len(clinic.sessions.issued) == 2
    await registrations.GetDraft(messages.GetDraftRequest(id=first.id), metadata=metadata)
    other = registrations.UploadDocument(upload_request(PHOTO + b"!", request_id=key))
    assert await problem(other) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    without, _ = await upload(registrations)
    assert without.id != first.id


async def test_the_same_upload_at_the_same_moment(clinic: Clinic, database_url: str) -> None:
    request = upload_request(request_id=str(uuid4()))
    async with clinic.serve(database_url=database_url) as stub:
        found = await asyncio.gather(*(upload(stub, request) for _ in range(5)))
        assert len({draft.id for draft, _ in found}) == 1
        for draft, metadata in found:
            await stub.GetDraft(messages.GetDraftRequest(id=draft.id), metadata=metadata)


async def test_drafts_end(clinic: Clinic) -> None:
    async with clinic.serve(draft_minutes=30, purge_seconds=3600) as stub:
        request = upload_request(request_id=str(uuid4()))
        draft, metadata = await upload(stub, request)
        clinic.ahead = timedelta(minutes=30)
        expired = ("FAILED_PRECONDITION", "DRAFT_EXPIRED")
        get = messages.GetDraftRequest(id=draft.id)
        assert await problem(stub.GetDraft(get, metadata=metadata)) == expired
        update = messages.UpdateDraftRequest(id=draft.id, nama="A")
        assert await problem(stub.UpdateDraft(update, metadata=metadata)) == expired
        confirm = clinic.confirm_request(draft.id)
        assert await problem(stub.ConfirmRegistration(confirm, metadata=metadata)) == expired
        assert await problem(stub.UploadDocument(request)) == expired
        assert clinic.rows("SELECT reading IS NULL FROM drafts") == [(0,)]
    async with clinic.serve() as stub:
        await eventually(lambda: clinic.rows("SELECT reading FROM drafts") == [(None,)])
        assert await problem(stub.GetDraft(get, metadata=metadata)) == expired
    unknown = str(uuid4())
    async with clinic.serve() as stub:
        call = stub.GetDraft(
            messages.GetDraftRequest(id=unknown), metadata=registration_token(clinic.mesh, unknown)
        )
        assert await problem(call) == ("NOT_FOUND", "DRAFT_NOT_FOUND")


async def test_corrections(registrations: RegistrationServiceAsyncStub, clinic: Clinic) -> None:
    draft, metadata = await upload(registrations)
    clinic.reader.found = [engine.Warning(reason="NIK_SEX_MISMATCH", field="nik", message="Beda.")]
    changed = await registrations.UpdateDraft(
        messages.UpdateDraftRequest(
            request_id=str(uuid4()), id=draft.id, nik="99" + NIK[2:], nama="Siti Rahayu B"
        ),
        metadata=metadata,
    )
    assert changed.ktp.nik.value == "99" + NIK[2:]
    assert changed.ktp.nik.raw_value == draft.ktp.nik.raw_value
    assert changed.ktp.alamat == draft.ktp.alamat
    assert [(one.field, one.read_value, one.corrected_value) for one in changed.corrections] == [
        ("nik", NIK, "99" + NIK[2:]),
        ("nama", NAME, "SITI RAHAYU B"),
    ]
    assert reasons(changed) == ["GLARE", "NIK_SEX_MISMATCH"]
    assert clinic.reader.validated[-1] == changed.ktp
    get = messages.GetDraftRequest(id=draft.id)
    assert await registrations.GetDraft(get, metadata=metadata) == changed


async def test_nik_by_two_digits_from_the_read_one(
    registrations: RegistrationServiceAsyncStub,
) -> None:
    draft, metadata = await upload(registrations)

    async def correct(nik: str) -> messages.Draft:
        request = messages.UpdateDraftRequest(id=draft.id, nik=nik)
        return await registrations.UpdateDraft(request, metadata=metadata)

    await correct("99" + NIK[2:])
    refused = ("FAILED_PRECONDITION", "NIK_CHANGED_TOO_MUCH")
    assert await problem(correct("999" + NIK[3:])) == refused
    assert (await correct(NIK[:14] + "99")).ktp.nik.value == NIK[:14] + "99"
    assert await problem(correct("123")) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


async def test_nik_that_was_not_read_may_be_typed(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    clinic.reader.reading = card(nik="")
    draft, metadata = await upload(registrations)
    request = messages.UpdateDraftRequest(id=draft.id, nik=NIK)
    changed = await registrations.UpdateDraft(request, metadata=metadata)
    assert changed.ktp.nik.value == NIK
    assert "NIK_NOT_READ" in reasons(changed)


async def test_correction_without_the_engine(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    draft, metadata = await upload(registrations)
    clinic.reader.validation_refusal = unavailable("busy", "ENGINE_BUSY")
    request = messages.UpdateDraftRequest(id=draft.id, nama="SITI")
    changed = await registrations.UpdateDraft(request, metadata=metadata)
    assert changed.ktp.nama.value == "SITI"
    assert reasons(changed) == ["GLARE", "FIELD_MISSING", "NOT_VALIDATED"]
    clinic.reader.validation_refusal = None
    again = await registrations.UpdateDraft(request, metadata=metadata)
    assert reasons(again) == ["GLARE"]
    assert len(again.corrections) == 1


async def test_repeated_correction(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    draft, metadata = await upload(registrations)
    request = messages.UpdateDraftRequest(request_id=str(uuid4()), id=draft.id, nama="SITI")
    first = await registrations.UpdateDraft(request, metadata=metadata)
    assert await registrations.UpdateDraft(request, metadata=metadata) == first
    assert len(clinic.reader.validated) == 1
    request.nama = "SITA"
    call = registrations.UpdateDraft(request, metadata=metadata)
    assert await problem(call) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def test_corrections_at_the_same_moment_are_all_kept(
    clinic: Clinic, database_url: str
) -> None:
    changes = {"nama": "SITI", "alamat": "JL. A", "tempat_lahir": "PALU"}
    async with clinic.serve(database_url=database_url) as stub:
        draft, metadata = await upload(stub)
        requests = [
            messages.UpdateDraftRequest(id=draft.id, nama=changes["nama"]),
            messages.UpdateDraftRequest(id=draft.id, alamat=changes["alamat"]),
            messages.UpdateDraftRequest(id=draft.id, tempat_lahir=changes["tempat_lahir"]),
        ]
        await asyncio.gather(*(stub.UpdateDraft(one, metadata=metadata) for one in requests))
        get = messages.GetDraftRequest(id=draft.id)
        found = await stub.GetDraft(get, metadata=metadata)
    assert {one.field: one.corrected_value for one in found.corrections} == changes


async def test_a_draft_is_opened_by_its_own_session_only(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    draft, _ = await upload(registrations)
    _, other = await upload(registrations, upload_request(PHOTO + b"2"))
    refused = ("PERMISSION_DENIED", "OTHER_SUBJECT")
    calls = (
        lambda m: registrations.GetDraft(messages.GetDraftRequest(id=draft.id), metadata=m),
        lambda m: registrations.UpdateDraft(
            messages.UpdateDraftRequest(id=draft.id, nama="X"), metadata=m
        ),
        lambda m: registrations.ConfirmRegistration(clinic.confirm_request(draft.id), metadata=m),
        lambda m: registrations.GetRegistration(
            messages.GetRegistrationRequest(draft_id=draft.id), metadata=m
        ),
    )
    tickets = clinic.mesh.token(subject=draft.id, scope=Scope.SCOPE_TICKETS)
    staff = clinic.mesh.token(Role.ROLE_ADMIN_FASKES)
    for call in calls:
        assert await problem(call(other)) == refused
        assert await problem(call(tickets)) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
        assert await problem(call(staff)) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
        assert await problem(call(())) == ("UNAUTHENTICATED", "TOKEN_MISSING")


async def test_the_disk_and_the_logs_name_nobody(
    clinic: Clinic, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    async with clinic.serve() as stub:
        draft, metadata = await upload(stub)
        request = messages.UpdateDraftRequest(id=draft.id, nama="SITI MAIMUNAH")
        await stub.UpdateDraft(request, metadata=metadata)
        on_disk = clinic.database_bytes()
        request.nik = "9" * 16
        assert (await problem(stub.UpdateDraft(request, metadata=metadata)))[1]
        clinic.users.refusal = unavailable("down", "DOWN")
        await stub.ConfirmRegistration(clinic.confirm_request(draft.id), metadata=metadata)
        on_disk += clinic.database_bytes()
        clinic.users.refusal = None
        await stub.ConfirmRegistration(clinic.confirm_request(draft.id), metadata=metadata)
        on_disk += clinic.database_bytes()
    written = capfd.readouterr()
    texts = on_disk + f"{caplog.text}{written.out}{written.err}".encode()
    assert draft.id.encode() in texts
    for secret in (NIK, NAME, "MAIMUNAH", ADDRESS, "9" * 16, "BANDUNG"):
        assert secret.encode() not in texts
        assert secret.lower().encode() not in texts
    assert PHOTO[:40] not in texts
    assert PHOTO[4:30] not in texts
