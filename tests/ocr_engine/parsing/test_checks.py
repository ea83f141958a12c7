"""What is odd about fields, read or corrected."""

from dataclasses import replace

import pytest

from ocr_engine.parsing import (
    CardWarning,
    Field,
    FieldReason,
    KtpFields,
    SimFields,
    WarningCode,
    check,
    read_ktp,
    read_sim,
)
from tests.ocr_engine.layout import bilingual_sim, card


@pytest.fixture
def fields() -> KtpFields:
    found = read_ktp(card()).fields
    assert isinstance(found, KtpFields)
    return found


@pytest.fixture
def licence() -> SimFields:
    found = read_sim(bilingual_sim()).fields
    assert isinstance(found, SimFields)
    return found


def typed(value: str) -> Field:
    """A value as a person corrected it: there is no reason and no raw text."""
    return Field(value, "", 1.0)


def codes(warnings: tuple[CardWarning, ...]) -> set[tuple[WarningCode, str]]:
    return {(warning.code, warning.field) for warning in warnings}


def test_a_consistent_card(fields: KtpFields) -> None:
    assert check(fields) == ()


@pytest.mark.parametrize("name", ["nik", "nama", "tanggal_lahir", "agama", "kota"])
def test_a_gap(fields: KtpFields, name: str) -> None:
    assert codes(check(replace(fields, **{name: None}))) == {(WarningCode.FIELD_MISSING, name)}


@pytest.mark.parametrize("name", ["golongan_darah", "tempat_terbit", "tanggal_terbit"])
def test_what_nobody_needs_is_no_gap(fields: KtpFields, name: str) -> None:
    assert check(replace(fields, **{name: None})) == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nama", "123"),
        ("tanggal_lahir", "31-02-1990"),
        ("jenis_kelamin", "PRIA"),
        ("golongan_darah", "C"),
        ("rt_rw", "3-4"),
        ("agama", "X"),
        ("status_perkawinan", "LAJANG"),
        ("berlaku_hingga", "SELAMANYA"),
    ],
)
def test_a_form_that_is_not_usual(fields: KtpFields, name: str, value: str) -> None:
    found = codes(check(replace(fields, **{name: typed(value)})))

    assert found == {(WarningCode.FIELD_UNPARSED, name)}


@pytest.mark.parametrize(
    ("nik", "expected"),
    [
        ("3175036009500008", set()),
        ("3175036109500008", {WarningCode.NIK_BIRTH_DATE_MISMATCH}),
        ("3175032009500008", {WarningCode.NIK_SEX_MISMATCH}),
        ("3175039909500008", {WarningCode.NIK_INVALID}),
        ("317503", {WarningCode.NIK_INVALID}),
    ],
)
def test_number_against_the_card(fields: KtpFields, nik: str, expected: set[WarningCode]) -> None:
    assert {code for code, _ in codes(check(replace(fields, nik=typed(nik))))} == expected


def test_the_region_of_the_number_may_be_another_one(fields: KtpFields) -> None:
    """It never changes when its holder moves."""
    assert check(replace(fields, nik=typed("1271016009500008"))) == ()


@pytest.mark.parametrize("code", ["007503", "990101"])
def test_a_region_that_never_was(fields: KtpFields, code: str) -> None:
    number = typed(f"{code}6009500008")
    expected = WarningCode.NIK_INVALID if code < "11" else WarningCode.REGION_CODE_UNKNOWN

    assert codes(check(replace(fields, nik=number))) == {(expected, "nik")}


def test_a_region_that_was_split_is_not_warned_of(fields: KtpFields) -> None:
    assert check(replace(fields, nik=typed("6404076009500008"))) == ()


def test_repairs_are_shown(fields: KtpFields) -> None:
    assert fields.nik is not None
    assert fields.tanggal_lahir is not None
    repaired = replace(
        fields,
        nik=replace(fields.nik, reason=FieldReason.REPAIRED),
        tanggal_lahir=replace(fields.tanggal_lahir, reason=FieldReason.REPAIRED),
    )

    assert codes(check(repaired)) == {
        (WarningCode.NIK_REPAIRED, "nik"),
        (WarningCode.BIRTH_DATE_REPAIRED, "tanggal_lahir"),
    }


def test_every_warning_is_in_both_languages() -> None:
    warnings = [*check(KtpFields()), *check(SimFields())]

    assert warnings
    for warning in warnings:
        assert warning.message
        assert warning.message_en
        assert warning.message != warning.message_en


class TestLicence:
    """What is odd about a driving licence."""

    def test_consistent(self, licence: SimFields) -> None:
        assert check(licence) == ()

    @pytest.mark.parametrize(
        "name",
        [
            "nomor_sim", "golongan", "nama", "tempat_lahir", "tanggal_lahir", "alamat",
            "berlaku_hingga",
        ],
    )  # fmt: skip
    def test_gap(self, licence: SimFields, name: str) -> None:
        assert codes(check(replace(licence, **{name: None}))) == {(WarningCode.FIELD_MISSING, name)}

    @pytest.mark.parametrize("name", ["golongan_darah", "jenis_kelamin", "wilayah", "pekerjaan"])
    def test_what_some_layouts_lack_is_no_gap(self, licence: SimFields, name: str) -> None:
        assert check(replace(licence, **{name: None})) == ()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("nomor_sim", "12345"),
            ("nomor_sim", "1234-5678-9012345"),
            ("golongan", "E"),
            ("nama", "123"),
            ("tanggal_lahir", "31-02-1990"),
            ("jenis_kelamin", "PEREMPUAN"),
            ("golongan_darah", "C"),
            ("berlaku_hingga", "SEUMUR HIDUP"),
        ],
    )
    def test_form(self, licence: SimFields, name: str, value: str) -> None:
        found = codes(check(replace(licence, **{name: typed(value)})))

        assert found == {(WarningCode.FIELD_UNPARSED, name)}

    @pytest.mark.parametrize(
        "number", ["500912345678", "50091234567890", "1234-5678-901234", "1234-5678-9012"]
    )
    def test_numbers_that_are_no_nik(self, licence: SimFields, number: str) -> None:
        assert check(replace(licence, nomor_sim=typed(number))) == ()

    @pytest.mark.parametrize(
        ("number", "code"),
        [
            ("3175036109500008", WarningCode.NIK_BIRTH_DATE_MISMATCH),
            ("3175032009500008", WarningCode.NIK_SEX_MISMATCH),
            ("3175039909500008", WarningCode.NIK_INVALID),
            ("9901016009500008", WarningCode.REGION_CODE_UNKNOWN),
        ],
    )
    def test_sixteen_digits_are_a_nik(
        self, licence: SimFields, number: str, code: WarningCode
    ) -> None:
        found = codes(check(replace(licence, nomor_sim=typed(number))))

        assert found == {(code, "nomor_sim")}
