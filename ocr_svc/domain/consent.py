"""What a person agrees to before an account and a ticket are made, in every version asked for."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mesh.errors import failed_precondition, not_found


class Purpose(StrEnum):
    """Says what data are used for, by the name in the contract."""

    REGISTRATION = "CONSENT_PURPOSE_REGISTRATION"
    VISIT_RECORD = "CONSENT_PURPOSE_VISIT_RECORD"


@dataclass(frozen=True)
class Term:
    """Holds one purpose of a consent."""

    purpose: Purpose
    text: str
    """In Indonesian."""
    text_en: str
    required: bool
    """Whether nobody can register without it."""


@dataclass(frozen=True)
class Consent:
    """Holds one version of the text."""

    version: str
    """The day from which it is asked for, YYYY-MM-DD."""
    text: str
    """In Indonesian."""
    text_en: str
    terms: tuple[Term, ...]


CONSENTS = (
    Consent(
        version="2026-11-25",
        text=(
            "Persetujuan pemrosesan data pribadi\n\n"
            "Apa yang dibaca. Dari foto KTP atau SIM Anda kami membaca NIK, nama, tempat dan "
            "tanggal lahir, jenis kelamin, dan alamat. Fotonya tidak disimpan. Data lain yang "
            "terbaca dari kartu dihapus setelah Anda mengonfirmasi, atau setelah 30 menit.\n\n"
            "Untuk apa. Untuk membuat satu akun pasien atas nama Anda, memberi Anda nomor "
            "antrean di layanan yang Anda pilih, dan mencatat kunjungan Anda. Data Anda tidak "
            "dipakai untuk iklan dan tidak dijual.\n\n"
            "Siapa yang melihatnya. Petugas fasilitas kesehatan tempat Anda mendaftar; NIK hanya "
            "tampil sebagian, kecuali petugas membukanya dengan alasan yang dicatat. Layar "
            "antrean hanya menampilkan nomor. Siapa yang melihat data Anda dicatat.\n\n"
            "Berapa lama. Bila Anda pernah dilayani, data disimpan selama diwajibkan hukum: rekam "
            "medis elektronik paling singkat 25 tahun sejak kunjungan terakhir (Permenkes 24 Tahun "
            "2022). Bila Anda tidak pernah dilayani, data dihapus begitu Anda memintanya.\n\n"
            "Hak Anda (UU 27 Tahun 2022). Anda berhak melihat dan mendapat salinan data Anda, "
            "memperbaikinya, mengetahui siapa yang melihatnya, menarik persetujuan ini, dan "
            "meminta data Anda dihapus. Datanglah ke loket pendaftaran dengan KTP Anda, atau "
            "hubungi petugas pelindungan data fasilitas tempat Anda mendaftar.\n\n"
            "Tidak setuju? Anda tetap dapat mendaftar di loket tanpa aplikasi dan tanpa foto "
            "kartu, dan tetap dilayani."
        ),
        text_en=(
            "Consent to the processing of personal data\n\n"
            "What is read. From the photo of your KTP or SIM we read your NIK, name, place and "
            "date of birth, sex and address. The photo is not kept. What else was read from the "
            "card is erased once you confirm, or after 30 minutes.\n\n"
            "What for. To make one patient account for you, to give you a queue number for the "
            "service that you choose, and to keep a record of your visit. Your data are not used "
            "for advertising and not sold.\n\n"
            "Who sees it. The staff of the facility where you register; they see part of the NIK "
            "only, unless they open it for a reason that is recorded. The boards show numbers "
            "only. Who looked at your data is recorded.\n\n"
            "How long. If you were ever served, the data are kept for as long as the law "
            "requires: electronic medical records at least 25 years after the last visit "
            "(Minister of Health 24/2022). If you were never served, they are erased as soon as "
            "you ask.\n\n"
            "Your rights (Law 27/2022). You may see your data and get a copy, have them "
            "corrected, learn who looked at them, withdraw this consent, and have your data "
            "erased. Come to the registration counter with your KTP, or ask the data protection "
            "officer of the facility where you register.\n\n"
            "You do not agree? You can register at the counter without the app and without a "
            "photo of your card, and you will be served all the same."
        ),
        terms=(
            Term(
                Purpose.REGISTRATION,
                "Membaca kartu, membuat akun pasien, dan memberi nomor antrean.",
                "To read the card, make a patient account and give out a queue number.",
                required=True,
            ),
            Term(
                Purpose.VISIT_RECORD,
                "Menyimpan catatan kunjungan selama diwajibkan hukum.",
                "To keep the record of the visit for as long as the law requires.",
                required=True,
            ),
        ),
    ),
)
"""Every version that was ever asked for, oldest first. The last one is asked for now. What somebody
may have agreed to is never changed: a new text is a new version."""


def consent_of(version: str, consents: Sequence[Consent] = CONSENTS) -> Consent:
    """Returns a version of the text.

    Args:
        version: Which one. Empty: the one that is asked for now.
        consents: All versions, oldest first.

    Raises:
        MeshError: CONSENT_NOT_FOUND.
    """
    if not version:
        return consents[-1]
    for one in consents:
        if one.version == version:
            return one
    raise not_found("consent", version)


def require_agreed(
    version: str, purposes: Collection[Purpose], consents: Sequence[Consent] = CONSENTS
) -> None:
    """Refuses an agreement that is not enough to register.

    Args:
        version: The text that the person agreed to.
        purposes: What the person agreed to.
        consents: All versions, oldest first.

    Raises:
        MeshError: CONSENT_OUTDATED, which says the version of now, or CONSENT_PURPOSE_MISSING,
            which names the purpose.
    """
    current = consents[-1]
    if version != current.version:
        raise failed_precondition(
            f"the text has changed: show version {current.version} and ask again",
            "CONSENT_OUTDATED",
            current_version=current.version,
        )
    for term in current.terms:
        if term.required and term.purpose not in purposes:
            raise failed_precondition(
                f"nobody can register without {term.purpose}",
                "CONSENT_PURPOSE_MISSING",
                purpose=term.purpose,
            )
