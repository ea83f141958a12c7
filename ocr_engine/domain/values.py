"""Turns the text beside a label into a field's value."""

import re
from collections.abc import Callable, Sequence

from ocr_engine.domain import vocabulary
from ocr_engine.domain.card import Field, FieldReason, parse_printed_date
from ocr_engine.domain.nik import NIK_LENGTH
from ocr_engine.domain.text import as_digits, squeeze, tidy

Read = Callable[[str, float], Field | None]
"""From the text and its confidence to a field; None when the text says nothing."""

UNPARSED_CONFIDENCE = 0.5
"""The most that a value without the right form is trusted."""


_DATE_TAIL = re.compile(
    r"([0-9OQDILZSBG|!]{2})[^0-9A-Z]*([0-9OQDILZSBG|!]{2})[^0-9A-Z]*([0-9OQDILZSBG|!]{4})\W*$"
)
_SLASHED_DATE = re.compile(r"(\d\d)[1/](\d\d)[1/](\d{4})\W*$")
_RT_RW = re.compile(r"(\d{1,3}|-)[^0-9-]*/[^0-9-]*(\d{1,3}|-)$")


def read_free(raw: str, confidence: float) -> Field | None:
    """Reads text that may be anything: names, places, addresses."""
    value = tidy(raw)
    return Field(value, raw, confidence) if value else None


def read_nik(raw: str, confidence: float) -> Field | None:
    """Reads the number; whatever has not 16 digits stays visible as unparsed."""
    compact = re.sub(r"[^0-9A-Za-z|!?\[\]]", "", raw)
    digits = as_digits(compact)
    if not digits:
        return None
    if len(digits) != NIK_LENGTH or not digits.isdecimal():
        return _unparsed(tidy(raw), raw, confidence)
    reason = FieldReason.AS_READ if digits == compact else FieldReason.NORMALIZED
    return Field(digits, raw, confidence, reason)


def read_date(raw: str, confidence: float) -> Field | None:
    """Reads DD-MM-YYYY."""
    if not tidy(raw):
        return None
    found = _find_date(raw.upper())
    if found is None:
        return _unparsed(tidy(raw), raw, confidence)
    value, _ = found
    return _dated(value, raw, confidence)


def read_birth(raw: str, confidence: float) -> tuple[Field | None, Field | None]:
    """Reads `PLACE, DD-MM-YYYY` as place and date."""
    found = _find_date(raw.upper())
    if found is None:
        return read_free(raw, confidence), None
    value, start = found
    place = read_free(raw[:start], confidence)
    if place:
        place = Field(place.value.rstrip("- "), place.raw_value, confidence)
    return place, _dated(value, raw[start:].strip(), confidence)


def _dated(value: str, raw: str, confidence: float) -> Field:
    if parse_printed_date(value) is None:
        return _unparsed(value, raw, confidence)
    reason = FieldReason.AS_READ if value == raw.strip() else FieldReason.NORMALIZED
    return Field(value, raw, confidence, reason)


def _find_date(text: str) -> tuple[str, int] | None:
    """Finds the date at the end of a text and where it begins.

    A slash that was read as 1 makes ten digits; it is tried first, because the
    last eight of them would look like a date too.
    """
    for pattern in (_SLASHED_DATE, _DATE_TAIL):
        if found := pattern.search(text):
            day, month, year = (as_digits(part) for part in found.groups())
            return f"{day}-{month}-{year}", found.start()
    return None


def read_rt_rw(raw: str, confidence: float) -> Field | None:
    """Reads the neighbourhood pair as 003/004; a lost or misread slash is put back."""
    text = tidy(raw)
    if not text:
        return None
    plain = as_digits(text).replace(" ", "")
    if found := _RT_RW.search(plain):
        value = "/".join(part if part == "-" else part.zfill(3) for part in found.groups())
    elif re.fullmatch(r"\d{3}1\d{3}", plain):
        value = f"{plain[:3]}/{plain[4:]}"
    elif re.fullmatch(r"\d{3}\W?\d{3}", plain):
        value = f"{plain[:3]}/{plain[-3:]}"
    else:
        return _unparsed(text, raw, confidence)
    same = value == text.replace(" ", "")
    return Field(value, raw, confidence, FieldReason.AS_READ if same else FieldReason.NORMALIZED)


