"""Takes fields from lines: the value, where it stands, and a second reading if need be."""

from collections.abc import Callable
from dataclasses import replace

from ocr_engine.parsing.fields import values
from ocr_engine.parsing.fields.card import Field, FieldReason
from ocr_engine.parsing.fields.nik import parse_nik
from ocr_engine.parsing.fields.text import DASHED_DIGITS, Row, as_digits

DATE_DIGITS_MIN = 4
"""With fewer digits a text is no date, and is not read again as one."""


def take(row: Row | None, read: values.Read) -> Field | None:
    """Takes a field from a line, with its place; None when the line says nothing."""
    if row is None or not row.boxes:
        return None
    field = read(row.text, row.confidence)
    return replace(field, polygon=row.polygon) if field else None


def is_parsed(field: Field) -> bool:
    """Tells whether the value has its form."""
    return field.reason is not FieldReason.UNPARSED


def is_nik(field: Field) -> bool:
    """Tells whether the value is a possible NIK."""
    return parse_nik(field.value) is not None


def take_twice(
    row: Row | None,
    read: values.Read,
    alphabet: frozenset[str],
    accept: Callable[[Field], bool] = is_parsed,
) -> Field | None:
    """Takes a field, reading the boxes again with only the characters that it can have.

    The second reading counts when it says the same, or when only it has the right form.
    The raw value is always the one of the first reading.
    """
    first = take_sure(row, read)
    if row is None or first is None:
        return first
    again = take_sure(row.under(alphabet), read)
    if again is None or not accept(again):
        return first
    if again.value == first.value:
        return replace(again, raw_value=first.raw_value, reason=first.reason)
    if accept(first):
        return first
    return replace(again, raw_value=first.raw_value, reason=FieldReason.NORMALIZED)


def take_sure(row: Row | None, read: values.Read) -> Field | None:
    """Takes a number or date, with the chance of each of its digits where it is known."""
    field = take(row, read)
    if row is None or field is None:
        return field
    return replace(field, chars=_digit_chances(field.value, row))


def take_date(row: Row | None, read: values.Read = values.read_date) -> Field | None:
    """Takes a date, read again as one if it looks like one."""
    if row is None or sum(char.isdecimal() for char in as_digits(row.text)) < DATE_DIGITS_MIN:
        return take(row, read)
    return take_twice(row, read, DASHED_DIGITS)


def take_birth(row: Row | None) -> tuple[Field | None, Field | None]:
    """Takes place and date of birth from `PLACE, DD-MM-YYYY`."""
    found = values.find_date(row.text) if row else None
    if row is None or found is None:
        return take(row, values.read_free), None
    _, start = found
    place = take(row.head(start), values.read_free)
    if place:
        bare = place.value.rstrip("- .,")
        place = replace(place, value=bare) if bare else None
    return place, take_date(row.tail(start))


def _digit_chances(value: str, row: Row) -> tuple[float, ...]:
    """Gives the chance of each character of a value; empty unless digits match one to one."""
    if not row.chars:
        return ()
    digits = [
        chance
        for char, chance in zip(row.text, row.chars, strict=True)
        if as_digits(char).isdecimal()
    ]
    if len(digits) != sum(char.isdecimal() for char in value):
        return ()
    rest = iter(digits)
    return tuple(next(rest) if char.isdecimal() else 1.0 for char in value)
