"""Reading a whole driving licence from boxes of text, in its three layouts."""

import random

import pytest

from ocr_engine.parsing import (
    CardReading,
    DocumentType,
    FieldReason,
    SimFields,
    TextBox,
    WarningCode,
    read_sim,
)
from tests.ocr_engine.layout import (
    NIK,
    SIM_LINES,
    SMART_NUMBER,
    Rereadable,
    bilingual_sim,
    box,
    labelled_sim,
    numbered_sim,
)

HOLDER = {
    "nama": "AYU SETIAWAN",
    "tempat_lahir": "JAKARTA",
    "tanggal_lahir": "20-09-1950",
    "jenis_kelamin": "WANITA",
    "golongan_darah": "O",
    "alamat": "JL. MELATI NO. 46",
    "pekerjaan": "PERAWAT",
    "wilayah": "POLDA METRO JAYA",
}
LABELLED = {
    "nomor_sim": "500912345678",
    "golongan": "A",
    **HOLDER,
    "berlaku_hingga": "20-09-2018",
}
NUMBERED = {
    "nomor_sim": SMART_NUMBER,
    "golongan": "C",
    **HOLDER,
    "berlaku_hingga": "20-09-2026",
}
BILINGUAL = {
    "nomor_sim": NIK,
    "golongan": "BI UMUM",
    **HOLDER,
    "berlaku_hingga": "20-09-2029",
}


def values(reading: CardReading) -> dict[str, str]:
    assert reading.document_type is DocumentType.SIM
    assert isinstance(reading.fields, SimFields)
    return {name: field.value for name, field in reading.fields.found()}


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        (labelled_sim(), LABELLED),
        (numbered_sim(), NUMBERED),
        (bilingual_sim(), BILINGUAL),
    ],
)
class TestEveryLayout:
    """What holds for all three."""

    def test_every_field(self, boxes: list[TextBox], expected: dict[str, str]) -> None:
        reading = read_sim(boxes)

        assert values(reading) == expected
        assert reading.warnings == ()

    def test_the_order_of_the_boxes_does_not_matter(
        self, boxes: list[TextBox], expected: dict[str, str]
    ) -> None:
        shuffled = list(boxes)
        random.Random(7).shuffle(shuffled)

        assert values(read_sim(shuffled)) == expected

    def test_the_scale_does_not_matter(
        self, boxes: list[TextBox], expected: dict[str, str]
    ) -> None:
        small = [
            TextBox(b.text, b.confidence, b.left / 3, b.top / 3, b.right / 3, b.bottom / 3)
            for b in boxes
        ]

        assert values(read_sim(small)) == expected

    def test_every_field_knows_its_place(
        self, boxes: list[TextBox], expected: dict[str, str]
    ) -> None:
        for _, field in read_sim(boxes).fields.found():
            (left, top), (right, _), (_, bottom), _ = field.polygon
            assert left < right
            assert top < bottom
        assert expected

    def test_titles_that_were_not_seen(
        self, boxes: list[TextBox], expected: dict[str, str]
    ) -> None:
        titles = ("KEPOLISIAN", "SURAT", "DRIVING", "INDONESIA")
        rest = [b for b in boxes if not b.text.startswith(titles)]

        assert values(read_sim(rest, hinted=True)) == expected
        assert values(read_sim(rest)) == expected


@pytest.mark.parametrize(
    ("printed", "golongan"),
    [("C", "C"), ("B1", "BI"), ("BII UMUM", "BII UMUM"), ("Dl", "DI"), ("CII", "CII")],
)
def test_the_class(printed: str, golongan: str) -> None:
    assert values(read_sim(labelled_sim(golongan=printed)))["golongan"] == golongan
    assert values(read_sim(numbered_sim(golongan=printed)))["golongan"] == golongan


def test_the_class_in_one_box_with_the_title() -> None:
    titles = ("INDONESIA", "SURAT IZIN MENGEMUDI BI", "DRIVING LICENSE")

    assert values(read_sim(numbered_sim(titles=titles, golongan="")))["golongan"] == "BI"


def test_the_class_in_two_boxes() -> None:
    boxes = [*numbered_sim(golongan=""), box("BI", 840, 70), box("UMUM", 880, 70)]

    assert values(read_sim(boxes))["golongan"] == "BI UMUM"


def test_no_class() -> None:
    reading = read_sim(labelled_sim(golongan=""))

    assert "golongan" not in values(reading)
    assert [warning.field for warning in reading.warnings] == ["golongan"]


