"""Reading single values."""

import pytest

from ocr_engine.parsing import Field, FieldReason
from ocr_engine.parsing.fields import values, vocabulary


def shown(field: Field | None) -> tuple[str, FieldReason] | None:
    return (field.value, field.reason) if field else None


@pytest.mark.parametrize(
    ("raw", "value", "reason"),
    [
        ("3175036009500008", "3175036009500008", FieldReason.AS_READ),
        ("3175 0360 0950 0008", "3175036009500008", FieldReason.AS_READ),
        ("317503B009S0000I", "3175038009500001", FieldReason.NORMALIZED),
        ("317503600950000", "317503600950000", FieldReason.UNPARSED),
        ("31750360095000081", "31750360095000081", FieldReason.UNPARSED),
        ("RUSAK", "RUSAK", FieldReason.UNPARSED),
    ],
)
def test_nik(raw: str, value: str, reason: FieldReason) -> None:
    assert shown(values.read_nik(raw, 0.9)) == (value, reason)


@pytest.mark.parametrize("stroke", ["I", "|", "!", "l"])
def test_a_stroke_before_a_number_was_a_colon(stroke: str) -> None:
    field = values.read_nik(f"{stroke}3175036009500008", 0.9)

    assert shown(field) == ("3175036009500008", FieldReason.NORMALIZED)


def test_a_digit_too_many_is_not_guessed_away() -> None:
    field = values.read_nik("13175036009500008", 0.9)

    assert shown(field) == ("13175036009500008", FieldReason.UNPARSED)


@pytest.mark.parametrize(
    ("raw", "value", "reason"),
    [
        ("20-09-1950", "20-09-1950", FieldReason.AS_READ),
        ("2O-09-195O", "20-09-1950", FieldReason.NORMALIZED),
        ("22-02- 2017", "22-02-2017", FieldReason.NORMALIZED),
        ("01/01/2000", "01-01-2000", FieldReason.NORMALIZED),
        ("0110112000", "01-01-2000", FieldReason.NORMALIZED),
        ("11112000", "11-11-2000", FieldReason.NORMALIZED),
        ("31-02-1990", "31-02-1990", FieldReason.UNPARSED),
        ("1990", "1990", FieldReason.UNPARSED),
    ],
)
def test_date(raw: str, value: str, reason: FieldReason) -> None:
    field = values.read_date(raw, 0.9)

    assert shown(field) == (value, reason)
    assert field is not None
    assert (field.confidence <= values.UNPARSED_CONFIDENCE) == (reason is FieldReason.UNPARSED)


@pytest.mark.parametrize(
    ("raw", "dashed", "value", "reason"),
    [
        ("500912345678", False, "500912345678", FieldReason.AS_READ),
        ("50091234567890", False, "50091234567890", FieldReason.AS_READ),
        ("5009 1234 5678", False, "500912345678", FieldReason.NORMALIZED),
        ("1234-5678-901234", False, "1234-5678-901234", FieldReason.AS_READ),
        ("1234-5678-901234", True, "1234-5678-901234", FieldReason.AS_READ),
        ("1234-5678901234", False, "1234-5678-901234", FieldReason.NORMALIZED),
        ("12345678901234", True, "1234-5678-901234", FieldReason.NORMALIZED),
        ("I234-5678-9O1234", True, "1234-5678-901234", FieldReason.NORMALIZED),
        ("12345", True, "12345", FieldReason.UNPARSED),
        ("1234567890123", False, "1234567890123", FieldReason.UNPARSED),
    ],
)
def test_licence_number(raw: str, dashed: bool, value: str, reason: FieldReason) -> None:
    assert shown(values.read_sim_number(raw, 0.9, dashed=dashed)) == (value, reason)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("A", "A"),
        ("a", "A"),
        ("B1", "BI"),
        ("8I", "BI"),
        ("Bll", "BII"),
        ("BII UMUM", "BII UMUM"),
        ("B1UMUM", "BI UMUM"),
        ("BI UMUN", "BI UMUM"),
        ("A UMUM", "A UMUM"),
        ("C", "C"),
        ("C1", "CI"),
        ("CL1", "CII"),
        ("D|", "DI"),
        ("E", None),
        ("UMUM", None),
        ("INDONESIA", None),
        ("", None),
    ],
)
def test_licence_class(raw: str, value: str | None) -> None:
    field = values.read_sim_class(raw, 0.9)

    assert (field.value if field else None) == value


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("O - PRIA", 4),
        ("O-WANITA", 2),
        ("ABPRIA", 2),
        ("- - PR1A", 4),
        ("PRIA", 0),
        ("ABRIL", None),
    ],
)
def test_where_the_sex_begins(text: str, start: int | None) -> None:
    assert values.find_sex(text) == start


