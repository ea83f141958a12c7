"""Invented card holders whose fields agree with each other."""

import random
from dataclasses import dataclass
from datetime import date, timedelta

from ocr_engine.synth import lists

FEMALE_DAY_OFFSET = 40
"""What a NIK adds to the day of birth of a woman."""


@dataclass(frozen=True)
class CardRecord:
    """What one card says, field by field, as printed."""

    nik: str
    nama: str
    tempat_lahir: str
    tanggal_lahir: str
    jenis_kelamin: str
    golongan_darah: str
    alamat: str
    rt_rw: str
    kel_desa: str
    kecamatan: str
    agama: str
    status_perkawinan: str
    pekerjaan: str
    kewarganegaraan: str
    berlaku_hingga: str
    provinsi: str
    kota: str
    tempat_terbit: str
    tanggal_terbit: str


def seeded(purpose: str, seed: int) -> random.Random:
    """Makes a generator of its own for each purpose, so one drawing does not shift another."""
    return random.Random(f"{purpose}-{seed}")  # noqa: S311 - invented people, not secrets


def printed_date(day: date) -> str:
    """Writes a date the way the card does, DD-MM-YYYY."""
    return day.strftime("%d-%m-%Y")


def compose_nik(region_code: str, born: date, female: bool, serial: int) -> str:
    """Builds the number from what it encodes: region, birth date, sex and a serial."""
    day = born.day + (FEMALE_DAY_OFFSET if female else 0)
    return f"{region_code}{day:02d}{born:%m%y}{serial:04d}"


def random_record(seed: int) -> CardRecord:
    """Invents a card holder; the same seed gives the same one."""
    rng = seeded("record", seed)
    region = rng.choice(lists.REGIONS)
    female = rng.random() < 0.5
    born = date(1950, 1, 1) + timedelta(days=rng.randrange(0, 20_400))
    first_card = born.replace(day=min(born.day, 28), year=born.year + 17)
    issued = max(date(2012, 1, 1), first_card) + timedelta(days=rng.randrange(0, 400))
    expires = rng.random() < 0.1
    return CardRecord(
        nik=compose_nik(region.code, born, female, _serial(rng)),
        nama=_name(rng, female),
        tempat_lahir=region.birthplace,
        tanggal_lahir=printed_date(born),
        jenis_kelamin="PEREMPUAN" if female else "LAKI-LAKI",
        golongan_darah=rng.choice(lists.BLOOD_TYPES),
        alamat=_address(rng),
        rt_rw=f"{rng.randrange(1, 20):03d}/{rng.randrange(1, 20):03d}",
        kel_desa=region.kel_desa,
        kecamatan=region.kecamatan,
        agama=rng.choices(lists.RELIGIONS, lists.RELIGION_WEIGHTS)[0],
        status_perkawinan=rng.choice(lists.MARITAL_STATUSES),
        pekerjaan=rng.choice(lists.OCCUPATIONS),
        kewarganegaraan="WNI",
        berlaku_hingga=printed_date(issued + timedelta(days=1826)) if expires else "SEUMUR HIDUP",
        provinsi=region.provinsi,
        kota=region.kota,
        tempat_terbit=region.kota,
        tanggal_terbit=printed_date(issued),
    )


def _serial(rng: random.Random) -> int:
    """Mostly small numbers: NIKs that end in 000x are common and were once misread."""
    return rng.randrange(1, 10) if rng.random() < 0.6 else rng.randrange(10, 200)


def _name(rng: random.Random, female: bool) -> str:
    first = lists.FEMALE_NAMES if female else lists.MALE_NAMES
    parts = [rng.choice(first)]
    style = rng.random()
    if style < 0.1:
        return parts[0]
    if style > 0.85:
        parts.extend(rng.sample(first, 2))
    parts.append(rng.choice(lists.FAMILY_NAMES))
    title = rng.choice(lists.TITLES) if rng.random() < 0.08 else ""
    return " ".join(dict.fromkeys(parts)) + title


def _address(rng: random.Random) -> str:
    street = f"JL. {rng.choice(lists.STREETS)} NO. {rng.randrange(1, 199)}"
    style = rng.random()
    if style < 0.2:
        return f"{rng.choice(lists.ESTATES)} BLOK {rng.choice('ABCDEFG')}{rng.randrange(1, 30)}"
    if style > 0.8:
        return f"{rng.choice(lists.ESTATES)} {street}"
    return street
