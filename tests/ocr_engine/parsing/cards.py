"""The lines of a card, and what is read from them."""

from ocr_engine.parsing import CardReading, KtpFields, TextBox, read_ktp
from tests.ocr_engine.layout import NIK

EXPECTED = {
    "nik": NIK,
    "nama": "AYU SETIAWAN",
    "tempat_lahir": "JAKARTA",
    "tanggal_lahir": "20-09-1950",
    "jenis_kelamin": "PEREMPUAN",
    "golongan_darah": "O",
    "alamat": "JL. MELATI NO. 46",
    "rt_rw": "016/017",
    "kel_desa": "CIPINANG MUARA",
    "kecamatan": "JATINEGARA",
    "agama": "ISLAM",
    "status_perkawinan": "CERAI HIDUP",
    "pekerjaan": "PERAWAT",
    "kewarganegaraan": "WNI",
    "berlaku_hingga": "SEUMUR HIDUP",
    "provinsi": "DKI JAKARTA",
    "kota": "JAKARTA TIMUR",
    "tempat_terbit": "KOTA BEKASI",
    "tanggal_terbit": "12-03-2017",
}


def fields(boxes: list[TextBox]) -> KtpFields:
    found = read_ktp(boxes).fields
    assert isinstance(found, KtpFields)
    return found


def values(reading: CardReading) -> dict[str, str]:
    return {name: field.value for name, field in reading.fields.found()}