@pytest.mark.parametrize(
    ("raw", "value", "reason"),
    [
        ("003/004", "003/004", FieldReason.AS_READ),
        ("003 / 004", "003/004", FieldReason.AS_READ),
        ("0031004", "003/004", FieldReason.NORMALIZED),
        ("OO3/OO4", "003/004", FieldReason.NORMALIZED),
        ("003I004", "003/004", FieldReason.NORMALIZED),
        ("003004", "003/004", FieldReason.NORMALIZED),
        ("3/4", "003/004", FieldReason.NORMALIZED),
        ("003/-", "003/-", FieldReason.AS_READ),
        ("003 / -", "003/-", FieldReason.AS_READ),
        ("0031-", "003/-", FieldReason.NORMALIZED),
        ("-/-", "-/-", FieldReason.AS_READ),
        ("01X/017", "01X/017", FieldReason.UNPARSED),
        ("X16/017", "X16/017", FieldReason.UNPARSED),
        ("UTARA", "UTARA", FieldReason.UNPARSED),
    ],
)
def test_rt_rw(raw: str, value: str, reason: FieldReason) -> None:
    assert shown(values.read_rt_rw(raw, 0.9)) == (value, reason)


def test_a_pair_that_lost_a_digit_is_hardly_trusted() -> None:
    field = values.read_rt_rw("01/017", 0.9)

    assert field is not None
    assert field.confidence <= values.UNPARSED_CONFIDENCE


@pytest.mark.parametrize(
    ("raw", "value", "reason"),
    [
        ("LAKI-LAKI", "LAKI-LAKI", FieldReason.AS_READ),
        ("LAKI LAKI", "LAKI-LAKI", FieldReason.MATCHED),
        ("LAK1-LAKI", "LAKI-LAKI", FieldReason.MATCHED),
        ("PEREMPUAM", "PEREMPUAN", FieldReason.MATCHED),
        ("TIDAK JELAS", "TIDAK JELAS", FieldReason.UNPARSED),
    ],
)
def test_sex(raw: str, value: str, reason: FieldReason) -> None:
    assert shown(values.read_closed(raw, 0.9, vocabulary.SEXES)) == (value, reason)


def test_a_match_is_less_sure_than_the_text() -> None:
    field = values.read_closed("KAWlM", 0.9, vocabulary.MARITAL_STATUSES)

    assert field is not None
    assert field.confidence < 0.9
    assert field.raw_value == "KAWlM"


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("KATHOLIK", "KATOLIK"),
        ("BUDDHA", "BUDHA"),
        ("KHONGHUCU", "KONGHUCU"),
        ("lSLAM", "ISLAM"),
        ("KEPERCAYAAN TERHADAP", "KEPERCAYAAN TERHADAP TUHAN YME"),
    ],
)
def test_religion_in_its_official_spelling(raw: str, value: str) -> None:
    field = values.read_religion(raw, 0.9)

    assert shown(field) == (value, FieldReason.MATCHED)
    assert field is not None
    assert field.raw_value == raw


@pytest.mark.parametrize(
    ("raw", "value", "reason"),
    [
        ("PETANI/PEKEBUN", "PETANI/PEKEBUN", FieldReason.AS_READ),
        ("PETANIPEKEBUN", "PETANI/PEKEBUN", FieldReason.MATCHED),
        ("KARYAVAN SWASTA", "KARYAWAN SWASTA", FieldReason.MATCHED),
        ("PENJAGA KAPAL", "PENJAGA KAPAL", FieldReason.AS_READ),
    ],
)
def test_occupation_softly(raw: str, value: str, reason: FieldReason) -> None:
    assert shown(values.read_soft(raw, 0.8, vocabulary.occupations())) == (value, reason)


