"""Invented holders."""

from datetime import date

import pytest

from ocr_engine.parsing.fields.nik import parse_nik
from training.synth import CardRecord, SimLayout, random_record, random_sim_record
from training.synth.records import INCONSISTENT_SHARE, compose_nik
from training.synth.regions import regions

PEOPLE = [random_record(seed) for seed in range(600)]


def agrees(record: CardRecord) -> bool:
    nik = parse_nik(record.nik)
    assert nik is not None
    day, month, year = (int(part) for part in record.tanggal_lahir.split("-"))
    female = record.jenis_kelamin == "PEREMPUAN"
    return (nik.day, nik.month, nik.short_year, nik.female) == (day, month, year % 100, female)


def test_the_same_seed_invents_the_same_holder() -> None:
    assert random_record(5) == random_record(5)
    assert random_record(5) != random_record(6)


def test_a_small_share_contradicts_itself() -> None:
    share = sum(not agrees(record) for record in PEOPLE) / len(PEOPLE)

    assert 0.3 * INCONSISTENT_SHARE < share < 2 * INCONSISTENT_SHARE


def test_people_differ_as_people_do() -> None:
    assert {record.golongan_darah for record in PEOPLE} == {"A", "B", "AB", "O", "-"}
    assert any(record.kewarganegaraan != "WNI" for record in PEOPLE)
    assert any(record.nik.endswith("0001") for record in PEOPLE)
    assert any(record.tanggal_lahir.endswith("2000") for record in PEOPLE)
    assert any(len(record.nama.split()) == 1 for record in PEOPLE)
    assert any(record.nik[:2] != "31" for record in PEOPLE)
    assert len({record.kecamatan for record in PEOPLE}) > 300
    assert all(1 <= len(record.nama) <= 60 for record in PEOPLE)


def test_cards_hold_only_characters_that_the_reader_knows() -> None:
    from ocr_engine.vision.recognizer import ALPHABET

    for record in PEOPLE:
        assert set("".join(vars(record).values())) <= ALPHABET


def test_a_number_says_region_birth_sex_and_serial() -> None:
    assert compose_nik("320101", date(2000, 1, 9), female=True, serial=1) == "3201014901000001"


def test_regions_are_printed_as_cards_print_them() -> None:
    found = {region.code: region for region in regions()}

    assert len(found) > 6000
    assert found["317401"].provinsi == "DKI JAKARTA"
    assert found["317401"].kota == "JAKARTA SELATAN"
    assert found["320101"].kota == "KABUPATEN BOGOR"
    assert all(region.kecamatan.isupper() or region.kecamatan.isdecimal() for region in regions())


@pytest.mark.parametrize(
    ("layout", "digits", "dashes"),
    [(SimLayout.LABELLED, 12, 0), (SimLayout.NUMBERED, 14, 2), (SimLayout.BILINGUAL, 16, 0)],
)
def test_each_licence_has_its_own_number(layout: SimLayout, digits: int, dashes: int) -> None:
    record = random_sim_record(3, layout)

    assert sum(char.isdecimal() for char in record.nomor_sim) == digits
    assert record.nomor_sim.count("-") == dashes
    assert record.nama == random_record(3).nama
