"""The NIK against the printed birth date and sex."""

from dataclasses import replace

import pytest

from ocr_engine.parsing import CardReading, Field, FieldReason, KtpFields, read_ktp, read_sim
from ocr_engine.parsing.repair import cross_check
from tests.ocr_engine.layout import NIK, bilingual_sim, card

# 3175 03 60 09 50 0008: born on 20 September 1950, a woman.
BIRTH = "JAKARTA, 20-09-1950"
SURE: dict[int, float] = {}


def read(
    nik: str,
    birth: str = BIRTH,
    *,
    nik_unsure: dict[int, float] | None = None,
    birth_unsure: dict[int, float] | None = None,
    sex: str = "PEREMPUAN",
) -> CardReading:
    unsure = {"NIK": nik_unsure, "Tempat/Tgl Lahir": birth_unsure}
    known = {label: chances for label, chances in unsure.items() if chances is not None}
    changes = {"NIK": nik, "Tempat/Tgl Lahir": birth, "Jenis Kelamin": sex}
    return read_ktp(card(changes, colons=False, unsure=known))


def codes(reading: CardReading) -> set[str]:
    return {warning.code.value for warning in reading.warnings}


def fields_of(reading: CardReading) -> KtpFields:
    assert isinstance(reading.fields, KtpFields)
    return reading.fields


def both(reading: CardReading) -> tuple[Field, Field]:
    fields = fields_of(reading)
    assert fields.nik is not None
    assert fields.tanggal_lahir is not None
    return fields.nik, fields.tanggal_lahir


@pytest.mark.parametrize(
    ("misread", "at"),
    [
        ("3175038009500008", (6,)),
        ("3175036309500008", (7,)),
        ("3175036004500008", (9,)),
        ("3175036009560008", (11,)),
        ("3175032008590008", (6, 9, 11)),
    ],
)
def test_unsure_digits_of_the_number_are_set_from_the_print(
    misread: str, at: tuple[int, ...]
) -> None:
    reading = read(misread, nik_unsure=dict.fromkeys(at, 0.4), birth_unsure=SURE)
    nik, _ = both(reading)

    assert (nik.value, nik.raw_value, nik.reason) == (NIK, misread, FieldReason.REPAIRED)
    assert nik.confidence < 0.95
    assert codes(reading) == {"NIK_REPAIRED"}


def test_a_warning_of_a_repair_names_no_value() -> None:
    reading = read("3175036309500008", nik_unsure={7: 0.4}, birth_unsure=SURE)

    for warning in reading.warnings:
        text = f"{warning.message} {warning.message_en}"
        assert not any(char.isdigit() for char in text)


def test_clear_digits_are_never_repaired() -> None:
    reading = read("3175036309500008", nik_unsure={15: 0.4}, birth_unsure=SURE)
    nik, _ = both(reading)

    assert (nik.value, nik.reason) == ("3175036309500008", FieldReason.AS_READ)
    assert codes(reading) == {"NIK_BIRTH_DATE_MISMATCH"}


def test_one_clear_digit_that_differs_forbids_the_repair() -> None:
    reading = read("3175036308500008", nik_unsure={7: 0.4}, birth_unsure=SURE)

    assert both(reading)[0].value == "3175036308500008"


def test_unsure_digits_that_agree_are_left() -> None:
    reading = read(NIK, nik_unsure={7: 0.4}, birth_unsure=SURE)

    assert both(reading)[0].reason is FieldReason.AS_READ
    assert codes(reading) == set()


def test_an_unsure_date_repairs_nothing() -> None:
    reading = read("3175036309500008", nik_unsure={7: 0.4}, birth_unsure={9: 0.7})

    assert both(reading)[0].value == "3175036309500008"


@pytest.mark.parametrize(("nik_unsure", "birth_unsure"), [(None, SURE), ({7: 0.4}, None)])
def test_without_chances_of_characters_nothing_is_repaired(
    nik_unsure: dict[int, float] | None, birth_unsure: dict[int, float] | None
) -> None:
    reading = read("3175036309500008", nik_unsure=nik_unsure, birth_unsure=birth_unsure)

    assert both(reading)[0].value == "3175036309500008"
    assert codes(reading) == {"NIK_BIRTH_DATE_MISMATCH"}


def test_the_sex_alone_is_repaired() -> None:
    reading = read("3175032009500008", nik_unsure={6: 0.3}, birth_unsure=SURE)

    assert both(reading)[0].value == NIK
    assert codes(reading) == {"NIK_REPAIRED"}


def test_a_clear_digit_of_the_sex_stays() -> None:
    reading = read("3175032009500008", nik_unsure=SURE, birth_unsure=SURE)

    assert both(reading)[0].value == "3175032009500008"
    assert codes(reading) == {"NIK_SEX_MISMATCH"}


