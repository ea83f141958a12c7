"""Taking the number apart."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_engine.parsing.fields.nik import Nik, parse_nik
from training.synth.records import compose_nik


def test_a_woman_is_born_forty_days_later() -> None:
    assert parse_nik("3175036009500008") == Nik("317503", 20, 9, 50, True, 8)


def test_a_man() -> None:
    assert parse_nik("3175032009500008") == Nik("317503", 20, 9, 50, False, 8)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "317503600950000",
        "31750360095000081",
        "317503600950000A",
        "317503600950000\N{FULLWIDTH DIGIT EIGHT}",
        "3175030009500008",
        "3175034009500008",
        "3175033209500008",
        "3175037209500008",
        "3175032013500008",
        "3175023002500008",
        "3175022902510008",
        "3175032009500000",
        "0175032009500008",
    ],
)
def test_impossible_numbers(text: str) -> None:
    assert parse_nik(text) is None


@pytest.mark.parametrize("text", ["3175032902000001", "3175036902960001"])
def test_leap_days(text: str) -> None:
    assert parse_nik(text) is not None


@given(born=st.dates(), female=st.booleans(), serial=st.integers(1, 9999))
def test_every_date_comes_back(born: date, female: bool, serial: int) -> None:
    nik = parse_nik(compose_nik("317503", born, female, serial))

    assert nik is not None
    assert (nik.day, nik.month, nik.short_year) == (born.day, born.month, born.year % 100)
    assert (nik.female, nik.serial) == (female, serial)