def test_clear_text_that_is_merely_unusual_stays() -> None:
    field = values.read_soft("KARYAVAN SWASTA", 0.9, vocabulary.occupations())

    assert shown(field) == ("KARYAVAN SWASTA", FieldReason.AS_READ)


def test_clear_text_gets_its_blanks_and_signs_back() -> None:
    field = values.read_soft("PETANIPEKEBUN", 0.99, vocabulary.occupations())

    assert shown(field) == ("PETANI/PEKEBUN", FieldReason.MATCHED)


def test_two_entries_that_are_equally_near_decide_nothing() -> None:
    field = values.match_softly("JAKARTA XXMUR", 0.5, ("JAKARTA XAMUR", "JAKARTA XIMUR"), 0.8)

    assert shown(field) == ("JAKARTA XXMUR", FieldReason.AS_READ)


@pytest.mark.parametrize(
    "read",
    [
        lambda raw, confidence: values.read_closed(raw, confidence, vocabulary.SEXES),
        lambda raw, confidence: values.read_soft(raw, confidence, ("LAKI-LAKI",)),
    ],
)
def test_an_entry_of_a_list_is_trusted_more_than_its_box(read: values.Read) -> None:
    field = read("LAKI-LAKI", 0.8)

    assert field is not None
    assert 0.8 < field.confidence < 1.0


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("WNI", "WNI"),
        ("WNl", "WNI"),
        ("WN1", "WNI"),
        ("WM", "WNI"),
        ("WNA", "WNA"),
        ("MALAYSIA", "MALAYSIA"),
    ],
)
def test_citizenship(raw: str, value: str) -> None:
    field = values.read_citizenship(raw, 0.9)

    assert field is not None
    assert field.value == value


@pytest.mark.parametrize(
    ("raw", "value", "reason"),
    [
        ("A", "A", FieldReason.AS_READ),
        ("AB", "AB", FieldReason.AS_READ),
        ("O+", "O+", FieldReason.AS_READ),
        ("0", "O", FieldReason.NORMALIZED),
        ("8", "B", FieldReason.NORMALIZED),
        ("-O", "O", FieldReason.NORMALIZED),
        ("ahAB", "AB", FieldReason.NORMALIZED),
        ("-", "-", FieldReason.AS_READ),
        ("--", "-", FieldReason.NORMALIZED),
        ("X", "X", FieldReason.UNPARSED),
    ],
)
def test_blood_type(raw: str, value: str, reason: FieldReason) -> None:
    assert shown(values.read_blood_type(raw, 0.9)) == (value, reason)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("SEUMUR HIDUP", "SEUMUR HIDUP"),
        ("SEUMURHIDUP", "SEUMUR HIDUP"),
        ("12-03-2017", "12-03-2017"),
    ],
)
def test_validity(raw: str, value: str) -> None:
    field = values.read_validity(raw, 0.9)

    assert field is not None
    assert field.value == value


@pytest.mark.parametrize(
    "read",
    [
        values.read_free,
        values.read_nik,
        values.read_date,
        values.read_rt_rw,
        values.read_religion,
        values.read_blood_type,
        values.read_citizenship,
        values.read_validity,
        values.read_sim_number,
        values.read_sim_class,
        lambda raw, confidence: values.read_soft(raw, confidence, vocabulary.occupations()),
        lambda raw, confidence: values.read_closed(raw, confidence, vocabulary.SEXES),
    ],
)
@pytest.mark.parametrize("raw", ["", "  ", ":", " : "])
def test_nothing_reads_as_nothing(read: values.Read, raw: str) -> None:
    assert read(raw, 0.9) is None


def test_the_official_occupations_are_complete() -> None:
    assert len(vocabulary.occupations()) == len(set(vocabulary.occupations())) == 99


def test_what_was_read_into_the_line_beside_a_closed_value_is_left_out() -> None:
    field = values.read_closed("LAKI-LAKI GEL. D", 0.6, vocabulary.SEXES)

    assert field is not None
    assert (field.value, field.reason) == ("LAKI-LAKI", FieldReason.MATCHED)
    assert field.confidence < 0.6
