"""What a person should look at again: gaps, broken forms, contradictions."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from types import MappingProxyType

from ocr_engine.domain import vocabulary
from ocr_engine.domain.card import CardWarning, KtpFields, WarningCode, parse_printed_date
from ocr_engine.domain.nik import Nik, parse_nik

OPTIONAL = frozenset({"golongan_darah", "tempat_terbit", "tanggal_terbit"})
"""Fields that many cards lack or that nobody needs."""

DISPLAY_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "nik": "NIK",
        "nama": "Nama",
        "tempat_lahir": "Tempat lahir",
        "tanggal_lahir": "Tanggal lahir",
        "jenis_kelamin": "Jenis kelamin",
        "golongan_darah": "Golongan darah",
        "alamat": "Alamat",
        "rt_rw": "RT/RW",
        "kel_desa": "Kelurahan/desa",
        "kecamatan": "Kecamatan",
        "agama": "Agama",
        "status_perkawinan": "Status perkawinan",
        "pekerjaan": "Pekerjaan",
        "kewarganegaraan": "Kewarganegaraan",
        "berlaku_hingga": "Berlaku hingga",
        "provinsi": "Provinsi",
        "kota": "Kabupaten/kota",
        "tempat_terbit": "Tempat terbit",
        "tanggal_terbit": "Tanggal terbit",
    }
)
"""The fields as they are named to a patient."""


def _is_date(value: str) -> bool:
    return parse_printed_date(value) is not None


_FORMS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "nama": lambda value: any(char.isalpha() for char in value),
        "tanggal_lahir": _is_date,
        "tanggal_terbit": _is_date,
        "jenis_kelamin": vocabulary.SEXES.__contains__,
        "golongan_darah": vocabulary.BLOOD_TYPES.__contains__,
        "rt_rw": lambda value: bool(re.fullmatch(r"(\d{3}|-)/(\d{3}|-)", value)),
        "agama": vocabulary.RELIGIONS.__contains__,
        "status_perkawinan": vocabulary.MARITAL_STATUSES.__contains__,
        "berlaku_hingga": lambda value: value == vocabulary.FOR_LIFE or _is_date(value),
    }
)


def check(card: KtpFields) -> tuple[CardWarning, ...]:
    """Lists what is odd; nothing is changed, a clear text stays as it is printed."""
    return (*_gaps(card), *_broken_forms(card), *_contradictions(card))


def _gaps(card: KtpFields) -> Iterator[CardWarning]:
    for spec in fields(card):
        if getattr(card, spec.name) is None and spec.name not in OPTIONAL:
            yield CardWarning(
                WarningCode.FIELD_MISSING,
                spec.name,
                f"{DISPLAY_NAMES[spec.name]} tidak terbaca pada kartu.",
            )


def _broken_forms(card: KtpFields) -> Iterator[CardWarning]:
    for name, field in card.found():
        if name in _FORMS and not _FORMS[name](field.value):
            yield CardWarning(
                WarningCode.FIELD_UNPARSED,
                name,
                f"{DISPLAY_NAMES[name]} tidak sesuai bentuk yang lazim; mohon diperiksa.",
            )


def _contradictions(card: KtpFields) -> Iterator[CardWarning]:
    if card.nik is None:
        return
    nik = parse_nik(card.nik.value)
    if nik is None:
        yield CardWarning(
            WarningCode.NIK_INVALID,
            "nik",
            "NIK harus 16 angka dengan kode wilayah dan tanggal lahir yang mungkin.",
        )
        return
    if not _same_birth_date(nik, card):
        yield CardWarning(
            WarningCode.NIK_BIRTH_DATE_MISMATCH,
            "nik",
            "Tanggal lahir pada NIK berbeda dengan tanggal lahir yang tercetak.",
        )
    if not _same_sex(nik, card):
        yield CardWarning(
            WarningCode.NIK_SEX_MISMATCH,
            "nik",
            "Jenis kelamin pada NIK berbeda dengan jenis kelamin yang tercetak.",
        )


def _same_birth_date(nik: Nik, card: KtpFields) -> bool:
    """True also when no birth date could be read: then there is nothing to contradict."""
    printed = parse_printed_date(card.tanggal_lahir.value) if card.tanggal_lahir else None
    if printed is None:
        return True
    return (nik.day, nik.month, nik.short_year) == (printed.day, printed.month, printed.year % 100)


def _same_sex(nik: Nik, card: KtpFields) -> bool:
    if card.jenis_kelamin is None or card.jenis_kelamin.value not in vocabulary.SEXES:
        return True
    return nik.female == (card.jenis_kelamin.value == "PEREMPUAN")
