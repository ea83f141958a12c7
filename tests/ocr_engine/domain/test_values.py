"""Reading single values."""

import pytest

from ocr_engine.domain import Field, FieldReason, values, vocabulary


def shown(field: Field | None) -> tuple[str, FieldReason] | None:
    return (field.value, field.reason) if field else None


@pytest.mark.parametrize(
    ("raw", "value", "reason"),
    [
        ("3175036009500008", "3175036009500008", FieldReason.AS_READ),
        ("3175 0360 0950 0008", "3175036009500008", FieldReason.AS_READ),
        ("317503B009S0000I", "3175038009500001", FieldReason.NORMALIZED),
        ("317503600950000", "317503600950000", FieldReason.UNPARSED),
        ("31750360095000081", "31750360095000081", FieldReason.UNPARSED),
        ("RUSAK", "RUSAK", FieldReason.UNPARSED),
    ],
)
def test_nik(raw: str, value: str, reason: FieldReason) -> None:
    assert shown(values.read_nik(raw, 0.9)) == (value, reason)


@pytest.mark.parametrize(
    ("raw", "place", "day"),
    [
        ("JAKARTA, 20-09-1950", "JAKARTA", "20-09-1950"),
        ("JAKARTA,20-09-1950", "JAKARTA", "20-09-1950"),
        ("JAKARTA 20 09 1950", "JAKARTA", "20-09-1950"),
        ("JAKARTA. 22-02- 2017", "JAKARTA", "22-02-2017"),
        ("UJUNG PANDANG, 2O-O9-I95O", "UJUNG PANDANG", "20-09-1950"),
        ("JAKARTA, 20/09/1950", "JAKARTA", "20-09-1950"),
        ("JAKARTA, 2010911950", "JAKARTA", "20-09-1950"),
        ("JAKARTA, 01-01-2000", "JAKARTA", "01-01-2000"),
        ("SOLO, 20091950", "SOLO", "20-09-1950"),
    ],
)
def test_birth_place_and_date(raw: str, place: str, day: str) -> None:
    found_place, found_day = values.read_birth(raw, 0.9)

    assert found_place is not None
    assert found_day is not None
    assert (found_place.value, found_day.value) == (place, day)


def test_a_day_that_no_calendar_has_stays_as_read() -> None:
    _, day = values.read_birth("JAKARTA, 31-02-1990", 0.9)

    assert shown(day) == ("31-02-1990", FieldReason.UNPARSED)
    assert day is not None
    assert day.confidence <= values.UNPARSED_CONFIDENCE


def test_birth_without_a_date_is_a_place() -> None:
    place, day = values.read_birth("JAKARTA", 0.9)

    assert shown(place) == ("JAKARTA", FieldReason.AS_READ)
    assert day is None


@pytest.mark.parametrize(
    ("raw", "value", "reason"),
    [
        ("003/004", "003/004", FieldReason.AS_READ),
        ("003 / 004", "003/004", FieldReason.AS_READ),
        ("0031004", "003/004", FieldReason.NORMALIZED),
        ("OO3/OO4", "003/004", FieldReason.NORMALIZED),
        ("003I004", "003/004", FieldReason.NORMALIZED),
        ("003004", "003/004", FieldReason.NORMALIZED),
        ("3/4", "003/004", FieldReason.NORMALIZED),
        ("003/-", "003/-", FieldReason.AS_READ),
        ("UTARA", "UTARA", FieldReason.UNPARSED),
    ],
)
def test_rt_rw(raw: str, value: str, reason: FieldReason) -> None:
    assert shown(values.read_rt_rw(raw, 0.9)) == (value, reason)


@pytest.mark.parametrize(
    ("raw", "value", "reason"),
    [
        ("LAKI-LAKI", "LAKI-LAKI", FieldReason.AS_READ),
        ("LAKI LAKI", "LAKI-LAKI", FieldReason.MATCHED),
        ("LAK1-LAKI", "LAKI-LAKI", FieldReason.MATCHED),
        ("PEREMPUAM", "PEREMPUAN", FieldReason.MATCHED),
        ("TIDAK JELAS", "TIDAK JELAS", FieldReason.UNPARSED),
    ],
)
def test_sex(raw: str, value: str, reason: FieldReason) -> None:
    assert shown(values.read_closed(raw, 0.9, vocabulary.SEXES)) == (value, reason)


def test_a_match_is_less_sure_than_the_text() -> None:
    field = values.read_closed("KAWlM", 0.9, vocabulary.MARITAL_STATUSES)

    assert field is not None
    assert field.confidence < 0.9
    assert field.raw_value == "KAWlM"


@pytest.mark.parametrize(
    ("raw", "value"),
    [("KATHOLIK", "KATOLIK"), ("BUDDHA", "BUDHA"), ("KHONGHUCU", "KONGHUCU"), ("lSLAM", "ISLAM")],
)
def test_religion_in_its_official_spelling(raw: str, value: str) -> None:
    field = values.read_religion(raw, 0.9)

    assert shown(field) == (value, FieldReason.MATCHED)
    assert field is not None
    assert field.raw_value == raw


@pytest.mark.parametrize(
    ("raw", "value", "reason"),
    [
        ("PETANI/PEKEBUN", "PETANI/PEKEBUN", FieldReason.AS_READ),
        ("PETANIPEKEBUN", "PETANI/PEKEBUN", FieldReason.MATCHED),
        ("KARYAVAN SWASTA", "KARYAWAN SWASTA", FieldReason.MATCHED),
        ("PENJAGA KAPAL", "PENJAGA KAPAL", FieldReason.AS_READ),
    ],
)
def test_occupation_softly(raw: str, value: str, reason: FieldReason) -> None:
    assert shown(values.read_soft(raw, 0.9, vocabulary.occupations())) == (value, reason)


@pytest.mark.parametrize(
    ("raw", "value"), [("WNI", "WNI"), ("WNl", "WNI"), ("WN1", "WNI"), ("MALAYSIA", "MALAYSIA")]
)
def test_citizenship(raw: str, value: str) -> None:
    field = values.read_citizenship(raw, 0.9)

    assert field is not None
    assert field.value == value


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("SEUMUR HIDUP", "SEUMUR HIDUP"),
        ("SEUMURHIDUP", "SEUMUR HIDUP"),
        ("12-03-2017", "12-03-2017"),
    ],
)
def test_validity(raw: str, value: str) -> None:
    field = values.read_validity(raw, 0.9)

    assert field is not None
    assert field.value == value


@pytest.mark.parametrize(
    "read",
    [
        values.read_free,
        values.read_nik,
        values.read_date,
        values.read_rt_rw,
        values.read_religion,
        values.read_blood_type,
        values.read_citizenship,
        values.read_validity,
    ],
)
@pytest.mark.parametrize("raw", ["", "  ", ":", " : "])
def test_nothing_reads_as_nothing(read: values.Read, raw: str) -> None:
    assert read(raw, 0.9) is None


def test_the_official_occupations_are_complete() -> None:
    assert len(vocabulary.occupations()) == len(set(vocabulary.occupations())) == 99