class TestLabelled:
    """Before September 2019."""

    def test_place_and_date_of_birth_in_two_rows(self) -> None:
        lines: dict[str, str] = {}
        for label, value in SIM_LINES.items():
            if label.startswith("Tempat"):
                lines |= {"Tempat Lahir": "JAKARTA", "Tgl. Lahir": "20-09-1950"}
            else:
                lines[label] = value

        assert values(read_sim(labelled_sim(lines=lines))) == LABELLED

    def test_rows_that_some_batches_lack(self) -> None:
        found = values(read_sim(labelled_sim({"Jenis Kelamin": None, "Gol. Darah": None})))

        gone = {"jenis_kelamin", "golongan_darah"}
        assert found == {name: value for name, value in LABELLED.items() if name not in gone}

    @pytest.mark.parametrize("rows", [2, 3])
    def test_address_on_several_lines(self, rows: int) -> None:
        lines = ["PERUM GRIYA ASRI JL. KENANGA", "BLOK B2 NO. 7 RT 004", "RW 005"][:rows]

        found = values(read_sim(labelled_sim({"Alamat": lines, "Jenis Kelamin": None})))

        assert found["alamat"] == " ".join(lines)
        assert found["nama"] == "AYU SETIAWAN"

    @pytest.mark.parametrize("label", ["Nama", "Alamat", "Pekerjaan", "Tempat & Tgl. Lahir"])
    def test_a_label_that_was_not_seen(self, label: str) -> None:
        assert values(read_sim(labelled_sim(labels={label: ""}))) == LABELLED

    def test_misread_labels(self) -> None:
        labels = {
            "Nama": "Narna",
            "Tempat & Tgl. Lahir": "Tempat 8 Tgl Lahlr",
            "No. SIM": "No. S1M",
            "Berlaku s/d": "Beriaku s/d",
        }
        assert values(read_sim(labelled_sim(labels=labels))) == LABELLED

    def test_the_issuer_beside_a_row_and_on_two_lines(self) -> None:
        found = values(read_sim(labelled_sim(issuer=("POLRESTABES", "BANDUNG"))))

        assert found["wilayah"] == "POLRESTABES BANDUNG"
        assert found["berlaku_hingga"] == "20-09-2018"

    def test_what_stands_far_below_the_issuer_is_a_signature(self) -> None:
        found = values(read_sim([*labelled_sim(), box("Mhuh", 760, 560)]))

        assert found["wilayah"] == "POLDA METRO JAYA"

    def test_fourteen_digits(self) -> None:
        found = values(read_sim(labelled_sim({"No. SIM": "50091234567890"})))

        assert found["nomor_sim"] == "50091234567890"


class TestNumbered:
    """The Smart SIM."""

    def test_numbers_in_one_box_with_the_values(self) -> None:
        assert values(read_sim(numbered_sim(glued=True))) == NUMBERED

    @pytest.mark.parametrize("glued", [True, False])
    def test_misread_numbers(self, glued: bool) -> None:
        marks = {1: "l.", 2: "Z.", 5: "S."}

        assert values(read_sim(numbered_sim(marks=marks, glued=glued))) == NUMBERED

    @pytest.mark.parametrize("lost", [1, 2, 3, 4, 5, 6])
    def test_a_number_that_was_not_seen(self, lost: int) -> None:
        assert values(read_sim(numbered_sim(marks={lost: ""}))) == NUMBERED

    def test_no_number_was_seen(self) -> None:
        marks = dict.fromkeys(range(1, 7), "")

        assert values(read_sim(numbered_sim(marks=marks))) == NUMBERED

    @pytest.mark.parametrize("name", ["I MADE SUDARMA", "S. HADI"])
    def test_a_name_that_looks_numbered(self, name: str) -> None:
        """Balinese names begin with I, and names have initials."""
        assert values(read_sim(numbered_sim({1: name}, marks={1: ""})))["nama"] == name

    @pytest.mark.parametrize("rows", [2, 3])
    def test_address_on_several_lines(self, rows: int) -> None:
        lines = ["PERUM GRIYA ASRI JL. KENANGA", "BLOK B2 NO. 7 RT 004", "CIPINANG MUARA"][:rows]

        found = values(read_sim(numbered_sim({4: lines})))

        assert found == NUMBERED | {"alamat": " ".join(lines)}

    def test_name_on_two_lines(self) -> None:
        found = values(read_sim(numbered_sim({1: ["SITI MARIA CONSOLATA", "HANDAYANI"]})))

        assert found == NUMBERED | {"nama": "SITI MARIA CONSOLATA HANDAYANI"}

    def test_birthplace_on_two_lines(self) -> None:
        lines = ["KEPULAUAN SIAU TAGULANDANG BIARO,", "20-09-1950"]

        found = values(read_sim(numbered_sim({2: lines})))

        assert found == NUMBERED | {"tempat_lahir": "KEPULAUAN SIAU TAGULANDANG BIARO"}

    @pytest.mark.parametrize(
        ("printed", "blood", "sex"),
        [
            ("AB - PRIA", "AB", "PRIA"),
            ("0 - PRIA", "O", "PRIA"),
            ("O-PR1A", "O", "PRIA"),
            ("- - WANITA", "-", "WANITA"),
            ("- WANITA", "-", "WANITA"),
            ("WANITA", None, "WANITA"),
        ],
    )
    def test_blood_type_and_sex(self, printed: str, blood: str | None, sex: str) -> None:
        found = values(read_sim(numbered_sim({3: printed})))

        assert (found.get("golongan_darah"), found["jenis_kelamin"]) == (blood, sex)

    def test_one_dash_before_the_sex_may_be_the_separator(self) -> None:
        one, two = (
            read_sim(numbered_sim({3: f"{dashes} PRIA"})).fields.golongan_darah
            for dashes in ("-", "- -")
        )
        assert one is not None
        assert two is not None
        assert one.confidence < two.confidence

    @pytest.mark.parametrize("issuer", ["METRO JAYA", "POLDA JAWA BARAT"])
    def test_the_issuer_as_it_is_printed(self, issuer: str) -> None:
        assert values(read_sim(numbered_sim({6: issuer})))["wilayah"] == issuer

    def test_the_expiry_in_the_box_of_the_issuer(self) -> None:
        boxes = numbered_sim({6: "METRO JAYA 20-09-2026"}, expiry="")

        found = values(read_sim(boxes))

        assert (found["wilayah"], found["berlaku_hingga"]) == ("METRO JAYA", "20-09-2026")

    def test_a_birth_date_in_a_box_of_its_own_is_no_expiry(self) -> None:
        boxes = [*numbered_sim({2: "JAKARTA,"}, expiry=""), box("20-09-1950", 480, 249)]

        found = values(read_sim(boxes))

        assert found["tanggal_lahir"] == "20-09-1950"
        assert "berlaku_hingga" not in found

    @pytest.mark.parametrize("printed", ["12345678901234", "1234-5678 901234", "I234-5678-9O1234"])
    def test_the_number_gets_its_dashes_back(self, printed: str) -> None:
        number = read_sim(numbered_sim(number=printed)).fields

        assert isinstance(number, SimFields)
        assert number.nomor_sim is not None
        assert number.nomor_sim.value == SMART_NUMBER
        assert number.nomor_sim.raw_value == printed
        assert number.nomor_sim.reason is FieldReason.NORMALIZED

    def test_the_number_is_read_again(self) -> None:
        boxes = numbered_sim(number="")
        boxes.append(Rereadable("1234-5678-9K1234", 0.6, 313, 160, 520, 186, again=SMART_NUMBER))

        assert values(read_sim(boxes))["nomor_sim"] == SMART_NUMBER

    def test_text_on_the_photo_is_no_row(self) -> None:
        boxes = [*numbered_sim(), box("SPESIMEN", 80, 300), box("mhm", 120, 560)]

        assert values(read_sim(boxes)) == NUMBERED

    def test_a_line_below_the_rows_is_no_row(self) -> None:
        assert values(read_sim([*numbered_sim(), box("Mhuh", 352, 520)])) == NUMBERED

    @pytest.mark.parametrize("gone", [{"PERAWAT"}, {"5.", "PERAWAT"}])
    def test_a_row_that_was_not_read(self, gone: set[str]) -> None:
        boxes = [b for b in numbered_sim() if b.text not in gone]

        found = values(read_sim(boxes))

        assert found == {name: text for name, text in NUMBERED.items() if name != "pekerjaan"}


