"""Compares the NIK with the printed birth date and sex, and repairs what was read unsurely.

Clear text is never touched: a contradiction that is clearly printed stays, and is warned of.
"""

import re
from dataclasses import dataclass, replace
from datetime import date
from typing import TypeVar

from ocr_engine.parsing.fields import vocabulary
from ocr_engine.parsing.fields.card import (
    CardFields,
    Field,
    FieldReason,
    KtpFields,
    SimFields,
    parse_printed_date,
)
from ocr_engine.parsing.fields.nik import FEMALE_DAY_OFFSET, NIK_LENGTH, parse_nik

UNSURE_BELOW = 0.6
"""Only characters that were read less surely may be set from another field."""
SURE_FROM = 0.8
"""What another field is set from must have been read this surely, character by character."""
BORN_UNTIL = 2029
"""The last year of birth that a card can show, where its day of issue is not known."""
OLDEST_YEARS = 110
"""Age of the oldest holder. A NIK tells only two digits of the year, so a century is chosen."""
CONFIRMED_DOUBT_SHARE = 0.5
"""What remains of the doubt about a date that the NIK, printed elsewhere, confirms."""

_BIRTH = slice(6, 12)
"""Where a NIK encodes the birth date, and in its first digit the sex."""
_CENTURIES = (1900, 2000)

Card = TypeVar("Card", KtpFields, SimFields)


def number_of(card: CardFields) -> tuple[str, Field | None]:
    """Gives the name and the value of the field that holds a NIK, None if none does."""
    if isinstance(card, KtpFields):
        return "nik", card.nik
    number = card.nomor_sim
    is_nik = number is not None and len(number.value) == NIK_LENGTH and number.value.isdecimal()
    return "nomor_sim", number if is_nik else None


def printed_sex(card: CardFields) -> bool | None:
    """Tells whether the card says that its holder is a woman; None when it does not say."""
    known = vocabulary.SEXES if isinstance(card, KtpFields) else vocabulary.SIM_SEXES
    if card.jenis_kelamin is None or card.jenis_kelamin.value not in known:
        return None
    return card.jenis_kelamin.value in vocabulary.FEMALE


def cross_check(card: Card) -> Card:
    """Repairs the NIK from the printed birth date and sex, or the date from the NIK.

    When both agree, both are surer than they were read. Without the chances of single
    characters nothing is repaired.
    """
    name, number = number_of(card)
    born = card.tanggal_lahir
    if number is None or born is None:
        return card
    years = _possible_years(card)
    if _tells_same(card, number, born) and _year_of(born) in years:
        return replace(card, **{name: _confirmed_number(number), "tanggal_lahir": _confirmed(born)})
    if repaired := _number_from_print(number, born, _sure_sex(card)):
        return replace(card, **{name: repaired})
    if repaired := _date_from_number(born, number, years):
        return replace(card, tanggal_lahir=repaired)
    return card


def _tells_same(card: CardFields, number: Field, born: Field) -> bool:
    nik = parse_nik(number.value)
    same_day = agree(number.value, born.value)
    return nik is not None and same_day and printed_sex(card) in (None, nik.female)


def _year_of(born: Field) -> int | None:
    day = parse_printed_date(born.value)
    return day.year if day else None


def agree(number: str, born: str) -> bool:
    """Tells whether a NIK and a printed birth date name the same day."""
    nik, day = parse_nik(number), parse_printed_date(born)
    if nik is None or day is None:
        return False
    return (nik.day, nik.month, nik.short_year) == (day.day, day.month, day.year % 100)


def _confirmed(born: Field) -> Field:
    return replace(born, confidence=1 - (1 - born.confidence) * CONFIRMED_DOUBT_SHARE)


def _confirmed_number(number: Field) -> Field:
    """Returns the number with six of its digits beyond doubt."""
    share = 1 - (_BIRTH.stop - _BIRTH.start) / NIK_LENGTH
    return replace(number, confidence=1 - (1 - number.confidence) * share)


@dataclass(frozen=True)
class _Draft:
    """Holds what a value should be, and whether the reading allows it."""

    text: str
    distance: int
    """Characters that differ from the reading."""
    allowed: bool
    """Whether only unsurely read characters differ."""


def _compare(read: Field, expected: str, begin: int = 0) -> _Draft:
    """Compares an expected part, from a position on, with what was read there."""
    wrong = [
        begin + index for index, char in enumerate(expected) if read.value[begin + index] != char
    ]
    text = read.value[:begin] + expected + read.value[begin + len(expected) :]
    return _Draft(text, len(wrong), all(read.chars[index] < UNSURE_BELOW for index in wrong))


def _number_from_print(number: Field, born: Field, female: bool | None) -> Field | None:
    day = parse_printed_date(born.value)
    if day is None or not _is_sure(born.chars):
        return None
    if len(number.chars) != NIK_LENGTH or len(number.value) != NIK_LENGTH:
        return None
    tens = number.value[_BIRTH.start]
    if female is None:
        female = tens in "4567"
        if tens not in _encoded(day, female=female)[0]:
            # Both the sex and this digit are unknown, so it cannot be told which is right.
            return None
    draft = _compare(number, _encoded(day, female=female), _BIRTH.start)
    if draft.distance == 0 or not draft.allowed or parse_nik(draft.text) is None:
        return None
    return _repaired(number, draft.text, born)


def _encoded(day: date, *, female: bool) -> str:
    """Writes a birth date as a NIK does."""
    return f"{day.day + (FEMALE_DAY_OFFSET if female else 0):02d}{day:%m%y}"


def _date_from_number(born: Field, number: Field, possible: range) -> Field | None:
    nik = parse_nik(number.value)
    if nik is None or not _is_sure(number.chars[_BIRTH]):
        return None
    if not re.fullmatch(r"\d\d-\d\d-\d{4}", born.value) or len(born.chars) != len(born.value):
        return None
    years = (century + nik.short_year for century in _CENTURIES)
    texts = (f"{nik.day:02d}-{nik.month:02d}-{year}" for year in years if year in possible)
    drafts = [_compare(born, text) for text in texts if parse_printed_date(text)]
    allowed = sorted((d for d in drafts if d.allowed), key=lambda draft: draft.distance)
    if (
        not allowed
        or allowed[0].distance == 0
        or (len(allowed) > 1 and allowed[0].distance == allowed[1].distance)
    ):
        return None
    return _repaired(born, allowed[0].text, number)


def _repaired(read: Field, text: str, source: Field) -> Field:
    """Returns a repaired field, which is no surer than its rest and its source were."""
    return replace(
        read,
        value=text,
        confidence=read.confidence * source.confidence,
        reason=FieldReason.REPAIRED,
    )


def _is_sure(chars: tuple[float, ...]) -> bool:
    return bool(chars) and min(chars) >= SURE_FROM


def _sure_sex(card: CardFields) -> bool | None:
    sex = card.jenis_kelamin
    return printed_sex(card) if sex and sex.confidence >= SURE_FROM else None


def _possible_years(card: CardFields) -> range:
    """Gives the years in which the holder can be born: none after the card was issued."""
    issued = card.tanggal_terbit if isinstance(card, KtpFields) else None
    day = parse_printed_date(issued.value) if issued else None
    latest = min(day.year, BORN_UNTIL) if day else BORN_UNTIL
    return range(latest - OLDEST_YEARS, latest + 1)
