"""Invented card holders. Most agree with themselves; a share is printed with contradictions."""

import random
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import IntEnum
from functools import cache

from faker import Faker

from ocr_engine.parsing.fields.vocabulary import occupations
from training.synth import lists
from training.synth.regions import regions

FEMALE_DAY_OFFSET = 40
"""What a NIK adds to the day of birth of a woman."""
INCONSISTENT_SHARE = 0.06
"""Cards whose NIK contradicts the printed birth date or sex, clearly printed."""
FOREIGNER_SHARE = 0.03
MOVED_SHARE = 0.3
"""Holders whose NIK was given in another region than the one of their address."""
INVENTED_WORD_SHARE = 0.25
"""Names and villages made of syllables, so that a reader cannot learn all words by heart."""


@dataclass(frozen=True)
class CardRecord:
    """Holds what one KTP says, field by field, as printed."""

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


class SimLayout(IntEnum):
    """Lists the three printed forms of a driving licence."""

    LABELLED = 1
    """Before September 2019."""
    NUMBERED = 2
    """2019 to 2024, Smart SIM."""
    BILINGUAL = 3
    """From July 2024; its number is the NIK."""


@dataclass(frozen=True)
class SimRecord:
    """Holds what one driving licence says, as printed; empty where it prints nothing."""

    layout: SimLayout
    nomor_sim: str
    golongan: str
    nama: str
    tempat_lahir: str
    tanggal_lahir: str
    jenis_kelamin: str
    golongan_darah: str
    alamat: str
    pekerjaan: str
    wilayah: str
    berlaku_hingga: str


def seeded(purpose: str, seed: int) -> random.Random:
    """Makes a generator of its own for each purpose, so one drawing does not shift another."""
    return random.Random(f"{purpose}-{seed}")  # noqa: S311  # nosec B311 # invented people, not secrets


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
    region = rng.choice(regions())
    origin = rng.choice(regions()) if rng.random() < MOVED_SHARE else region
    female = rng.random() < 0.5
    born = _birth(rng)
    issued = _issue(rng, born)
    expires = rng.random() < 0.12
    record = CardRecord(
        nik=compose_nik(origin.code, born, female, _serial(rng)),
        nama=_name(rng, female),
        tempat_lahir=_place(rng, origin.birthplace),
        tanggal_lahir=printed_date(born),
        jenis_kelamin="PEREMPUAN" if female else "LAKI-LAKI",
        golongan_darah=rng.choice(lists.BLOOD_TYPES),
        alamat=_address(rng),
        rt_rw=_rt_rw(rng),
        kel_desa=_place(rng, rng.choice(regions()).kecamatan),
        kecamatan=region.kecamatan,
        agama=rng.choices(lists.RELIGIONS, lists.RELIGION_WEIGHTS)[0],
        status_perkawinan=rng.choice(lists.MARITAL_STATUSES),
        pekerjaan=_occupation(rng),
        kewarganegaraan="WNI",
        berlaku_hingga=printed_date(issued + timedelta(days=1826)) if expires else "SEUMUR HIDUP",
        provinsi=region.provinsi,
        kota=region.kota,
        tempat_terbit=region.kota,
        tanggal_terbit=printed_date(issued),
    )
    return _unusual(rng, record, origin.code, born, female)


def random_sim_record(seed: int, layout: SimLayout) -> SimRecord:
    """Invents the holder of a driving licence; the same seed gives the same one."""
    rng = seeded(f"sim-{layout}", seed)
    holder = random_record(seed)
    born = date(*(int(part) for part in reversed(holder.tanggal_lahir.split("-"))))
    issued = _issue(rng, born)
    digits = "".join(str(rng.randrange(10)) for _ in range(14))
    number = {
        SimLayout.LABELLED: f"{rng.randrange(50, 99)}{digits[:10]}",
        SimLayout.NUMBERED: f"{digits[:4]}-{digits[4:8]}-{digits[8:]}",
        SimLayout.BILINGUAL: holder.nik,
    }[layout]
    short = layout is SimLayout.LABELLED and rng.random() < 0.5
    police = rng.choice(lists.POLICE_REGIONS)
    return SimRecord(
        layout=layout,
        nomor_sim=number,
        golongan=rng.choices(lists.SIM_CLASSES, lists.SIM_CLASS_WEIGHTS)[0],
        nama=holder.nama,
        tempat_lahir=holder.tempat_lahir,
        tanggal_lahir=holder.tanggal_lahir,
        jenis_kelamin="" if short else "WANITA" if int(holder.nik[6:8]) > 40 else "PRIA",
        golongan_darah="" if short else holder.golongan_darah,
        alamat=f"{holder.alamat} RT {holder.rt_rw[:3]} {holder.kel_desa}"
        if rng.random() < 0.6
        else holder.alamat,
        pekerjaan=holder.pekerjaan.split("/")[0],
        wilayah=police if rng.random() < 0.3 else f"POLDA {police}",
        berlaku_hingga=printed_date(issued + timedelta(days=1826)),
    )


