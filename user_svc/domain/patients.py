"""Patients: what may be corrected of what is known of them."""

import datetime
from collections.abc import Mapping

from mesh.errors import MeshError, StatusCode, failed_precondition, invalid
from user_svc.domain.accounts import Account
from user_svc.domain.identity import fold_name, is_nik, required_name, tidy

CORRECTABLE = ("nik", "nama", "tempat_lahir", "tanggal_lahir", "jenis_kelamin", "alamat")
"""What a card says, and staff may correct."""
EARLIEST_BIRTH = datetime.date(1900, 1, 1)
"""The two digits of the year in a NIK mean this century or the next one."""


def nothing_to_correct() -> MeshError:
    """Returns the error for a correction without any field."""
    return MeshError(
        "at least one field is corrected", StatusCode.INVALID_ARGUMENT, "NOTHING_TO_CORRECT"
    )


def nik_unknown() -> MeshError:
    """Returns the error for showing a NIK that is not known."""
    return failed_precondition("the NIK of this patient is not known", "NIK_UNKNOWN")


def checked(changes: Mapping[str, str], today: datetime.date) -> dict[str, str]:
    """Returns the corrections in tidy form, by the field that they correct.

    Args:
        changes: New values by field, of CORRECTABLE.
        today: No date of birth is later.

    Raises:
        MeshError: INVALID_ARGUMENT with reason NOTHING_TO_CORRECT, NIK_INVALID, NAME_INVALID,
            NO_SUCH_DATE or FIELD_BLANK.
    """
    if not changes:
        raise nothing_to_correct()
    return {name: _checked(name, value, today) for name, value in changes.items()}


def _checked(name: str, value: str, today: datetime.date) -> str:
    if name == "nik":
        if not is_nik(value, today):
            raise invalid(name, "this is not a NIK", "NIK_INVALID")
        return value
    if name == "nama":
        return required_name(value, name)
    if name == "tanggal_lahir":
        return _checked_birth(value, today)
    found = tidy(value)
    if not found:
        raise invalid(name, "must not be blank", "FIELD_BLANK")
    return found


def _checked_birth(value: str, today: datetime.date) -> str:
    try:
        born = datetime.datetime.strptime(value, "%d-%m-%Y").date()
    except ValueError as error:
        raise invalid("tanggal_lahir", "is no day of the calendar", "NO_SUCH_DATE") from error
    if not EARLIEST_BIRTH <= born <= today:
        raise invalid("tanggal_lahir", f"is not from {EARLIEST_BIRTH} to today", "NO_SUCH_DATE")
    return value


def is_other_identity(account: Account, changes: Mapping[str, str]) -> bool:
    """Returns whether a correction makes NIK or name those of another person."""
    return changes.get("nik", account.nik) != account.nik or fold_name(
        changes.get("nama", account.nama)
    ) != fold_name(account.nama)
