"""Printed variants, lost lines and other traps of identity cards."""

import pytest

from ocr_engine.parsing import DocumentType, TextBox, read_ktp
from tests.ocr_engine.layout import NIK, Rereadable, box, card
from tests.ocr_engine.parsing.cards import EXPECTED, fields, values


def test_every_field_knows_its_place() -> None:
    found = fields(card())

    for _, field in found.found():
        (left, top), (right, _), (_, bottom), _ = field.polygon
        assert left < right
        assert top < bottom
    assert found.nama is not None
    assert found.nama.polygon[0][1] == 173.0


def test_a_value_on_two_lines_has_one_place() -> None:
    nama = fields(card({"Nama": ["SITI MARIA", "HANDAYANI"]})).nama

    assert nama is not None
    assert (nama.polygon[0][1], nama.polygon[2][1]) == (173.0, 173.0 + 31 + 26)


@pytest.mark.parametrize("name", ["SUPARMI", "I MADE SUDARMA", "NI LUH AYU", "RAMA DRAJAT"])
@pytest.mark.parametrize("label", ["Nama", ""])
def test_names_that_were_once_misread(name: str, label: str) -> None:
    """One word only; the beginning NI is nearly the label NIK, and RAMA nearly NAMA."""
    boxes = card({"Nama": name}, labels={"Nama": label}, colons=False)

    assert values(read_ktp(boxes)) == EXPECTED | {"nama": name}


def test_name_of_sixty_characters() -> None:
    lines = ["MUHAMMAD ABDURRAHMAN WAHIDIN", "KUSUMANINGRAT SASTROWARDOYO, SE"]
    assert len(" ".join(lines)) == 60

    assert values(read_ktp(card({"Nama": lines}))) == EXPECTED | {"nama": " ".join(lines)}


@pytest.mark.parametrize("title", [", S.PD", ", SE", "S.KOM", ", A.MD"])
def test_a_title_on_a_line_of_its_own_belongs_to_the_name(title: str) -> None:
    found = values(read_ktp(card({"Nama": ["AYU SETIAWAN", title]})))

    assert found == EXPECTED | {"nama": f"AYU SETIAWAN {title}"}


@pytest.mark.parametrize(
    ("slipped", "name"), [("S.PD", "AYU SETIAWAN S.PD"), (", SE,", "AYU SETIAWAN , SE,")]
)
def test_a_title_that_slipped_before_the_birthplace(slipped: str, name: str) -> None:
    found = values(read_ktp(card({"Tempat/Tgl Lahir": f"{slipped} JAKARTA, 20-09-1950"})))

    assert found == EXPECTED | {"nama": name.rstrip(",")}


@pytest.mark.parametrize("place", ["M. ENIM", "SERANG", "S. PENUH", "SE"])
def test_birthplaces_that_resemble_a_title(place: str) -> None:
    found = values(read_ktp(card({"Tempat/Tgl Lahir": f"{place}, 20-09-1950"})))

    assert found == EXPECTED | {"tempat_lahir": place}


@pytest.mark.parametrize(
    "changes",
    [
        {"NIK": "3175036009500001"},
        {"NIK": "3175034101000009", "Tempat/Tgl Lahir": "JAKARTA, 01-01-2000"},
    ],
)
def test_serials_and_years_that_were_once_misread(changes: dict[str, str]) -> None:
    reading = read_ktp(card(changes))

    assert values(reading)["nik"] == changes["NIK"]
    assert values(reading)["tanggal_lahir"] == changes.get("Tempat/Tgl Lahir", "20-09-1950")[-10:]
    assert reading.warnings == ()


