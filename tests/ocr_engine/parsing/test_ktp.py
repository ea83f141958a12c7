"""Reading a whole card from boxes of text."""

import random
from dataclasses import asdict

import pytest

from ocr_engine.parsing import DocumentType, FieldReason, read_ktp
from tests.ocr_engine.layout import NIK, box, card
from tests.ocr_engine.parsing.cards import EXPECTED, fields, values


def test_every_field_of_a_clean_card() -> None:
    reading = read_ktp(card())

    assert reading.document_type is DocumentType.KTP
    assert values(reading) == EXPECTED
    assert reading.warnings == ()


def test_the_order_of_the_boxes_does_not_matter() -> None:
    boxes = card()
    random.Random(7).shuffle(boxes)

    assert values(read_ktp(boxes)) == EXPECTED


def test_missing_colons() -> None:
    assert values(read_ktp(card(colons=False))) == EXPECTED


@pytest.mark.parametrize("colons", [True, False])
def test_labels_glued_to_their_values(colons: bool) -> None:
    assert values(read_ktp(card(glued=True, colons=colons))) == EXPECTED


def test_misread_labels() -> None:
    labels = {
        "NIK": "NlK",
        "Nama": "Narna",
        "Tempat/Tgl Lahir": "TempatITgl Lahlr",
        "Jenis Kelamin": "Jenls kelamln",
        "RT/RW": "RTIRW",
        "Kel/Desa": "KeVDesa",
        "Berlaku Hingga": "Beriaku Hlngga",
    }
    assert values(read_ktp(card(labels=labels))) == EXPECTED


@pytest.mark.parametrize("label", ["NIK", "Nama", "Agama", "RT/RW", "Pekerjaan"])
def test_a_label_that_was_not_seen(label: str) -> None:
    assert values(read_ktp(card(labels={label: ""}))) == EXPECTED


@pytest.mark.parametrize(
    ("label", "lines", "name", "value"),
    [
        ("Nama", ["SITI MARIA CONSOLATA", "DWI PUTRI HANDAYANI"], "nama", None),
        ("Alamat", ["PERUM GRIYA ASRI JL. KENANGA", "BLOK B2 NO. 7"], "alamat", None),
        (
            "Tempat/Tgl Lahir",
            ["KEPULAUAN TALAUD,", "20-09-1950"],
            "tempat_lahir",
            "KEPULAUAN TALAUD",
        ),
    ],
)
def test_values_on_two_lines(label: str, lines: list[str], name: str, value: str | None) -> None:
    found = values(read_ktp(card({label: lines})))

    assert found[name] == (value or " ".join(lines))
    assert {k: v for k, v in found.items() if k != name} == {
        k: v for k, v in EXPECTED.items() if k != name
    }


def test_two_line_name_whose_next_label_was_not_seen() -> None:
    boxes = card({"Nama": ["SITI MARIA", "HANDAYANI"]}, labels={"Tempat/Tgl Lahir": ""})

    found = values(read_ktp(boxes))

    assert found["nama"] == "SITI MARIA HANDAYANI"
    assert found["tanggal_lahir"] == "20-09-1950"


@pytest.mark.parametrize(
    ("blood", "value"),
    [
        ("Gol. Darah : AB", "AB"),
        ("Gol Darah : -", "-"),
        ("Gol. Darah :0", "O"),
        ("GolDarah O", "O"),
        ("Gol. Darah :", None),
        (None, None),
    ],
)
def test_blood_type_beside_the_sex(blood: str | None, value: str | None) -> None:
    found = values(read_ktp(card(blood=blood)))

    assert found.get("golongan_darah") == value
    assert found["jenis_kelamin"] == "PEREMPUAN"


def test_blood_type_in_the_same_box_as_the_sex() -> None:
    boxes = card({"Jenis Kelamin": "PEREMPUAN Gol. Darah : B"}, blood=None)

    found = values(read_ktp(boxes))

    assert (found["jenis_kelamin"], found["golongan_darah"]) == ("PEREMPUAN", "B")


def test_the_right_column_never_leaks_into_a_value() -> None:
    boxes = [*card(), box("KABUPATEN LAIN", 780, 173 + 8 * 31)]

    assert values(read_ktp(boxes))["agama"] == "ISLAM"


def test_a_slightly_sloping_card() -> None:
    boxes = [
        type(b)(
            b.text, b.confidence, b.left, b.top + b.left * 0.02, b.right, b.bottom + b.left * 0.02
        )
        for b in card()
    ]
    assert values(read_ktp(boxes)) == EXPECTED


def test_confusions_in_numeric_fields_keep_the_text_as_read() -> None:
    changes = {"NIK": "317503600950OOO8", "Tempat/Tgl Lahir": "JAKARTA, 2O-O9-I95O"}

    found = fields(card(changes))

    assert found.nik is not None
    assert (found.nik.value, found.nik.raw_value) == (NIK, "317503600950OOO8")
    assert found.nik.reason is FieldReason.NORMALIZED
    assert found.tanggal_lahir is not None
    assert (found.tanggal_lahir.value, found.tanggal_lahir.raw_value) == (
        "20-09-1950",
        "2O-O9-I95O",
    )


def test_a_clear_number_that_contradicts_the_card_stays_as_printed() -> None:
    other = "3175032109510008"

    reading = read_ktp(card({"NIK": other}))

    assert values(reading)["nik"] == other
    assert values(reading)["tanggal_lahir"] == "20-09-1950"
    assert {warning.code for warning in reading.warnings} == {
        "NIK_BIRTH_DATE_MISMATCH",
        "NIK_SEX_MISMATCH",
    }


def test_warnings_carry_no_personal_value() -> None:
    reading = read_ktp(card({"NIK": "12345", "Agama": "XQZ"}))

    assert reading.warnings
    for warning in reading.warnings:
        text = " ".join(map(str, asdict(warning).values()))
        assert "12345" not in text
        assert "XQZ" not in text


def test_a_joined_value_is_right_when_all_its_boxes_are() -> None:
    boxes = [*card({"Nama": ""}), box("AYU", 278, 173, 0.9), box("SETIAWAN", 340, 173, 0.4)]

    nama = fields(boxes).nama

    assert nama is not None
    assert nama.value == "AYU SETIAWAN"
    assert nama.confidence == pytest.approx(0.36)


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["MENU", "NASI GORENG 25.000", "ES TEH 5.000"],
        ["Nama", "Alamat"],
        ["SURAT IZIN MENGEMUDI", "1. BUDI", "2. JAKARTA 01-01-1990"],
        ["No. 1234567890123456", "Total"],
    ],
)
def test_other_text_is_no_card(texts: list[str]) -> None:
    boxes = [box(text, 30, 40 * index) for index, text in enumerate(texts)]

    assert read_ktp(boxes).document_type is DocumentType.UNKNOWN
