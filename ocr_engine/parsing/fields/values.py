"""Turns the text beside a label into a field's value."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from ocr_engine.parsing.fields import vocabulary
from ocr_engine.parsing.fields.card import Field, FieldReason, parse_printed_date
from ocr_engine.parsing.fields.nik import NIK_LENGTH, parse_nik
from ocr_engine.parsing.fields.text import as_digits, squeeze, tidy

Read = Callable[[str, float], Field | None]
"""From the text and its confidence to a field; None when the text says nothing."""

UNPARSED_CONFIDENCE = 0.5
"""The most that a value without the right form is trusted."""
CLEAR_FROM = 0.9
"""Text that was read this surely is never changed to something merely similar."""
PUBLIC_CLASS_CUTOFF = 0.75
"""Likeness below which a text is no class for public transport, such as `BI UMUM`."""
LISTED_DOUBT_SHARE = 0.5
"""What remains of the doubt about a text that is an entry of a closed list: a misreading
seldom makes another entry."""

_DIGITLIKE = "0-9OQDILZSBG|!"
_DATE_TAIL = re.compile(
    rf"([{_DIGITLIKE}]{{2}})[^0-9A-Z]*([{_DIGITLIKE}]{{2}})[^0-9A-Z]*([{_DIGITLIKE}]{{4}})\W*$"
)
_SLASHED_DATE = re.compile(r"(\d\d)[1/](\d\d)[1/](\d{4})\W*$")
_RT_RW = re.compile(r"(?<![0-9A-Z])(\d{1,3}|-)[^0-9A-Z-]*/[^0-9A-Z-]*(\d{1,3}|-)$")
_SIM_NUMBER = re.compile(r"(\d{4})(\D*)(\d{4})(\D*)(\d{6}|\d{4})")


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
    if len(digits) == NIK_LENGTH + 1 and not compact[0].isdigit() and parse_nik(digits[1:]):
        # A colon before the number that was read as an upright stroke.
        digits = digits[1:]
    if len(digits) != NIK_LENGTH or not digits.isdecimal():
        return _unparsed(tidy(raw), raw, confidence)
    reason = FieldReason.AS_READ if digits == compact else FieldReason.NORMALIZED
    return Field(digits, raw, confidence, reason)


def read_sim_number(raw: str, confidence: float, *, dashed: bool = False) -> Field | None:
    """Reads a licence's 12 or 14 digits; where one dash was read, all are printed.

    Args:
        raw: The text as it was read.
        confidence: How surely.
        dashed: Whether dashes are printed in any case.
    """
    text = tidy(raw)
    if not text:
        return None
    plain = as_digits(text)
    found = _SIM_NUMBER.fullmatch(plain)
    if found is None:
        return _unparsed(text, raw, confidence)
    dash = "-" if dashed or "-" in plain else ""
    value = dash.join(found.group(1, 3, 5))
    reason = FieldReason.AS_READ if value == text else FieldReason.NORMALIZED
    return Field(value, raw, confidence, reason)


def read_date(raw: str, confidence: float) -> Field | None:
    """Reads DD-MM-YYYY."""
    if not tidy(raw):
        return None
    found = find_date(raw)
    if found is None:
        return _unparsed(tidy(raw), raw, confidence)
    value, _ = found
    if parse_printed_date(value) is None:
        return _unparsed(value, raw, confidence)
    reason = FieldReason.AS_READ if value == raw.strip() else FieldReason.NORMALIZED
    return Field(value, raw, confidence, reason)


def find_date(text: str) -> tuple[str, int] | None:
    """Finds the date at the end of a text and where it begins.

    A slash that was read as 1 makes ten digits; it is tried first, because the
    last eight of them would look like a date too. A day that no calendar has is given
    only when nothing else can be.
    """
    found = [
        ("-".join(as_digits(part) for part in match.groups()), match.start())
        for pattern in (_SLASHED_DATE, _DATE_TAIL)
        if (match := pattern.search(text.upper()))
    ]
    possible = [entry for entry in found if parse_printed_date(entry[0])]
    return next(iter(possible or found), None)


def read_rt_rw(raw: str, confidence: float) -> Field | None:
    """Reads the neighbourhood pair as 003/004; a lost or misread slash is put back.

    Cards print three digits, so where one is missing it was probably lost in reading.
    """
    text = tidy(raw)
    if not text:
        return None
    plain = as_digits(text).replace(" ", "")
    if found := _RT_RW.search(plain):
        parts = found.groups()
    elif found := re.fullmatch(r"(\d{3})1?(-)|(\d{3})[1\W]?(\d{3})", plain):
        parts = tuple(part for part in found.groups() if part)
    else:
        return _unparsed(text, raw, confidence)
    if any(len(part) < 3 for part in parts if part != "-"):
        confidence = min(confidence, UNPARSED_CONFIDENCE)
    value = "/".join(part if part == "-" else part.zfill(3) for part in parts)
    same = value == text.replace(" ", "")
    return Field(value, raw, confidence, FieldReason.AS_READ if same else FieldReason.NORMALIZED)


def read_closed(raw: str, confidence: float, entries: Sequence[str]) -> Field | None:
    """Reads one of a few values: the nearest, or the one that the text begins with."""
    text = tidy(raw)
    if not text:
        return None
    if text in entries:
        return Field(text, raw, listed(confidence))
    found = vocabulary.nearest(text, entries, vocabulary.CLOSED_LIST_CUTOFF)
    if found is None:
        longest = max(
            (entry for entry in entries if text.startswith(f"{entry} ")), key=len, default=""
        )
        if longest:
            return Field(longest, raw, confidence * len(longest) / len(text), FieldReason.MATCHED)
        return _unparsed(text, raw, confidence)
    value, likeness = found
    return Field(value, raw, confidence * likeness, FieldReason.MATCHED)


def listed(confidence: float) -> float:
    """Tells how sure a text is that is exactly one entry of a closed list."""
    return 1 - (1 - confidence) * LISTED_DOUBT_SHARE


def read_religion(raw: str, confidence: float) -> Field | None:
    """Reads the religion; old spellings become the official one."""
    spellings = (*vocabulary.RELIGIONS, *vocabulary.RELIGION_SPELLINGS)
    field = read_closed(raw, confidence, spellings)
    if field is None or field.value not in vocabulary.RELIGION_SPELLINGS:
        return field
    official = vocabulary.RELIGION_SPELLINGS[field.value]
    return replace(field, value=official, reason=FieldReason.MATCHED)


def read_blood_type(raw: str, confidence: float) -> Field | None:
    """Reads the blood type; a dash says that none was given."""
    text = "".join(raw.upper().split()).strip(":;.,'\"`")
    if not text:
        return None
    if text in vocabulary.BLOOD_TYPES:
        return Field(text, raw, confidence)
    letters = text.replace("0", "O").replace("Q", "O").replace("8", "B").replace("4", "A")
    if letters in vocabulary.BLOOD_TYPES:
        return Field(letters, raw, confidence, FieldReason.NORMALIZED)
    # The end of "Darah" may be read with the value.
    if (bare := letters.removeprefix("AH").removeprefix("H").lstrip("-")) in vocabulary.BLOOD_TYPES:
        return Field(bare, raw, confidence, FieldReason.NORMALIZED)
    if not squeeze(text):
        return Field("-", raw, confidence, FieldReason.NORMALIZED)
    return _unparsed(text, raw, confidence)


def find_sex(text: str) -> int | None:
    """Finds where PRIA or WANITA begins at the end of a text."""
    start = max(text.rfind(" "), text.rfind("-")) + 1
    last = squeeze(text[start:])
    for entry in vocabulary.SIM_SEXES:
        if last.endswith(entry):
            return len(text.rstrip()) - len(entry)
    return (
        start
        if vocabulary.nearest(last, vocabulary.SIM_SEXES, vocabulary.CLOSED_LIST_CUTOFF)
        else None
    )


def read_sim_class(raw: str, confidence: float) -> Field | None:
    """Reads the class of a licence; None when the text cannot be one."""
    text = tidy(raw)
    if text in vocabulary.SIM_CLASSES:
        return Field(text, raw, confidence)
    letters = re.sub(r"[1L|!]", "I", text.replace("8", "B"))
    # Only the longer ones have letters to spare for a misreading.
    cutoff = PUBLIC_CLASS_CUTOFF if len(squeeze(text)) >= len("A UMUM") - 1 else 1.0
    found = vocabulary.only_nearest(letters, vocabulary.SIM_CLASSES, cutoff)
    if found is None:
        return None
    entry, likeness = found
    return Field(entry, raw, confidence * likeness, FieldReason.NORMALIZED)


def read_soft(raw: str, confidence: float, entries: Sequence[str]) -> Field | None:
    """Reads text that is usually an entry of a list, but need not be."""
    return match_softly(raw, confidence, entries, vocabulary.SOFT_LIST_CUTOFF)


def match_softly(
    raw: str, confidence: float, entries: Sequence[str], cutoff: float
) -> Field | None:
    """Takes the entry that a text is most like; a clear text changes only its blanks.

    Args:
        raw: The text as it was read.
        confidence: How surely.
        entries: What it usually is.
        cutoff: Likeness, 0 to 1, below which the text stays as it is.
    """
    field = read_free(raw, confidence)
    if field is None:
        return None
    if field.value in entries:
        return replace(field, confidence=listed(confidence))
    found = vocabulary.only_nearest(field.value, entries, cutoff)
    if found is None or (found[1] < 1 and confidence >= CLEAR_FROM):
        return field
    value, likeness = found
    return Field(value, raw, confidence * likeness, FieldReason.MATCHED)


def read_citizenship(raw: str, confidence: float) -> Field | None:
    """Reads WNI, or a foreigner's country as it stands."""
    text = squeeze(raw)
    if not text:
        return None
    if text == vocabulary.CITIZEN:
        return Field(text, raw, listed(confidence))
    if len(text) == len(vocabulary.CITIZEN) and text.replace("1", "I").replace("L", "I") == "WNI":
        return Field(vocabulary.CITIZEN, raw, confidence, FieldReason.NORMALIZED)
    # No country has so short a name; WNA, any foreigner, ends in another letter.
    if len(text) <= len(vocabulary.CITIZEN) and text.startswith("W") and not text.endswith("A"):
        return Field(vocabulary.CITIZEN, raw, confidence, FieldReason.MATCHED)
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
