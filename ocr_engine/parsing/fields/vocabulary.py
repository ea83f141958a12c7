"""The values that a card may show, and the nearest one to what was read."""

from collections.abc import Sequence
from functools import cache
from importlib import resources

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from ocr_engine.parsing.fields.text import squeeze

SEXES = ("LAKI-LAKI", "PEREMPUAN")
SIM_SEXES = ("PRIA", "WANITA")
FEMALE = frozenset({"PEREMPUAN", "WANITA"})
SIM_CLASSES = (
    "A", "A UMUM", "BI", "BI UMUM", "BII", "BII UMUM", "C", "CI", "CII", "D", "DI",
)  # fmt: skip
BLOOD_TYPES = ("A", "B", "AB", "O", "A+", "A-", "B+", "B-", "AB+", "AB-", "O+", "O-", "-")
RELIGIONS = (
    "ISLAM", "KRISTEN", "KATOLIK", "HINDU", "BUDHA", "KONGHUCU", "KEPERCAYAAN TERHADAP TUHAN YME",
)  # fmt: skip
RELIGION_SPELLINGS = {
    "KATHOLIK": "KATOLIK", "KHATOLIK": "KATOLIK", "BUDDHA": "BUDHA", "KHONGHUCU": "KONGHUCU",
    "KONG HU CU": "KONGHUCU", "KEPERCAYAAN": "KEPERCAYAAN TERHADAP TUHAN YME",
    "KEPERCAYAAN TERHADAP": "KEPERCAYAAN TERHADAP TUHAN YME",
}  # fmt: skip
MARITAL_STATUSES = ("BELUM KAWIN", "KAWIN", "CERAI HIDUP", "CERAI MATI")
CITIZEN = "WNI"
FOR_LIFE = "SEUMUR HIDUP"
PROVINCES = (
    "ACEH", "SUMATERA UTARA", "SUMATERA BARAT", "RIAU", "JAMBI", "SUMATERA SELATAN", "BENGKULU",
    "LAMPUNG", "KEPULAUAN BANGKA BELITUNG", "KEPULAUAN RIAU", "DKI JAKARTA", "JAWA BARAT",
    "JAWA TENGAH", "DI YOGYAKARTA", "DAERAH ISTIMEWA YOGYAKARTA", "JAWA TIMUR", "BANTEN", "BALI",
    "NUSA TENGGARA BARAT", "NUSA TENGGARA TIMUR", "KALIMANTAN BARAT", "KALIMANTAN TENGAH",
    "KALIMANTAN SELATAN", "KALIMANTAN TIMUR", "KALIMANTAN UTARA", "SULAWESI UTARA",
    "SULAWESI TENGAH", "SULAWESI SELATAN", "SULAWESI TENGGARA", "GORONTALO", "SULAWESI BARAT",
    "MALUKU", "MALUKU UTARA", "PAPUA", "PAPUA BARAT", "PAPUA BARAT DAYA", "PAPUA TENGAH",
    "PAPUA PEGUNUNGAN", "PAPUA SELATAN", "NANGGROE ACEH DARUSSALAM",
)  # fmt: skip

CLOSED_LIST_CUTOFF = 0.7
"""Similarity below which a value of a closed list counts as unreadable."""
SOFT_LIST_CUTOFF = 0.88
"""Similarity below which an occupation or province stays as it was read."""


@cache
def occupations() -> tuple[str, ...]:
    """Gives the 99 official occupations."""
    text = resources.files("ocr_engine").joinpath("data", "pekerjaan.txt").read_text("utf-8")
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def nearest(text: str, entries: Sequence[str], cutoff: float) -> tuple[str, float] | None:
    """Finds the entry that is most like the text, with its likeness from 0 to 1."""
    found = _candidates(text, entries, cutoff)
    return found[0] if found else None


def only_nearest(text: str, entries: Sequence[str], cutoff: float) -> tuple[str, float] | None:
    """Finds what `nearest` finds, but None when two entries are equally like the text."""
    found = _candidates(text, entries, cutoff)
    tied = len(found) > 1 and found[0][1] == found[1][1]
    return found[0] if found and not tied else None


def _candidates(text: str, entries: Sequence[str], cutoff: float) -> list[tuple[str, float]]:
    """Finds the two entries that are most like the text, the better one first."""
    best = process.extract(
        text,
        entries,
        processor=squeeze,
        scorer=Levenshtein.normalized_similarity,
        score_cutoff=cutoff,
        limit=2,
    )
    return [(entry, likeness) for entry, likeness, _ in best]
