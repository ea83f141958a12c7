"""What a person should look at again: gaps, broken forms, contradictions."""

from collections.abc import Iterator
from dataclasses import fields

from ocr_engine.domain.card import (
    CardWarning,
    FieldReason,
    KtpFields,
    WarningCode,
    parse_printed_date,
)
from ocr_engine.domain.nik import Nik, parse_nik

OPTIONAL = frozenset({"golongan_darah", "tempat_terbit", "tanggal_terbit"})
"""Fields that many cards lack or that nobody needs."""


def check(card: KtpFields) -> tuple[CardWarning, ...]:
    """Lists what is odd; nothing is changed, a clear text stays as it is printed."""
    return (*_gaps(card), *_contradictions(card))


def _gaps(card: KtpFields) -> Iterator[CardWarning]:
    for spec in fields(card):
        value = getattr(card, spec.name)
        if value is None:
            if spec.name not in OPTIONAL:
                yield CardWarning(
                    WarningCode.FIELD_MISSING, spec.name, f"{spec.name} could not be found"
                )
        elif value.reason is FieldReason.UNPARSED:
            yield CardWarning(
                WarningCode.FIELD_UNPARSED, spec.name, f"{spec.name} does not have its usual form"
            )


def _contradictions(card: KtpFields) -> Iterator[CardWarning]:
    if card.nik is None or card.nik.reason is FieldReason.UNPARSED:
        return
    nik = parse_nik(card.nik.value)
    if nik is None:
        yield CardWarning(
            WarningCode.NIK_INVALID, "nik", "the number holds no possible region and birth date"
        )
        return
    if not _same_birth_date(nik, card):
        yield CardWarning(
            WarningCode.NIK_BIRTH_DATE_MISMATCH, "nik", "the number tells another birth date"
        )
    if card.jenis_kelamin and nik.female != (card.jenis_kelamin.value == "PEREMPUAN"):
        yield CardWarning(WarningCode.NIK_SEX_MISMATCH, "nik", "the number tells the other sex")


def _same_birth_date(nik: Nik, card: KtpFields) -> bool:
    """True also when no birth date could be read: then there is nothing to contradict."""
    printed = parse_printed_date(card.tanggal_lahir.value) if card.tanggal_lahir else None
    if printed is None:
        return True
    return (nik.day, nik.month, nik.short_year) == (
        printed.day,
        printed.month,
        printed.year % 100,
    )
