"""The national identity number, and what it says about its holder."""

from dataclasses import dataclass

NIK_LENGTH = 16
FEMALE_DAY_OFFSET = 40
"""What a NIK adds to the day of birth of a woman."""


@dataclass(frozen=True)
class Nik:
    """Holds the parts of a number: PPKKCC DDMMYY SSSS."""

    region_code: str
    day: int
    month: int
    short_year: int
    female: bool
    serial: int


def parse_nik(text: str) -> Nik | None:
    """Takes a number apart; None unless it has 16 digits and a possible birth date."""
    if len(text) != NIK_LENGTH or not (text.isascii() and text.isdecimal()):
        return None
    coded_day = int(text[6:8])
    female = coded_day > FEMALE_DAY_OFFSET
    nik = Nik(
        region_code=text[:6],
        day=coded_day - FEMALE_DAY_OFFSET if female else coded_day,
        month=int(text[8:10]),
        short_year=int(text[10:12]),
        female=female,
        serial=int(text[12:]),
    )
    return nik if _is_possible(nik) else None


def _is_possible(nik: Nik) -> bool:
    """Accepts 29 February in each year divisible by four: the century is not known."""
    longest = {2: 29 if nik.short_year % 4 == 0 else 28, 4: 30, 6: 30, 9: 30, 11: 30}
    in_calendar = 1 <= nik.month <= 12 and 1 <= nik.day <= longest.get(nik.month, 31)
    return in_calendar and nik.serial > 0 and nik.region_code[:2] >= "11"