def _unusual(
    rng: random.Random, record: CardRecord, code: str, born: date, female: bool
) -> CardRecord:
    """Turns a share of the records into contradictory ones and into foreigners."""
    luck = rng.random()
    if luck < INCONSISTENT_SHARE / 2:
        other = born + timedelta(days=rng.randrange(1, 4000))
        return replace(record, nik=compose_nik(code, other, female, _serial(rng)))
    if luck < INCONSISTENT_SHARE:
        return replace(record, nik=compose_nik(code, born, not female, _serial(rng)))
    if luck < INCONSISTENT_SHARE + FOREIGNER_SHARE:
        expiry = printed_date(date(2027, 1, 1) + timedelta(days=rng.randrange(1500)))
        return replace(record, kewarganegaraan=rng.choice(lists.COUNTRIES), berlaku_hingga=expiry)
    return record


def _birth(rng: random.Random) -> date:
    """Draws an adult's birth, with more births in 2000 than there are: they were once misread."""
    if rng.random() < 0.08:
        return date(2000, 1, 1) + timedelta(days=rng.randrange(366))
    return date(1940, 1, 1) + timedelta(days=rng.randrange(0, 25_200))


def _issue(rng: random.Random, born: date) -> date:
    adult = born.replace(day=min(born.day, 28), year=born.year + 17)
    return max(date(2012, 1, 1), adult) + timedelta(days=rng.randrange(0, 2000))


def _serial(rng: random.Random) -> int:
    """Draws mostly small numbers: NIKs that end in 000x are common and were once misread."""
    return rng.randrange(1, 10) if rng.random() < 0.5 else rng.randrange(10, 9999)


def _rt_rw(rng: random.Random) -> str:
    rw = "-" if rng.random() < 0.03 else f"{rng.randrange(0, 40):03d}"
    return f"{rng.randrange(1, 40):03d}/{rw}"


def _place(rng: random.Random, name: str) -> str:
    return _invented(rng) if rng.random() < INVENTED_WORD_SHARE else name


def _occupation(rng: random.Random) -> str:
    if rng.random() < 0.08:
        return rng.choice(lists.LEGACY_OCCUPATIONS)
    if rng.random() < 0.5:
        return rng.choice(occupations()[:20])
    return rng.choice(occupations())


def _invented(rng: random.Random) -> str:
    syllables = (
        rng.choice(("", *"BCDFGHJKLMNPRSTWYZ", "NG", "KH", "SY", "PR", "TR"))
        + rng.choice("AEIOU")
        + rng.choice(("", "", "", "N", "NG", "R", "S", "K", "H", "M"))
        for _ in range(rng.choice((2, 2, 3)))
    )
    return "".join(syllables)


@cache
def _words() -> dict[str, tuple[str, ...]]:
    provider = Faker("id_ID")
    groups = {
        "male": provider.first_name_male,
        "female": provider.first_name_female,
        "last": provider.last_name,
    }
    provider.seed_instance(1)
    return {
        name: tuple(sorted({word for _ in range(900) if (word := make().upper()).isalpha()}))
        for name, make in groups.items()
    }


def _name(rng: random.Random, female: bool) -> str:
    first, last = _words()["female" if female else "male"], _words()["last"]

    def one(pool: tuple[str, ...]) -> str:
        return _invented(rng) if rng.random() < INVENTED_WORD_SHARE else rng.choice(pool)

    count = rng.choices((1, 2, 3, 4, 6), (10, 50, 28, 9, 3))[0]
    parts = [one(first)] + [one(rng.choice((first, last))) for _ in range(count - 1)]
    if rng.random() < 0.04:
        parts.insert(0, rng.choice(("H.", "HJ.", "DR.", "I", "NI")))
    if rng.random() < 0.04:
        parts[-1] += "'" + rng.choice(("AH", "I", "IN"))
    title = rng.choice(lists.TITLES) if rng.random() < 0.08 else ""
    return " ".join(dict.fromkeys(parts))[:54].rstrip() + title


def _address(rng: random.Random) -> str:
    name = _invented(rng) if rng.random() < INVENTED_WORD_SHARE else rng.choice(lists.STREETS)
    number = rng.choice((f"NO. {rng.randrange(1, 299)}", f"NO {rng.randrange(1, 99)}"
                         f"{rng.choice('ABCD')}", f"NO.{rng.randrange(1, 99)}", ""))  # fmt: skip
    street = f"{rng.choice(('JL.', 'JL.', 'JL', 'GG.', 'JALAN'))} {name} {number}".strip()
    block = f"BLOK {rng.choice('ABCDEFGHK')}{rng.choice(('', '-', ' '))}{rng.randrange(1, 60)}"
    estate = rng.choice(lists.ESTATES)
    return rng.choice(
        (street, street, f"{estate} {block}", f"{estate} {street}", f"{street} {block}")
    )