class TestBilingual:
    """From July 2024."""

    def test_labels_without_their_english_half(self) -> None:
        labels = {
            "Nama/Name": "Nama",
            "Alamat/Address": "Alamat",
            "Jenis Kelamin/Sex": "Jenis Kelamin",
        }

        assert values(read_sim(bilingual_sim(labels=labels))) == BILINGUAL

    def test_misread_labels(self) -> None:
        labels = {
            "Nama/Name": "Narna/Narne",
            "Tempat, Tgl. Lahir/Place, Date of Birth": "Tempat Tgl LahirIPlace Date of B1rth",
            "Diterbitkan Oleh/Issued By": "Diterbitkan OlehIlssued By",
        }
        assert values(read_sim(bilingual_sim(labels=labels))) == BILINGUAL

    @pytest.mark.parametrize("label", ["Nama/Name", "Alamat/Address", "Gol. Darah/Blood Type"])
    def test_a_label_that_was_not_seen(self, label: str) -> None:
        assert values(read_sim(bilingual_sim(labels={label: ""}))) == BILINGUAL

    def test_address_on_two_lines(self) -> None:
        lines = ["PERUM GRIYA ASRI JL.", "KENANGA NO. 285"]

        found = values(read_sim(bilingual_sim({"Alamat/Address": lines})))

        assert found == BILINGUAL | {"alamat": " ".join(lines)}

    def test_the_number_obeys_the_rules_of_a_nik(self) -> None:
        reading = read_sim(bilingual_sim(number="3175032109510008"))

        assert {warning.code for warning in reading.warnings} == {
            WarningCode.NIK_BIRTH_DATE_MISMATCH,
            WarningCode.NIK_SEX_MISMATCH,
        }
        assert {warning.field for warning in reading.warnings} == {"nomor_sim"}


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["MENU", "NASI GORENG 25.000", "ES TEH 5.000"],
        ["1. BERAS", "2. GULA", "3. TEH", "4. KOPI", "5. SUSU", "6. ROTI"],
        ["SURAT IZIN MENGEMUDI", "adalah bukti"],
        ["Nama", "Alamat", "Pekerjaan"],
    ],
)
def test_other_text_is_no_licence(texts: list[str]) -> None:
    boxes = [box(text, 30, 40 * index) for index, text in enumerate(texts)]

    assert read_sim(boxes).document_type is DocumentType.UNKNOWN
