"""The rules of a driving licence (SIM): what of it makes a registration."""

import re
from dataclasses import replace
from types import MappingProxyType

from ocr_svc.domain.reading import SIM, CardWarning, Reading

SEXES = MappingProxyType({"PRIA": "LAKI-LAKI", "WANITA": "PEREMPUAN"})
"""The sex as a KTP says it, by how a SIM says it."""
_POSSIBLE_NIK = re.compile(
    r"[1-9][0-9]{5}"  # Region.
    r"(0[1-9]|[12][0-9]|3[01]|4[1-9]|[56][0-9]|7[01])"  # Day, 40 more for women.
    r"(0[1-9]|1[0-2])"  # Month.
    r"[0-9]{6}"
)
"""Tells a NIK from another number of 16 digits; the engine knows more."""


def registrable(reading: Reading) -> Reading:
    """Returns the reading with what a registration needs, in the words of a KTP.

    A SIM says the sex in other words. Its number is the NIK on the newest cards: then it is the NIK
    as read, and what is doubtful about it is doubtful about the NIK. On others the patient types
    it.
    """
    if reading.document_type != SIM:
        return reading
    fields = dict(reading.fields)
    if "jenis_kelamin" in fields:
        sex = fields["jenis_kelamin"]
        fields["jenis_kelamin"] = replace(sex, value=SEXES.get(sex.value, sex.value))
    if _POSSIBLE_NIK.fullmatch(reading.value("nomor_sim")):
        fields["nik"] = fields["nomor_sim"]
        warnings = tuple(
            replace(one, field="nik") if one.field == "nomor_sim" else one
            for one in reading.warnings
        )
    else:
        missing = CardWarning(
            "FIELD_MISSING",
            "nik",
            "NIK tidak tercetak pada SIM ini; mohon diketik.",
            "This driving licence does not show the NIK; please type it.",
        )
        warnings = (*reading.warnings, missing)
    return replace(reading, fields=fields, warnings=warnings)
