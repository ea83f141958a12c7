"""Names and codes of regions."""

import pytest

from ocr_engine.parsing import Field, FieldReason
from ocr_engine.parsing.fields import regions


def shown(field: Field | None) -> tuple[str, FieldReason] | None:
    return (field.value, field.reason) if field else None


@pytest.mark.parametrize(
    "name", ["DKI JAKARTA", "DAERAH ISTIMEWA YOGYAKARTA", "PAPUA BARAT DAYA", "ACEH"]
)
def test_provinces_of_today_and_before(name: str) -> None:
    assert name in regions.provinces()


@pytest.mark.parametrize(
    "name", ["JAKARTA TIMUR", "KOTA BANDUNG", "KABUPATEN MAMUJU UTARA", "KABUPATEN PASANGKAYU"]
)
def test_regencies_under_all_names_that_are_printed(name: str) -> None:
    assert name in regions.regencies()


@pytest.mark.parametrize("name", ["JATINEGARA", "BLANGPIDIE", "BLANG PIDIE"])
def test_districts_under_both_spellings(name: str) -> None:
    assert name in regions.districts()


def test_an_unsure_name_becomes_the_known_one() -> None:
    assert shown(regions.read_province("JAWA 8ARAT", 0.7)) == ("JAWA BARAT", FieldReason.MATCHED)
    assert shown(regions.read_regency("KABUPATEN SUK0HARJO", 0.7, "JAWA TENGAH")) == (
        "KABUPATEN SUKOHARJO",
        FieldReason.MATCHED,
    )
    assert shown(regions.read_district("JATlNEGARA", 0.7, "JAKARTA TIMUR")) == (
        "JATINEGARA",
        FieldReason.MATCHED,
    )


def test_a_match_is_less_sure_than_the_text() -> None:
    field = regions.read_province("JAWA 8ARAT", 0.7)

    assert field is not None
    assert field.confidence < 0.7


def test_lost_blanks_come_back_even_in_clear_text() -> None:
    assert shown(regions.read_regency("KABUPATENBOGOR", 0.99)) == (
        "KABUPATEN BOGOR",
        FieldReason.MATCHED,
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (regions.read_province("JAWA BARATX", 0.9), "JAWA BARATX"),
        (regions.read_regency("KABUPATEN SUKOHARJA", 0.95), "KABUPATEN SUKOHARJA"),
        (regions.read_district("JATINEGORO", 0.9, "JAKARTA TIMUR"), "JATINEGORO"),
    ],
)
def test_clear_text_that_is_in_no_list_stays(field: Field | None, value: str) -> None:
    assert shown(field) == (value, FieldReason.AS_READ)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (regions.read_province("TIMOR TIMUR", 0.5), "TIMOR TIMUR"),
        (regions.read_regency("KABUPATEN KUTAI", 0.5), "KABUPATEN KUTAI"),
        (regions.read_district("XYLOPHON", 0.5), "XYLOPHON"),
    ],
)
def test_what_is_like_no_entry_stays(field: Field | None, value: str) -> None:
    assert shown(field) == (value, FieldReason.AS_READ)


def test_a_district_of_another_regency_is_known_too() -> None:
    """Regencies are split and cards stay; COBLONG is in Bandung."""
    assert shown(regions.read_district("COBLONG", 0.5, "JAKARTA TIMUR")) == (
        "COBLONG",
        FieldReason.AS_READ,
    )


def test_districts_of_an_unknown_regency_are_sought_in_the_country() -> None:
    assert shown(regions.read_district("TANAH JAMB0 AYE", 0.6)) == (
        "TANAH JAMBO AYE",
        FieldReason.MATCHED,
    )


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("317503", True),
        ("640407", True),
        ("327399", True),
        ("007503", False),
        ("997503", False),
        ("310003", False),
        ("315503", False),
        ("317500", False),
    ],
)
def test_codes(code: str, known: bool) -> None:
    """Of regions that were split off only the form of the code can be checked."""
    assert regions.is_known_code(code) is known
