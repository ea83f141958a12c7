"""Boxes and lines, and what happens when they are cut and joined."""

import math

import pytest

from ocr_engine.parsing import DIGITS, TextBox
from ocr_engine.parsing.fields.text import Row, group_rows, join
from tests.ocr_engine.layout import Rereadable, box


def rereadable(text: str, left: float = 0.0) -> Rereadable:
    return Rereadable(text, 0.5, left, 0, left + 10 * len(text), 20, again="12")


def test_plain_text_cannot_be_read_again() -> None:
    plain = box("l2", 0, 0)

    assert plain.under(DIGITS) is plain


def test_a_row_reads_its_boxes_again() -> None:
    assert Row((rereadable("l2"), box("AB", 90, 0))).under(DIGITS).text == "12 AB"


def test_a_cut_takes_the_characters_chances_and_the_place_along() -> None:
    part = TextBox("AB 12", 0.9, 100, 0, 150, 20, (0.9, 0.8, 1.0, 0.7, 0.6)).cut(3)

    assert (part.text, part.left, part.right) == ("12", 130, 150)
    assert part.chars == (0.7, 0.6)


def test_a_cut_box_cannot_be_read_again() -> None:
    """Its ink is only part of what the reader would look at."""
    assert type(rereadable("NIK l2").cut(4)) is TextBox
    assert Row((rereadable("NIK l2"),)).tail(4).under(DIGITS).text == "l2"


def test_a_colon_is_dropped_from_a_box_that_can_still_be_read_again() -> None:
    row = Row((rereadable(": l2"),)).tail(0)

    assert row.text == "l2"
    assert row.under(DIGITS).text == "12"


def test_doubt_stays_with_the_characters_that_cause_it() -> None:
    whole = TextBox("AB", 0.5, 0, 0, 20, 20, (1.0, 0.5))

    assert whole.cut(0, 1).confidence == pytest.approx(1.0)
    assert whole.cut(1).confidence == pytest.approx(0.5)


@pytest.mark.parametrize("chars", [(), (0.9,)])
def test_without_known_chances_a_part_is_as_sure_as_the_whole(chars: tuple[float, ...]) -> None:
    part = TextBox("AB", 0.5, 0, 0, 20, 20, chars).cut(1)

    assert (part.confidence, part.chars) == (0.5, ())


def test_parts_that_were_read_without_any_doubt() -> None:
    assert TextBox("AB", 0.9, 0, 0, 20, 20, (1.0, 1.0)).cut(1).confidence == pytest.approx(0.9)


def test_a_row_is_right_when_all_its_boxes_are() -> None:
    assert Row((box("AYU", 0, 0, 0.9), box("S", 90, 0, 0.5))).confidence == pytest.approx(0.45)
    assert Row(()).confidence == 0.0


def test_a_speck_takes_nothing_from_a_row() -> None:
    assert Row((box("AYU", 0, 0, 0.9), box(".", 90, 0, 0.1))).confidence == pytest.approx(0.9)
    assert Row((box("-", 0, 0, 0.7),)).confidence == pytest.approx(0.7)


def test_chances_of_a_row() -> None:
    first, second = box("AB", 0, 0, unsure={1: 0.4}), box("C", 90, 0, unsure={})

    assert Row((first, second)).chars == (0.99, 0.4, 1.0, 0.99)
    assert Row((first, box("C", 90, 0))).chars == ()


def test_corners_of_all_boxes() -> None:
    upper, lower = Row((box("AB", 10, 0), box("C", 90, 2))), Row((box("DE", 5, 40),))

    assert join(upper, lower).polygon == ((5, 0), (103, 0), (103, 66), (5, 66))
    assert Row(()).polygon == ()


def test_parts_of_a_row() -> None:
    row = Row((box("JAKARTA,", 0, 0), box("20-09", 200, 0)))

    assert row.head(9).text == "JAKARTA,"
    assert row.head(3).text == "JAK"
    assert row.tail(9).text == "20-09"
    assert row.head(0).boxes == ()


def test_a_dash_is_on_the_line_of_its_letters() -> None:
    dash = TextBox("-", 0.9, 100, 12, 110, 16)

    assert [row.text for row in group_rows([box("AB", 0, 0), dash])] == ["AB -"]


def test_boxes_one_above_the_other_are_two_lines() -> None:
    rows = group_rows([box("LOWER", 0, 28), box("UPPER", 0, 0)])

    assert [row.text for row in rows] == ["UPPER", "LOWER"]
    assert math.isclose(rows[0].middle, 13)


def test_what_is_left_of_a_label_is_no_value() -> None:
    label = TextBox("Jenis KelaminV/iex", 0.6, 0, 0, 180, 20, is_label=True)
    value = TextBox("PRIA", 0.9, 200, 0, 240, 20)

    assert Row((label, value)).tail(len("Jenis Kelamin")).text == "PRIA"
    assert Row((value, label)).tail(0).text == "PRIA Jenis KelaminV/iex"


def test_a_box_that_says_nothing_keeps_its_blank() -> None:
    row = Row((TextBox("", 0.0, 0, 0, 9, 20), TextBox("12", 0.9, 20, 0, 40, 20, (0.9, 0.8))))

    assert (row.text, row.chars) == (" 12", (1.0, 0.9, 0.8))