def read_closed(raw: str, confidence: float, entries: Sequence[str]) -> Field | None:
    """Reads one of a few values; the nearest wins, or the text stays as unparsed."""
    text = tidy(raw)
    if not text:
        return None
    if text in entries:
        return Field(text, raw, confidence)
    found = vocabulary.nearest(text, entries, vocabulary.CLOSED_LIST_CUTOFF)
    if found is None:
        return _unparsed(text, raw, confidence)
    value, likeness = found
    return Field(value, raw, confidence * likeness, FieldReason.MATCHED)


def read_religion(raw: str, confidence: float) -> Field | None:
    """Reads the religion; old spellings become the official one."""
    spellings = (*vocabulary.RELIGIONS, *vocabulary.RELIGION_SPELLINGS)
    field = read_closed(raw, confidence, spellings)
    if field is None or field.value not in vocabulary.RELIGION_SPELLINGS:
        return field
    official = vocabulary.RELIGION_SPELLINGS[field.value]
    return Field(official, raw, field.confidence, FieldReason.MATCHED)


def read_blood_type(raw: str, confidence: float) -> Field | None:
    """Reads the blood type; a dash says that none was given."""
    text = "".join(raw.upper().split()).strip(":;.,'\"`")
    if not text:
        return None
    if text in vocabulary.BLOOD_TYPES:
        return Field(text, raw, confidence)
    letters = text.replace("0", "O").replace("8", "B").replace("4", "A")
    if letters in vocabulary.BLOOD_TYPES:
        return Field(letters, raw, confidence, FieldReason.NORMALIZED)
    if (bare := letters.lstrip("-")) in vocabulary.BLOOD_TYPES:
        return Field(bare, raw, confidence, FieldReason.NORMALIZED)
    if not squeeze(text):
        return Field("-", raw, confidence, FieldReason.NORMALIZED)
    return _unparsed(text, raw, confidence)


def read_soft(raw: str, confidence: float, entries: Sequence[str]) -> Field | None:
    """Reads text that is usually an entry of a list, but need not be."""
    field = read_free(raw, confidence)
    if field is None or field.value in entries:
        return field
    found = vocabulary.nearest(field.value, entries, vocabulary.SOFT_LIST_CUTOFF)
    if found is None:
        return field
    value, likeness = found
    return Field(value, raw, confidence * likeness, FieldReason.MATCHED)


def read_citizenship(raw: str, confidence: float) -> Field | None:
    """Reads WNI, or a foreigner's country as it stands."""
    text = squeeze(raw)
    if not text:
        return None
    if text == vocabulary.CITIZEN:
        return Field(text, raw, confidence)
    if len(text) == len(vocabulary.CITIZEN) and text.replace("1", "I").replace("L", "I") == "WNI":
        return Field(vocabulary.CITIZEN, raw, confidence, FieldReason.NORMALIZED)
    return read_free(raw, confidence)


def read_validity(raw: str, confidence: float) -> Field | None:
    """Reads SEUMUR HIDUP or the last day of validity."""
    if not tidy(raw):
        return None
    for_life = read_closed(raw, confidence, (vocabulary.FOR_LIFE,))
    if for_life and for_life.reason is not FieldReason.UNPARSED:
        return for_life
    return read_date(raw, confidence)


def _unparsed(value: str, raw: str, confidence: float) -> Field:
    return Field(value, raw, min(confidence, UNPARSED_CONFIDENCE), FieldReason.UNPARSED)
