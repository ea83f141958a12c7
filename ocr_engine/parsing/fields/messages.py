"""What is said to patients, in Indonesian and in English. No text carries a personal value."""

from collections.abc import Mapping
from types import MappingProxyType

from ocr_engine.parsing.fields.card import Advice

ADVICE_MESSAGES: Mapping[Advice, str] = MappingProxyType(
    {
        Advice.BLURRED: "Foto buram; pegang kamera dengan tenang dan fokuskan pada kartu.",
        Advice.TOO_DARK: "Foto terlalu gelap; cari tempat yang lebih terang.",
        Advice.GLARE: "Ada pantulan cahaya; miringkan kartu sedikit atau matikan lampu kilat.",
        Advice.TOO_SMALL: "Kartu terlalu kecil pada foto; dekatkan kamera.",
        Advice.CROPPED: "Sebagian kartu terpotong; pastikan keempat sudut terlihat.",
        Advice.PHOTOCOPY: "Ini tampak seperti fotokopi; foto kartu yang asli.",
        Advice.SCREEN: "Ini tampak seperti foto dari layar; foto kartu yang asli.",
        Advice.NO_CARD: "Kartu tidak ditemukan; foto seluruh kartu dari atas.",
    }
)
"""The advice as it is given to a patient, in Indonesian."""

ADVICE_MESSAGES_EN: Mapping[Advice, str] = MappingProxyType(
    {
        Advice.BLURRED: "The photo is blurred; hold the camera still and focus on the card.",
        Advice.TOO_DARK: "The photo is too dark; find a brighter place.",
        Advice.GLARE: "Light is reflected; tilt the card a little or turn the flash off.",
        Advice.TOO_SMALL: "The card is too small on the photo; move the camera closer.",
        Advice.CROPPED: "Part of the card is cut off; keep all four corners in the picture.",
        Advice.PHOTOCOPY: "This looks like a photocopy; photograph the card itself.",
        Advice.SCREEN: "This looks photographed from a screen; photograph the card itself.",
        Advice.NO_CARD: "No card was found; photograph the whole card from above.",
    }
)
"""The same in English."""

DISPLAY_NAMES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "nik": ("NIK", "NIK"),
        "nama": ("Nama", "Name"),
        "tempat_lahir": ("Tempat lahir", "Place of birth"),
        "tanggal_lahir": ("Tanggal lahir", "Date of birth"),
        "jenis_kelamin": ("Jenis kelamin", "Sex"),
        "golongan_darah": ("Golongan darah", "Blood type"),
        "alamat": ("Alamat", "Address"),
        "rt_rw": ("RT/RW", "RT/RW"),
        "kel_desa": ("Kelurahan/desa", "Village"),
        "kecamatan": ("Kecamatan", "District"),
        "agama": ("Agama", "Religion"),
        "status_perkawinan": ("Status perkawinan", "Marital status"),
        "pekerjaan": ("Pekerjaan", "Occupation"),
        "kewarganegaraan": ("Kewarganegaraan", "Citizenship"),
        "berlaku_hingga": ("Berlaku hingga", "Valid until"),
        "provinsi": ("Provinsi", "Province"),
        "kota": ("Kabupaten/kota", "Regency or city"),
        "tempat_terbit": ("Tempat terbit", "Place of issue"),
        "tanggal_terbit": ("Tanggal terbit", "Date of issue"),
        "nomor_sim": ("Nomor SIM", "Licence number"),
        "golongan": ("Golongan SIM", "Licence class"),
        "wilayah": ("Wilayah penerbit", "Issuing region"),
    }
)
"""The fields as they are named to a patient, in Indonesian and in English."""
