"""What a person should look at again: gaps, broken forms, contradictions, repairs."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from types import MappingProxyType

from ocr_engine.parsing.fields import vocabulary
from ocr_engine.parsing.fields.card import (
    CardFields,
    CardWarning,
    FieldReason,
    KtpFields,
    SimFields,
    WarningCode,
    parse_printed_date,
)
from ocr_engine.parsing.fields.messages import DISPLAY_NAMES
from ocr_engine.parsing.fields.nik import parse_nik
from ocr_engine.parsing.fields.regions import is_known_code
from ocr_engine.parsing.repair import agree, number_of, printed_sex

_NO_CONTRADICTION = frozenset(
    {WarningCode.FIELD_MISSING, WarningCode.NIK_REPAIRED, WarningCode.BIRTH_DATE_REPAIRED}
)
"""What should be looked at, but speaks against no other field."""
OPTIONAL: Mapping[type[CardFields], frozenset[str]] = MappingProxyType(
    {
        KtpFields: frozenset({"golongan_darah", "tempat_terbit", "tanggal_terbit"}),
        SimFields: frozenset({"golongan_darah", "jenis_kelamin", "wilayah", "pekerjaan"}),
    }
)
"""Fields that many cards lack or that nobody needs."""


def _is_date(value: str) -> bool:
    return parse_printed_date(value) is not None


_SHARED_FORMS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "nama": lambda value: any(char.isalpha() for char in value),
        "tanggal_lahir": _is_date,
        "golongan_darah": vocabulary.BLOOD_TYPES.__contains__,
    }
)

_FORMS: Mapping[type[CardFields], Mapping[str, Callable[[str], bool]]] = MappingProxyType(
    {
        KtpFields: {
            **_SHARED_FORMS,
            "tanggal_terbit": _is_date,
            "jenis_kelamin": vocabulary.SEXES.__contains__,
            "rt_rw": lambda value: bool(re.fullmatch(r"(\d{3}|-)/(\d{3}|-)", value)),
            "agama": vocabulary.RELIGIONS.__contains__,
            "status_perkawinan": vocabulary.MARITAL_STATUSES.__contains__,
            "berlaku_hingga": lambda value: value == vocabulary.FOR_LIFE or _is_date(value),
        },
        SimFields: {
            **_SHARED_FORMS,
            # Sixteen digits are a NIK, which has rules of its own.
            "nomor_sim": lambda value: bool(
                re.fullmatch(r"\d{12}|\d{14}|\d{16}|\d{4}-\d{4}-(\d{4}|\d{6})", value)
            ),
            "golongan": vocabulary.SIM_CLASSES.__contains__,
            "jenis_kelamin": vocabulary.SIM_SEXES.__contains__,
            "berlaku_hingga": _is_date,
        },
    }
)


def check(card: CardFields) -> tuple[CardWarning, ...]:
    """Lists what is odd; nothing is changed, a clear text stays as it is printed."""
    return (*_gaps(card), *_broken_forms(card), *_contradictions(card), *_repairs(card))


def _gaps(card: CardFields) -> Iterator[CardWarning]:
    for spec in fields(card):
        if getattr(card, spec.name) is None and spec.name not in OPTIONAL[type(card)]:
            indonesian, english = DISPLAY_NAMES[spec.name]
            yield CardWarning(
                WarningCode.FIELD_MISSING,
                spec.name,
                f"{indonesian} tidak terbaca pada kartu.",
                f"{english} could not be read on the card.",
            )


def _broken_forms(card: CardFields) -> Iterator[CardWarning]:
    forms = _FORMS[type(card)]
    for name, field in card.found():
        if name in forms and not forms[name](field.value):
            indonesian, english = DISPLAY_NAMES[name]
            yield CardWarning(
                WarningCode.FIELD_UNPARSED,
                name,
                f"{indonesian} tidak sesuai bentuk yang lazim; mohon diperiksa.",
                f"{english} does not have its usual form; please check it.",
            )


def _contradictions(card: CardFields) -> Iterator[CardWarning]:
    name, number = number_of(card)
    if number is None:
        return
    nik = parse_nik(number.value)
    if nik is None:
        yield CardWarning(
            WarningCode.NIK_INVALID,
            name,
            "NIK harus 16 angka dengan kode wilayah dan tanggal lahir yang mungkin.",
            "A NIK has 16 digits with a possible region code and birth date.",
        )
        return
    if not is_known_code(nik.region_code):
        yield CardWarning(
            WarningCode.REGION_CODE_UNKNOWN,
            name,
            "Kode wilayah pada NIK tidak dikenal; mohon diperiksa.",
            "The region code of the NIK is unknown; please check it.",
        )
    born = card.tanggal_lahir
    if born and _is_date(born.value) and not agree(number.value, born.value):
        yield CardWarning(
            WarningCode.NIK_BIRTH_DATE_MISMATCH,
            name,
            "Tanggal lahir pada NIK berbeda dengan tanggal lahir yang tercetak.",
            "The birth date in the NIK differs from the printed one.",
        )
    if printed_sex(card) not in (None, nik.female):
        yield CardWarning(
            WarningCode.NIK_SEX_MISMATCH,
            name,
            "Jenis kelamin pada NIK berbeda dengan jenis kelamin yang tercetak.",
            "The sex in the NIK differs from the printed one.",
        )


def _repairs(card: CardFields) -> Iterator[CardWarning]:
    name, number = number_of(card)
    if number and number.reason is FieldReason.REPAIRED:
        yield CardWarning(
            WarningCode.NIK_REPAIRED,
            name,
            "Angka NIK yang kurang jelas disesuaikan dengan tanggal lahir; mohon diperiksa.",
            "Unclear digits of the NIK were set from the birth date; please check them.",
        )
    if card.tanggal_lahir and card.tanggal_lahir.reason is FieldReason.REPAIRED:
        yield CardWarning(
            WarningCode.BIRTH_DATE_REPAIRED,
            "tanggal_lahir",
            "Tanggal lahir yang kurang jelas disesuaikan dengan NIK; mohon diperiksa.",
            "Unclear digits of the birth date were set from the NIK; please check them.",
        )


def contradicts(warnings: Iterable[CardWarning]) -> bool:
    """Returns whether a warning speaks against another field."""
    return any(warning.code not in _NO_CONTRADICTION for warning in warnings)
