"""Fields from lines: places, second readings, chances of digits."""

import pytest

from ocr_engine.parsing import DIGITS, FieldReason
from ocr_engine.parsing.extraction import is_nik, take, take_birth, take_date, take_sure, take_twice
from ocr_engine.parsing.fields import values
from ocr_engine.parsing.fields.text import Row
from tests.ocr_engine.layout import NIK, Rereadable, box


def line(text: str, again: str) -> Row:
    return Row((Rereadable(text, 0.7, 0, 0, 100, 20, again=again),))


def test_a_field_knows_its_place() -> None:
    field = take(Row((box("AYU", 10, 5),)), values.read_free)

    assert field is not None
    assert field.polygon == ((10, 5), (49, 5), (49, 31), (10, 31))


@pytest.mark.parametrize("row", [None, Row(())])
def test_nothing_is_taken_from_nothing(row: Row | None) -> None:
    assert take(row, values.read_free) is None
    assert take_twice(row, values.read_nik, DIGITS) is None
    assert take_date(row) is None
    assert take_birth(row) == (None, None)


def test_a_second_reading_counts_when_only_it_is_possible() -> None:
    field = take_twice(line("317503K009500008", NIK), values.read_nik, DIGITS, is_nik)

    assert field is not None
    assert (field.value, field.raw_value) == (NIK, "317503K009500008")
    assert field.reason is FieldReason.NORMALIZED
    assert field.confidence == pytest.approx(0.99)


def test_a_second_reading_that_says_the_same_makes_sure() -> None:
    field = take_twice(line(NIK, NIK), values.read_nik, DIGITS, is_nik)

    assert field is not None
    assert (field.confidence, field.reason) == (0.99, FieldReason.AS_READ)


def test_the_first_reading_stays_when_both_are_possible() -> None:
    field = take_twice(line(NIK, "3175036009500009"), values.read_nik, DIGITS, is_nik)

    assert field is not None
    assert (field.value, field.confidence) == (NIK, 0.7)


def test_the_first_reading_stays_when_neither_is_possible() -> None:
    field = take_twice(line("317503", "999999"), values.read_nik, DIGITS, is_nik)

    assert field is not None
    assert (field.value, field.reason) == ("317503", FieldReason.UNPARSED)


def test_a_date_is_read_again_only_if_it_looks_like_one() -> None:
    again = take_date(line("2x-09-1950", "20-09-1950"), values.read_validity)
    for_life = take_date(line("SEUMVR HlDUP", "20-09-1950"), values.read_validity)

    assert again is not None
    assert for_life is not None
    assert (again.value, for_life.value) == ("20-09-1950", "SEUMUR HIDUP")


def test_chances_belong_to_the_digits_of_the_value() -> None:
    row = Row((box(": 2O-09 -1950", 0, 0, unsure={3: 0.3}),)).tail(0)
    field = take_sure(row, values.read_date)

    assert field is not None
    assert field.value == "20-09-1950"
    assert field.chars == (0.99, 0.3, 1.0, 0.99, 0.99, 1.0, 0.99, 0.99, 0.99, 0.99)


def test_chances_are_unknown_when_digits_do_not_match_one_to_one() -> None:
    field = take_sure(Row((box("2010911950", 0, 0, unsure={}),)), values.read_date)

    assert field is not None
    assert (field.value, field.chars) == ("20-09-1950", ())


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
        ("JAKARTA - 01-01-2000", "JAKARTA", "01-01-2000"),
        ("SOLO, 20091950", "SOLO", "20-09-1950"),
        ("JAKARTA", "JAKARTA", None),
        ("20-09-1950", None, "20-09-1950"),
    ],
)
def test_birth_place_and_date(raw: str, place: str | None, day: str | None) -> None:
    found_place, found_day = take_birth(Row((box(raw, 0, 0),)))

    assert (found_place.value if found_place else None) == place
    assert (found_day.value if found_day else None) == day


def test_place_and_date_of_one_box_have_places_of_their_own() -> None:
    place, day = take_birth(Row((box("SOLO, 20-09-1950", 0, 0),)))

    assert place is not None
    assert day is not None
    assert place.polygon[1][0] <= day.polygon[0][0]


def test_a_date_in_a_box_of_its_own_is_read_again() -> None:
    date = Rereadable("2C-09-1950", 0.7, 100, 0, 200, 26, again="20-09-1950")
    _, day = take_birth(Row((box("SOLO,", 0, 0), date)))

    assert day is None, "the first reading must at least look like a date"
    _, day = take_birth(
        Row(
            (box("SOLO,", 0, 0), Rereadable("2O-09-1950", 0.7, 100, 0, 200, 26, again="20-09-1950"))
        )
    )
    assert day is not None
    assert day.confidence == pytest.approx(0.99)
