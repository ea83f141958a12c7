"""Registration with a driving licence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mediq.ocr.v1 import registration_service_pb2 as messages
from mediq.ocr_engine.v1 import ocr_engine_service_pb2 as engine

from ocr_svc.domain.driving_licence import registrable
from ocr_svc.domain.reading import SIM, CardWarning, ReadField, Reading
from tests.ocr_svc.conftest import Clinic, upload
from tests.ocr_svc.doubles import ADDRESS, NAME, NIK, licence
from tests.support.mesh import problem

if TYPE_CHECKING:
    from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceAsyncStub

COMPLETED = messages.REGISTRATION_STATE_COMPLETED


def warnings(draft: messages.Draft) -> list[tuple[str, str]]:
    return [(one.reason, one.field) for one in draft.warnings]


async def test_the_draft_shows_the_licence_and_what_a_registration_needs(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    clinic.reader.reading = licence()
    draft, metadata = await upload(registrations)
    assert draft.document_type == engine.DOCUMENT_TYPE_SIM
    assert draft.sim == clinic.reader.reading.sim
    assert not draft.ktp.HasField("nik")
    assert draft.ktp.nama == draft.sim.nama
    sex = draft.ktp.jenis_kelamin
    assert (sex.value, sex.raw_value) == ("PEREMPUAN", "wanita")
    assert not draft.ktp.HasField("berlaku_hingga")
    assert warnings(draft) == [("FIELD_MISSING", "pekerjaan"), ("FIELD_MISSING", "nik")]
    assert all(one.message_en for one in draft.warnings if one.field == "nik")
    got = await registrations.GetDraft(messages.GetDraftRequest(id=draft.id), metadata=metadata)
    assert got == draft


async def test_the_nik_is_typed_when_the_licence_does_not_show_it(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    clinic.reader.reading = licence()
    draft, metadata = await upload(registrations)
    confirm = clinic.confirm_request(draft.id)
    early = registrations.ConfirmRegistration(confirm, metadata=metadata)
    assert await problem(early) == ("FAILED_PRECONDITION", "DRAFT_INCOMPLETE")

    # The engine checks the fields of a KTP: what a licence does not have is not missing.
    clinic.reader.found = [
        engine.Warning(reason="FIELD_MISSING", field="agama", message="Agama tidak terbaca."),
        engine.Warning(reason="NIK_SEX_MISMATCH", field="nik", message="Beda."),
    ]
    request = messages.UpdateDraftRequest(id=draft.id, nik=NIK, jenis_kelamin="LAKI-LAKI")
    changed = await registrations.UpdateDraft(request, metadata=metadata)
    assert changed.ktp.nik.value == NIK
    assert (changed.ktp.jenis_kelamin.value, changed.sim.jenis_kelamin.value) == (
        "LAKI-LAKI",
        "PRIA",
    )
    assert warnings(changed) == [
        ("FIELD_MISSING", "pekerjaan"),
        ("NIK_SEX_MISMATCH", "nik"),
        ("NIK_NOT_READ", "nik"),
    ]
    assert clinic.reader.validated == [changed.ktp]

    made = await registrations.ConfirmRegistration(confirm, metadata=metadata)
    assert made.state == COMPLETED
    (identity,) = clinic.users.identities
    assert (identity.nik, identity.nama, identity.jenis_kelamin) == (NIK, NAME, "LAKI-LAKI")


async def test_a_number_that_is_a_nik_registers_at_once(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    clinic.reader.reading = licence(nomor_sim=NIK)
    clinic.reader.reading.warnings.add(reason="NIK_REPAIRED", field="nomor_sim", message="Periksa.")
    draft, metadata = await upload(registrations)
    assert draft.ktp.nik == draft.sim.nomor_sim
    assert warnings(draft) == [("FIELD_MISSING", "pekerjaan"), ("NIK_REPAIRED", "nik")]

    other = messages.UpdateDraftRequest(id=draft.id, nik="999" + NIK[3:])
    refused = registrations.UpdateDraft(other, metadata=metadata)
    assert await problem(refused) == ("FAILED_PRECONDITION", "NIK_CHANGED_TOO_MUCH")
    request = messages.UpdateDraftRequest(id=draft.id, nik=NIK[:-1] + "2")
    changed = await registrations.UpdateDraft(request, metadata=metadata)
    assert warnings(changed) == [("FIELD_MISSING", "pekerjaan")]
    assert (changed.ktp.nik.value, changed.sim.nomor_sim.value) == (NIK[:-1] + "2", NIK)

    confirm = clinic.confirm_request(draft.id)
    made = await registrations.ConfirmRegistration(confirm, metadata=metadata)
    assert made.state == COMPLETED
    (identity,) = clinic.users.identities
    assert (identity.nik, identity.jenis_kelamin) == (NIK[:-1] + "2", "PEREMPUAN")
    assert (identity.alamat, identity.tempat_lahir) == (ADDRESS, "BANDUNG")


@pytest.mark.parametrize(
    ("number", "is_nik"),
    [
        (NIK, True),
        ("3175036009500008", True),
        ("1234-5678-901234", False),
        ("12345678901234", False),
        ("0273014107900001", False),
        ("3273013207900001", False),
        ("3273017207900001", False),
        ("3273014113900001", False),
        (f"{NIK}1", False),
        ("", False),
    ],
)
def test_which_numbers_are_a_nik(number: str, is_nik: bool) -> None:
    read = ReadField(number, number, 0.25, "FIELD_REASON_AS_READ")
    doubt = CardWarning("FIELD_UNPARSED", "nomor_sim", "")
    found = registrable(Reading(SIM, {"nomor_sim": read}, (doubt,)))
    assert found.fields.get("nik") == (read if is_nik else None)
    assert [one.field for one in found.warnings] == (["nik"] if is_nik else ["nomor_sim", "nik"])


def test_a_sex_that_was_not_parsed_stays_as_it_is() -> None:
    read = ReadField("WANTA", "WANTA", 0.1)
    assert registrable(Reading(SIM, {"jenis_kelamin": read})).fields["jenis_kelamin"] == read


def test_a_ktp_stays_as_it_is() -> None:
    reading = Reading("DOCUMENT_TYPE_KTP", {"nama": ReadField("PRIA")})
    assert registrable(reading) is reading