@pytest.mark.parametrize(
    ("label", "printed", "name", "value"),
    [
        ("RT/RW", "003 / 004", "rt_rw", "003/004"),
        ("RT/RW", "0031004", "rt_rw", "003/004"),
        ("RT/RW", "003/-", "rt_rw", "003/-"),
        ("Tempat/Tgl Lahir", "JAKARTA, 20-09- 1950", "tanggal_lahir", "20-09-1950"),
        ("Tempat/Tgl Lahir", "JAKARTA, 2010911950", "tanggal_lahir", "20-09-1950"),
        ("Agama", "KATHOLIK", "agama", "KATOLIK"),
        ("Agama", "BUDDHA", "agama", "BUDHA"),
        ("Agama", "KHONGHUCU", "agama", "KONGHUCU"),
        ("Berlaku Hingga", "22-02- 2017", "berlaku_hingga", "22-02-2017"),
    ],
)
def test_printed_variants(label: str, printed: str, name: str, value: str) -> None:
    reading = read_ktp(card({label: printed}))

    assert values(reading)[name] == value
    assert reading.warnings == ()


@pytest.mark.parametrize(
    "lines",
    [
        ["KEPERCAYAAN TERHADAP TUHAN YME"],
        ["KEPERCAYAAN TERHADAP", "TUHAN YME"],
        ["KEPERCAYAAN TERHADAP TUHAN", "YME"],
    ],
)
def test_the_longest_religion(lines: list[str]) -> None:
    found = values(read_ktp(card({"Agama": lines})))

    assert found == EXPECTED | {"agama": "KEPERCAYAAN TERHADAP TUHAN YME"}


def test_card_of_a_foreigner() -> None:
    reading = read_ktp(card({"Kewarganegaraan": "AUSTRALIA", "Berlaku Hingga": "01-02-2028"}))

    changed = {"kewarganegaraan": "AUSTRALIA", "berlaku_hingga": "01-02-2028"}
    assert values(reading) == EXPECTED | changed
    assert reading.warnings == ()


def test_the_number_is_read_again_with_digits_only() -> None:
    nik = Rereadable("317503K009500008", 0.5, 278, 113, 500, 139, again=NIK)
    found = fields([*card({"NIK": ""}), nik])

    assert found.nik is not None
    assert (found.nik.value, found.nik.raw_value) == (NIK, "317503K009500008")


def test_blood_type_and_pair_are_read_again() -> None:
    blood = Rereadable("D", 0.5, 670, 235, 683, 261, again="O")
    pair = Rereadable("O1X/O1T", 0.5, 278, 297, 370, 323, again="016/017")
    found = values(read_ktp([*card({"RT/RW": ""}, blood="Gol. Darah :"), blood, pair]))

    assert (found["golongan_darah"], found["rt_rw"]) == ("O", "016/017")


@pytest.mark.parametrize("text", ["O", "AB", "-"])
def test_blood_type_whose_label_was_not_seen(text: str) -> None:
    boxes = [*card(blood=None), box(text, 670, 235)]

    found = values(read_ktp(boxes))

    assert (found["jenis_kelamin"], found["golongan_darah"]) == ("PEREMPUAN", text)


def test_blood_type_a_little_below_the_line_of_the_sex() -> None:
    boxes = [*card(blood=None), box("Gol. Darah : B", 520, 252)]

    assert values(read_ktp(boxes)) == EXPECTED | {"golongan_darah": "B"}


def test_a_line_that_was_lost_shifts_nothing() -> None:
    """Neither label nor value of the village was found, nor the labels around it."""
    gone = {"Kel/Desa", "Kecamatan", "RT/RW"}
    boxes = [b for b in card(colons=False) if b.text not in {*gone, "CIPINANG MUARA"}]

    found = values(read_ktp(boxes))

    assert found == {name: text for name, text in EXPECTED.items() if name != "kel_desa"}


def test_the_last_label_was_not_seen() -> None:
    assert values(read_ktp(card(labels={"Berlaku Hingga": ""}))) == EXPECTED


def test_the_first_labels_were_not_seen() -> None:
    boxes = [b for b in card(labels={"NIK": "", "Nama": ""}, colons=False) if b.text != NIK]

    found = values(read_ktp(boxes))

    assert found == {name: text for name, text in EXPECTED.items() if name != "nik"}


