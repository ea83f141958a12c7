from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MeshError, StatusCode
from ocr_svc.domain import draft, registration
from ocr_svc.domain.draft import Content, Draft
from ocr_svc.domain.reading import CardWarning, ReadField, Reading

NOW = datetime.datetime(2026, 3, 2, 9, tzinfo=datetime.UTC)
NIK = "3273014107900001"
PHOTO_WARNING = CardWarning("GLARE", "", "Silau.")
FIELD_WARNING = CardWarning("NIK_INVALID", "nik", "NIK salah.")


def content(**values: str) -> Content:
    fields = {"nik": NIK, "nama": "SITI RAHAYU"} | values
    reading = Reading(
        "DOCUMENT_TYPE_KTP",
        {name: ReadField(value, value, 0.5) for name, value in fields.items() if value},
        (PHOTO_WARNING, FIELD_WARNING),
    )
    return Content(reading, reading.warnings)


def correct(before: Content, **changes: str) -> Content:
    return draft.correct(before, changes, "", "", NOW)


def reason_of(before: Content, **changes: str) -> str:
    with pytest.raises(MeshError) as error:
        correct(before, **changes)
    return error.value.reason


@pytest.mark.parametrize(
    ("read", "given", "changes"),
    [
        (NIK, NIK, 0),
        (NIK, "9" + NIK[1:], 1),
        (NIK, NIK[1:] + NIK[0], 13),
        (NIK[:5] + NIK[6:], NIK, 1),
        (NIK[:5] + "3" + NIK[5:], NIK, 1),
        ("", NIK, 16),
    ],
)
def test_nik_changes(read: str, given: str, changes: int) -> None:
    assert draft.nik_changes(read, given) == changes


@given(st.from_regex(r"[0-9]{16}", fullmatch=True), st.sets(st.integers(0, 15)))
def test_nik_correction_counts_from_what_was_read(nik: str, places: set[int]) -> None:
    other = "".join(
        str((int(digit) + 1) % 10) if place in places else digit for place, digit in enumerate(nik)
    )
    before = content(nik=nik)
    if len(places) > draft.MAX_NIK_CHANGES:
        assert reason_of(before, nik=other) == "NIK_CHANGED_TOO_MUCH"
    else:
        after = correct(before, nik=other)
        assert draft.current_fields(after)["nik"].value == other
        assert after.reading == before.reading


def test_nik_cannot_wander() -> None:
    once = correct(content(), nik="99" + NIK[2:])
    assert reason_of(once, nik="9999" + NIK[4:]) == "NIK_CHANGED_TOO_MUCH"
    assert draft.current_fields(correct(once, nik="3299" + NIK[4:]))["nik"].value[:4] == "3299"


def test_corrections_stand_beside_what_was_read() -> None:
    after = correct(correct(content(), nama="siti  rahayu b"), nama="Siti Rahayu", alamat="jl. a")
    assert [(one.field, one.read_value, one.corrected_value) for one in after.corrections] == [
        ("nama", "SITI RAHAYU", "SITI RAHAYU B"),
        ("nama", "SITI RAHAYU", "SITI RAHAYU"),
        ("alamat", "", "JL. A"),
    ]
    fields = draft.current_fields(after)
    assert (fields["nama"].value, fields["nama"].confidence) == ("SITI RAHAYU", 1.0)
    assert fields["alamat"].raw_value == ""


def test_what_does_not_change_is_no_correction() -> None:
    assert not correct(content(), nama="Siti Rahayu", nik=NIK).corrections


def test_impossible_values() -> None:
    assert reason_of(content(), tanggal_lahir="31-02-1990") == "NO_SUCH_DATE"
    assert reason_of(content(), nama="   ") == "INVALID_FIELD"
    many = content()
    for number in range(draft.MAX_UPDATES):
        many = correct(many, nama=f"A{number}")
    assert reason_of(many, nama="B") == "TOO_MANY_CORRECTIONS"


def test_warnings_after_a_correction() -> None:
    changed = correct(content(), nik="9" + NIK[1:])
    silent = draft.with_warnings(changed, None)
    assert [one.reason for one in silent.warnings] == ["GLARE", "NIK_INVALID", "NOT_VALIDATED"]
    again = draft.with_warnings(silent, None)
    assert again.warnings == silent.warnings
    assert [one.reason for one in draft.with_warnings(again, ()).warnings] == ["GLARE"]
    found = (CardWarning("NIK_SEX_MISMATCH", "nik", ""),)
    assert draft.with_warnings(again, found).warnings == (PHOTO_WARNING, *found)


def test_nik_that_was_not_read_is_marked() -> None:
    typed = correct(content(nik=""), nik=NIK)
    for found in (None, ()):
        assert draft.NIK_NOT_READ in [
            one.reason for one in draft.with_warnings(typed, found).warnings
        ]
    nothing = draft.with_warnings(correct(content(nik=""), nama="A"), ())
    assert draft.NIK_NOT_READ not in [one.reason for one in nothing.warnings]


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"nik": ""}, "nik"),
        ({"nik": NIK[:15]}, "nik"),
        ({"nik": NIK[:15] + "O"}, "nik"),
        ({"nama": ""}, "nama"),
        ({"nama": "A" * 61}, "nama"),
        ({"nik": "", "nama": ""}, "nik,nama"),
    ],
)
def test_incomplete(values: dict[str, str], missing: str) -> None:
    with pytest.raises(MeshError) as error:
        registration.identity_of(content(**values))
    assert error.value.reason == "DRAFT_INCOMPLETE"
    assert error.value.metadata == {"fields": missing}


def test_open_drafts_only() -> None:
    end = NOW + datetime.timedelta(minutes=1)
    found = content()
    assert draft.require_content(Draft("d", end, 1, found), "d", NOW) == found
    cases: list[tuple[Draft | None, datetime.datetime, str]] = [
        (None, NOW, "DRAFT_NOT_FOUND"),
        (Draft("d", end, 1, found), end, "DRAFT_EXPIRED"),
        (Draft("d", end, 1, None), end, "DRAFT_EXPIRED"),
        (Draft("d", end, 1, None, confirmed=True), NOW, "DRAFT_CONFIRMED"),
    ]
    for found_draft, time, reason in cases:
        with pytest.raises(MeshError) as error:
            draft.require_content(found_draft, "d", time)
        assert error.value.reason == reason


def test_what_is_tried_again() -> None:
    assert registration.is_permanent(StatusCode.ALREADY_EXISTS)
    for kind in (
        StatusCode.UNAVAILABLE,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.INTERNAL,
    ):
        assert not registration.is_permanent(kind)
