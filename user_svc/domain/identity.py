"""What identifies a person: names, NIKs and e-mail addresses, and how they are compared."""

import datetime
import unicodedata

from rapidfuzz import fuzz

from mesh.errors import invalid

MIN_NAME_SCORE = 80.0
"""Lowest similarity, 0 to 100, of two readings of one person's name: of ten letters one may differ
and one be missing. Two persons of one family stay below it unless their names are nearly alike."""
FIRST_PROVINCE = 11
"""Aceh. Province codes are two digits and none is below it."""
WOMAN_DAYS = 40
"""What a woman's day of birth is raised by in the NIK."""


def tidy(text: str) -> str:
    """Returns the text with single blanks, in Unicode's composed form."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def fold_name(name: str) -> str:
    """Returns the form in which names are compared: case and repeated blanks do not matter."""
    return tidy(unicodedata.normalize("NFKC", name)).casefold()


def fold_email(email: str) -> str:
    """Returns the form in which e-mail addresses are compared."""
    return email.strip().lower()


def same_person(name: str, other: str) -> bool:
    """Returns whether two readings of a name may be of one person."""
    return fuzz.ratio(fold_name(name), fold_name(other)) >= MIN_NAME_SCORE


def mask_nik(nik: str) -> str:
    """Returns the NIK with all but its first four and last four digits hidden."""
    return f"{nik[:4]}{'*' * (len(nik) - 8)}{nik[-4:]}" if nik else ""


def is_nik(nik: str, today: datetime.date) -> bool:
    """Returns whether a NIK can exist: a province, a date of birth until today, a serial number.

    It has 16 digits; 7 to 12 are the date of birth as DDMMYY; women's days are raised by 40.
    """
    if len(nik) != 16 or not nik.isascii() or not nik.isdigit():
        return False
    if int(nik[:2]) < FIRST_PROVINCE or nik.endswith("0000"):
        return False
    day, month, year = int(nik[6:8]), int(nik[8:10]), int(nik[10:12])
    if day > WOMAN_DAYS:
        day -= WOMAN_DAYS
    for century in (1900, 2000):
        try:
            if datetime.date(century + year, month, day) <= today:
                return True
        except ValueError:
            continue
    return False


def required_name(nama: str, path: str) -> str:
    """Returns a name in tidy form.

    Raises:
        MeshError: INVALID_ARGUMENT with reason NAME_INVALID for the field `path`.
    """
    found = tidy(nama)
    if not found:
        raise invalid(path, "a name has at least one letter", "NAME_INVALID")
    return found
