"""What a person agrees to: the text, its versions, and what is kept of the agreement."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from mediq.ocr.v1 import registration_service_pb2 as messages

from mesh.contract.status import from_rpc_error
from mesh.errors import MeshError
from ocr_svc.domain.consent import CONSENTS, Consent, Purpose
from tests.ocr_svc.conftest import ALL_PURPOSES, Clinic, upload
from tests.support.backends.databases import dump
from tests.support.mesh import problem

if TYPE_CHECKING:
    from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceAsyncStub

NOW = CONSENTS[-1]
NEXT = replace(NOW, version="2027-01-01", text="Teks baru.", text_en="A new text.")


async def refusal(call: Awaitable[object]) -> MeshError:
    """What a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_the_text_of_now_and_of_then(clinic: Clinic) -> None:
    async with clinic.serve(consents=(*CONSENTS, NEXT)) as stub:
        current = await stub.GetConsent(messages.GetConsentRequest())
        assert (current.version, current.text) == (NEXT.version, NEXT.text)
        earlier = await stub.GetConsent(messages.GetConsentRequest(version=NOW.version))
        assert (earlier.text, earlier.text_en) == (NOW.text, NOW.text_en)
        assert [(one.purpose, one.required) for one in earlier.terms] == [
            (purpose, True) for purpose in ALL_PURPOSES
        ]
        unknown = stub.GetConsent(messages.GetConsentRequest(version="2020-01-01"))
        assert await problem(unknown) == ("NOT_FOUND", "CONSENT_NOT_FOUND")


async def test_only_the_text_of_now_counts(clinic: Clinic) -> None:
    async with clinic.serve(consents=(*CONSENTS, NEXT)) as stub:
        draft, metadata = await upload(stub)
        for version in (NOW.version, "2099-01-01"):
            confirm = clinic.confirm_request(draft.id, consent_version=version)
            error = await refusal(stub.ConfirmRegistration(confirm, metadata=metadata))
            assert (error.kind.value, error.reason) == ("FAILED_PRECONDITION", "CONSENT_OUTDATED")
            assert error.metadata["current_version"] == NEXT.version
        assert not clinic.rows("SELECT id FROM registrations")
        confirm = clinic.confirm_request(draft.id, consent_version=NEXT.version)
        await stub.ConfirmRegistration(confirm, metadata=metadata)
        assert clinic.rows("SELECT consent_version FROM registrations") == [(NEXT.version,)]


@pytest.mark.parametrize("missing", ALL_PURPOSES)
async def test_every_required_purpose(
    registrations: RegistrationServiceAsyncStub,
    clinic: Clinic,
    missing: messages.ConsentPurpose.ValueType,
) -> None:
    draft, metadata = await upload(registrations)
    given = [one for one in ALL_PURPOSES if one != missing]
    confirm = clinic.confirm_request(draft.id, purposes=given)
    error = await refusal(registrations.ConfirmRegistration(confirm, metadata=metadata))
    assert (error.kind.value, error.reason) == ("FAILED_PRECONDITION", "CONSENT_PURPOSE_MISSING")
    assert error.metadata["purpose"] == messages.ConsentPurpose.Name(missing)
    assert not clinic.rows("SELECT id FROM registrations")
    assert not clinic.users.keys


async def test_a_purpose_that_is_not_required(clinic: Clinic) -> None:
    required, other = NOW.terms
    optional = replace(NOW, terms=(required, replace(other, required=False)))
    async with clinic.serve(consents=(optional,)) as stub:
        draft, metadata = await upload(stub)
        confirm = clinic.confirm_request(draft.id, purposes=ALL_PURPOSES[:1])
        await stub.ConfirmRegistration(confirm, metadata=metadata)
    assert clinic.rows("SELECT consent_purposes FROM registrations") == [
        ("CONSENT_PURPOSE_REGISTRATION",)
    ]


async def test_nothing_said(registrations: RegistrationServiceAsyncStub, clinic: Clinic) -> None:
    draft, metadata = await upload(registrations)
    bad: list[dict[str, Any]] = [
        {"consent_version": ""},
        {"purposes": []},
        {"purposes": [0]},
        {"purposes": [99]},
        {"purposes": [*ALL_PURPOSES, *ALL_PURPOSES]},
    ]
    for changes in bad:
        confirm = clinic.confirm_request(draft.id, **changes)
        call = registrations.ConfirmRegistration(confirm, metadata=metadata)
        assert await problem(call) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


async def test_a_confirmed_draft_answers_as_before_when_the_text_has_changed(
    clinic: Clinic, database_url: str
) -> None:
    async with clinic.serve(database_url=database_url) as stub:
        draft, metadata = await upload(stub)
        confirm = clinic.confirm_request(draft.id)
        first = await stub.ConfirmRegistration(confirm, metadata=metadata)
    async with clinic.serve(consents=(*CONSENTS, NEXT), database_url=database_url) as stub:
        for repeated in (confirm, clinic.confirm_request(draft.id, consent_version=NEXT.version)):
            again = await stub.ConfirmRegistration(repeated, metadata=metadata)
            assert (again.id, again.ticket) == (first.id, first.ticket)
    (row,) = dump(database_url)["registrations"]
    assert row["consent_version"] == NOW.version
    assert row["consent_purposes"].split() == [*Purpose]


def test_the_versions_are_days_in_order() -> None:
    versions = [one.version for one in CONSENTS]
    assert versions == sorted(set(versions))
    for version in versions:
        assert datetime.date.fromisoformat(version).isoformat() == version


@pytest.mark.parametrize("consent", CONSENTS, ids=lambda one: one.version)
def test_the_text_says_what_the_law_wants_said(consent: Consent) -> None:
    """UU 27/2022, Article 21: purpose, kind, time of keeping, rights; and a way without."""
    for words, text in (
        (
            ("NIK", "Untuk apa", "25 tahun", "Hak Anda", "menarik persetujuan", "loket"),
            consent.text,
        ),
        (("NIK", "What for", "25 years", "Your rights", "withdraw", "counter"), consent.text_en),
    ):
        for word in words:
            assert word in text
    assert {one.purpose for one in consent.terms} == set(Purpose)
    assert all(one.text and one.text_en and one.required for one in consent.terms)
