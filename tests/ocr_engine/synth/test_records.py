"""Invented card holders."""

from dataclasses import asdict

from ocr_engine.domain import Field, KtpFields, check, parse_printed_date
from ocr_engine.domain.nik import parse_nik
from ocr_engine.synth import random_record
from ocr_engine.synth.lists import REGIONS

SEEDS = range(300)


def test_the_same_seed_gives_the_same_person() -> None:
    assert random_record(5) == random_record(5)
    assert len({random_record(seed) for seed in SEEDS}) == len(SEEDS)


def test_the_fields_agree() -> None:
    for seed in SEEDS:
        record = random_record(seed)
        fields = {name: Field(value, value, 1.0) for name, value in asdict(record).items()}
        assert check(KtpFields(**fields)) == (), seed


def test_number_region_and_age() -> None:
    for seed in SEEDS:
        record = random_record(seed)
        nik = parse_nik(record.nik)
        born = parse_printed_date(record.tanggal_lahir)
        issued = parse_printed_date(record.tanggal_terbit)
        assert nik is not None, seed
        assert (nik.region_code, record.kota) in {(region.code, region.kota) for region in REGIONS}
        assert born is not None, seed
        assert issued is not None, seed
        assert issued.year - born.year >= 17, seed


def test_every_sort_of_value_appears() -> None:
    records = [random_record(seed) for seed in SEEDS]

    assert {record.golongan_darah for record in records} == {"A", "B", "AB", "O", "-"}
    assert {record.jenis_kelamin for record in records} == {"LAKI-LAKI", "PEREMPUAN"}
    assert any(record.berlaku_hingga != "SEUMUR HIDUP" for record in records)
    assert any(record.nik.endswith(tuple(f"000{n}" for n in range(1, 10))) for record in records)
    assert any(" " not in record.nama for record in records)