@pytest.mark.parametrize(
    ("misread", "at", "expected"),
    [
        ("3175036309500008", 7, NIK),
        ("3175038009500008", 6, None),
    ],
)
def test_without_a_printed_sex_the_tens_of_the_day_must_be_right(
    misread: str, at: int, expected: str | None
) -> None:
    reading = read(misread, nik_unsure={at: 0.4}, birth_unsure=SURE, sex="")

    assert both(reading)[0].value == (expected or misread)


@pytest.mark.parametrize(
    ("misread", "at"),
    [
        ("JAKARTA, 26-09-1950", (10,)),
        ("JAKARTA, 20-08-1950", (13,)),
        ("JAKARTA, 20-09-1958", (18,)),
        ("JAKARTA, 20-09-7950", (15,)),
        ("JAKARTA, 80-09-1950", (9,)),
        ("JAKARTA, 29-04-1960", (10, 13, 17)),
    ],
)
def test_an_unsure_date_is_repaired_from_the_number(misread: str, at: tuple[int, ...]) -> None:
    reading = read(NIK, misread, nik_unsure=SURE, birth_unsure=dict.fromkeys(at, 0.4))
    _, born = both(reading)

    assert (born.value, born.raw_value) == ("20-09-1950", misread.removeprefix("JAKARTA, "))
    assert born.reason is FieldReason.REPAIRED
    assert born.confidence < 0.95
    assert codes(reading) == {"BIRTH_DATE_REPAIRED"}


def test_a_clear_date_is_never_repaired() -> None:
    reading = read(NIK, "JAKARTA, 26-09-1950", nik_unsure=SURE, birth_unsure=SURE)

    assert both(reading)[1].value == "26-09-1950"
    assert codes(reading) == {"NIK_BIRTH_DATE_MISMATCH"}


def test_a_date_whose_digits_cannot_be_told_apart_is_not_repaired() -> None:
    """With slashes that were read as 1 it is unknown which chance belongs to which digit."""
    misread = "JAKARTA, 2610911950"
    reading = read(NIK, misread, nik_unsure=SURE, birth_unsure={10: 0.4})

    assert both(reading)[1].value == "26-09-1950"


def test_an_unsure_number_repairs_no_date() -> None:
    reading = read(NIK, "JAKARTA, 26-09-1950", nik_unsure={8: 0.7}, birth_unsure={10: 0.4})

    assert both(reading)[1].value == "26-09-1950"


@pytest.mark.parametrize(
    ("nik", "misread", "at", "expected"),
    [
        ("3175036009000008", "JAKARTA, 26-09-2000", (10,), "20-09-2000"),
        ("3175036009200008", "JAKARTA, 26-09-2020", (10,), "20-09-2020"),
        ("3175036009200008", "JAKARTA, 26-09-1920", (10,), "20-09-1920"),
        ("3175036009200008", "JAKARTA, 20-09-2320", (15, 16), "20-09-2020"),
        ("3175036009200008", "JAKARTA, 20-09-7320", (15, 16), None),
        ("3175036009500008", "JAKARTA, 20-09-2050", (15, 16), "20-09-1950"),
        ("3175036009500008", "JAKARTA, 26-09-2050", (10,), None),
    ],
)
def test_the_century(nik: str, misread: str, at: tuple[int, ...], expected: str | None) -> None:
    """A year is told by the digits that were read surely, and by how old people become."""
    unsure = {"NIK": SURE, "Tempat/Tgl Lahir": dict.fromkeys(at, 0.4)}
    boxes = card({"NIK": nik, "Tempat/Tgl Lahir": misread}, colons=False, unsure=unsure)
    reading = read_ktp([box for box in boxes if box.text != "12-03-2017"])

    assert both(reading)[1].value == (expected or misread.removeprefix("JAKARTA, "))


def test_nobody_is_born_after_the_card_was_issued() -> None:
    reading = read(
        "3175036009200008",
        "JAKARTA, 20-09-7320",
        nik_unsure=SURE,
        birth_unsure={15: 0.3, 16: 0.3},
    )

    assert both(reading)[1].value == "20-09-1920"


def test_number_and_date_that_agree_make_each_other_surer() -> None:
    nik, born = both(read(NIK))

    assert nik.confidence > 0.95
    assert born.confidence > 0.95


def test_a_licence_is_repaired_too() -> None:
    boxes = bilingual_sim(number="3175036309500008")
    boxes = [
        replace(box, chars=tuple(0.4 if char == "3" else 0.99 for char in box.text))
        for box in boxes
    ]
    number = read_sim(boxes).fields

    assert not isinstance(number, KtpFields)
    assert number.nomor_sim is not None
    assert (number.nomor_sim.value, number.nomor_sim.reason) == (NIK, FieldReason.REPAIRED)


@pytest.mark.parametrize(
    "fields",
    [
        KtpFields(),
        KtpFields(nik=Field(NIK, NIK, 0.9)),
        KtpFields(tanggal_lahir=Field("20-09-1950", "", 0.9)),
        KtpFields(nik=Field("12", "12", 0.9), tanggal_lahir=Field("x", "x", 0.9)),
    ],
)
def test_what_cannot_be_compared_stays(fields: KtpFields) -> None:
    assert cross_check(fields) == fields
