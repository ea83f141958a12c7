"""What the registration writes down for the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from mediq.ocr.v1 import data_rights_service_pb2 as rights
from mediq.ocr.v1 import registration_service_pb2 as messages
from mediq.policy.v1.policy_pb2 import Scope
from mediq.queue.v1.queue_pb2 import TicketStatus

from tests.ocr_svc.conftest import Clinic, registered, registration_token, rights_token, upload
from tests.support.audit import ACCESS, CHANGE, REFUSED
from tests.support.mesh import problem

if TYPE_CHECKING:
    from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceAsyncStub


async def test_a_registration_leaves_a_trail(
    clinic: Clinic, registrations: RegistrationServiceAsyncStub
) -> None:
    draft, own = await upload(registrations)
    await registrations.GetDraft(messages.GetDraftRequest(id=draft.id), metadata=own)
    change = messages.UpdateDraftRequest(id=draft.id, alamat="JL. BARU NO. 1")
    await registrations.UpdateDraft(change, metadata=own)
    request = clinic.confirm_request(draft.id)
    for _ in range(2):
        done = await registrations.ConfirmRegistration(request, metadata=own)
    found = messages.GetRegistrationRequest(draft_id=draft.id)
    await registrations.GetRegistration(found, metadata=own)
    for method, act in (
        ("UploadDocument", CHANGE),
        ("GetDraft", ACCESS),
        ("UpdateDraft", CHANGE),
        ("ConfirmRegistration", CHANGE),
        ("GetRegistration", ACCESS),
    ):
        (event,) = await clinic.audit.of(method)
        assert (event.act, draft.id in event.object_ids) == (act, True), method
    (confirmed,) = await clinic.audit.of("ConfirmRegistration")
    assert done.id in confirmed.object_ids
    assert confirmed.institution_id == clinic.facilities.institution_id
    assert (confirmed.actor.id, confirmed.actor.scope) == (draft.id, Scope.SCOPE_REGISTRATION)
    (seen,) = await clinic.audit.of("GetRegistration")
    assert list(seen.person_ids) == [done.user_id]


async def test_a_correction_that_changes_nothing_leaves_none(
    clinic: Clinic, registrations: RegistrationServiceAsyncStub
) -> None:
    draft, own = await upload(registrations)
    wrong = messages.UpdateDraftRequest(id=draft.id, nik="9901010101019999")
    assert (await problem(registrations.UpdateDraft(wrong, metadata=own)))[1]
    await registrations.GetDraft(messages.GetDraftRequest(id=draft.id), metadata=own)
    await clinic.audit.of("GetDraft")
    assert "UpdateDraft" not in {one.method for one in clinic.audit.events}


async def test_a_draft_of_somebody_else(
    clinic: Clinic, registrations: RegistrationServiceAsyncStub
) -> None:
    draft, _ = await upload(registrations)
    stranger = registration_token(clinic.mesh, str(uuid4()))
    call = registrations.GetDraft(messages.GetDraftRequest(id=draft.id), metadata=stranger)
    assert (await problem(call))[1] == "OTHER_SUBJECT"
    (event,) = await clinic.audit.of("GetDraft")
    assert (event.act, event.refusal) == (REFUSED, "OTHER_SUBJECT")


async def test_copies_and_erasures_name_the_person(
    clinic: Clinic, registrations: RegistrationServiceAsyncStub
) -> None:
    done = await registered(clinic, registrations)
    cancelled = TicketStatus.TICKET_STATUS_CANCELLED
    clinic.queue.close(done.ticket, cancelled, time=clinic.now())
    who = rights_token(clinic.mesh, done.user_id)
    await clinic.rights.ExportPersonalData(
        rights.ExportPersonalDataRequest(user_id=done.user_id), metadata=who
    )
    request = rights.RequestErasureRequest(request_id=str(uuid4()), user_id=done.user_id)
    erasure = await clinic.rights.RequestErasure(request, metadata=who)
    for method, act in (("ExportPersonalData", ACCESS), ("RequestErasure", CHANGE)):
        (event,) = await clinic.audit.of(method)
        assert (event.act, list(event.person_ids)) == (act, [done.user_id])
    (event,) = await clinic.audit.of("RequestErasure")
    assert list(event.object_ids) == [erasure.id]
