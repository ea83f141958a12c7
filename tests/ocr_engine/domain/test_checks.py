"""What is odd about fields, read or corrected."""

from dataclasses import replace

import pytest

from ocr_engine.domain import CardWarning, Field, KtpFields, WarningCode, check, read_ktp
from tests.ocr_engine.layout import card


@pytest.fixture
def fields() -> KtpFields:
    return read_ktp(card()).fields


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