def test_two_labels_and_one_of_two_lines() -> None:
    """The longer line is the one that goes on."""
    address = ["PERUM GRIYA ASRI JL. KENANGA", "BLOK B2 NO. 7"]
    boxes = card({"Alamat": address}, labels={"Alamat": ""}, colons=False)

    assert values(read_ktp(boxes)) == EXPECTED | {"alamat": " ".join(address)}


@pytest.mark.parametrize("glued", ["Xqxmx ISLAM", "Xqxmx: ISLAM", "Xqxmx :ISLAM"])
def test_a_label_glued_to_its_value_and_unreadable(glued: str) -> None:
    boxes = [b for b in card(colons=False) if b.text not in ("Agama", "ISLAM")]
    boxes.append(TextBox(glued, 0.9, 30, 390, 343, 416))

    assert values(read_ktp(boxes)) == EXPECTED


def test_an_unreadable_label_without_a_value_is_no_value() -> None:
    boxes = [b for b in card(colons=False) if b.text not in ("Agama", "ISLAM")]
    boxes.append(TextBox("Xqxmx", 0.9, 30, 390, 95, 416))

    found = values(read_ktp(boxes))

    assert found == {name: text for name, text in EXPECTED.items() if name != "agama"}


@pytest.mark.parametrize(
    "header",
    [
        ("PROVINSIDKIJAKARTA", "JAKARTATIMUR"),
        ("PROV1NSI DKI JAKARTA", "JAKARTA TIMUR"),
        ("DKI JAKARTA", "JAKARTA TIMUR"),
    ],
)
def test_the_header(header: tuple[str, str]) -> None:
    assert values(read_ktp(card(header=header))) == EXPECTED


def test_a_header_that_names_no_province() -> None:
    found = values(read_ktp(card(header=("KARTU TANDA", "PENDUDUK"))))

    assert "provinsi" not in found
    assert "kota" not in found


def test_unsure_regions_become_the_known_ones() -> None:
    changes = {"Kecamatan": "JATlNEGARA"}
    header = ("PROVINSI DKI JAKABTA", "JAKARTA TIMUP")
    reading = read_ktp(card(changes, header=header, confidence=0.7))

    assert values(reading) == EXPECTED
    assert reading.fields.found()
    assert fields(card(changes, header=header, confidence=0.7)).kota is not None


def test_clear_regions_stay_as_they_are_printed() -> None:
    changes = {"Kecamatan": "JATINEGARO"}
    found = values(read_ktp(card(changes, header=("PROVINSI DKI JAKARTO", "JAKARTA TIMURO"))))

    assert found["provinsi"] == "DKI JAKARTO"
    assert (found["kota"], found["kecamatan"]) == ("JAKARTA TIMURO", "JATINEGARO")


def test_a_place_of_issue_on_two_lines() -> None:
    boxes = [b for b in card() if b.text != "KOTA BEKASI"]
    boxes += [box("KABUPATEN", 770, 395), box("LUWU TIMUR", 770, 424)]

    assert values(read_ktp(boxes))["tempat_terbit"] == "KABUPATEN LUWU TIMUR"


def test_no_date_of_issue() -> None:
    found = values(read_ktp([b for b in card() if b.text != "12-03-2017"]))

    assert "tanggal_terbit" not in found


def test_a_place_above_a_date_that_cannot_be() -> None:
    boxes = [b for b in card() if b.text != "12-03-2017"]

    found = values(read_ktp([*boxes, box("12-33-2017", 770, 453)]))

    assert (found["tempat_terbit"], found["tanggal_terbit"]) == ("KOTA BEKASI", "12-33-2017")


def test_a_hint_makes_up_for_lost_labels() -> None:
    boxes = [box("Nama", 30, 173), box("AYU", 278, 173), box("Alamat", 30, 266)]
    boxes += [box("RT/RW", 55, 297), box("Agama", 30, 390)]

    assert read_ktp(boxes).document_type is DocumentType.UNKNOWN
    assert values(read_ktp(boxes, hinted=True))["nama"] == "AYU"
