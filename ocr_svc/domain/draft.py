"""The rules of a draft: what may be corrected, and what is doubtful after a correction."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mesh.errors import failed_precondition, invalid, not_found
from ocr_svc.domain.reading import SIM, CardWarning, ReadField, Reading

CORRECTABLE = (
    "nik",
    "nama",
    "tempat_lahir",
    "tanggal_lahir",
    "jenis_kelamin",
    "golongan_darah",
    "alamat",
)
"""Fields that a patient may correct."""
MAX_NIK_CHANGES = 2
"""Digits of the NIK that may differ from what was read: a misreading, not another person."""
MAX_UPDATES = 50
"""Corrections, and requests with corrections, that one draft takes."""
NOT_VALIDATED = "NOT_VALIDATED"
NIK_NOT_READ = "NIK_NOT_READ"


@dataclass(frozen=True)
class Correction:
    """Holds one correction, beside what was read."""

    field: str
    read_value: str
    corrected_value: str
    time: datetime.datetime


@dataclass(frozen=True)
class Content:
    """Holds what is in a draft. All of it is personal: it is encrypted and goes as a whole."""

    reading: Reading
    warnings: tuple[CardWarning, ...]
    """What is doubtful now, corrections considered."""
    corrections: tuple[Correction, ...] = ()
    """Oldest first."""
    updates: Mapping[str, str] = field(default_factory=dict)
    """Requests that were carried out: fingerprint by request_id."""


@dataclass(frozen=True)
class Draft:
    """Holds a draft. Its content is gone once it is confirmed or has ended."""

    id: str
    expire_time: datetime.datetime
    version: int
    """Raised by every change; a change that was made from another version starts again."""
    content: Content | None
    confirmed: bool = False


def require_content(draft: Draft | None, draft_id: str, now: datetime.datetime) -> Content:
    """Returns what an open draft holds.

    Raises:
        MeshError: DRAFT_NOT_FOUND, DRAFT_CONFIRMED or DRAFT_EXPIRED.
    """
    if draft is None:
        raise not_found("draft", draft_id)
    if draft.confirmed:
        raise failed_precondition("the draft is confirmed; see its registration", "DRAFT_CONFIRMED")
    if draft.content is None or draft.expire_time <= now:
        raise failed_precondition("the draft has ended; upload the photo again", "DRAFT_EXPIRED")
    return draft.content


def current_fields(content: Content) -> dict[str, ReadField]:
    """Returns the fields with corrections; a corrected one keeps its raw value and is sure."""
    fields = dict(content.reading.fields)
    for one in content.corrections:
        read = fields.get(one.field, ReadField(""))
        fields[one.field] = replace(read, value=one.corrected_value, confidence=1.0, reason="")
    return fields


def nik_changes(read: str, given: str) -> int:
    """Counts the digits in which two NIKs differ.

    Place by place when both have the same length: counted as insertions and deletions, a whole
    number shifted by one place would be two changes. Otherwise the edit distance, because a digit
    that the reader lost or doubled is one misreading.
    """
    if len(read) == len(given):
        return sum(one != other for one, other in zip(read, given, strict=True))
    row = list(range(len(given) + 1))
    for place, digit in enumerate(read, 1):
        previous, row[0] = row[0], place
        for column, other in enumerate(given, 1):
            change = previous + (digit != other)
            previous, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, change)
    return row[-1]


def _standard(name: str, value: str) -> str:
    """Returns a value in the form in which cards are printed: upper case, single blanks."""
    text = " ".join(value.split()).upper()
    if not text:
        raise invalid(name, "must not be blank")
    if name == "tanggal_lahir":
        day, month, year = (int(part) for part in text.split("-"))
        try:
            datetime.date(year, month, day)
        except ValueError as error:
            raise invalid(name, "is no day of the calendar", "NO_SUCH_DATE") from error
    return text


def correct(
    content: Content,
    changes: Mapping[str, str],
    request_id: str,
    fingerprint: str,
    now: datetime.datetime,
) -> Content:
    """Returns the content with further corrections. The read values stay beside them.

    The warnings still hold for the fields before the change; `with_warnings` renews them.

    Args:
        content: What the draft holds.
        changes: New values by field.
        request_id: Key of the request. Empty: it has none.
        fingerprint: Tells requests with the same key apart.
        now: When it is corrected.

    Raises:
        MeshError: NIK_CHANGED_TOO_MUCH, NO_SUCH_DATE, INVALID_FIELD or TOO_MANY_CORRECTIONS.
    """
    current = current_fields(content)
    made: list[Correction] = []
    for name, given in changes.items():
        value, read = _standard(name, given), content.reading.value(name)
        if name == "nik" and read and nik_changes(read, value) > MAX_NIK_CHANGES:
            raise failed_precondition(
                f"at most {MAX_NIK_CHANGES} digits may differ from the NIK as read; "
                "upload a better photo",
                "NIK_CHANGED_TOO_MUCH",
            )
        if name not in current or current[name].value != value:
            made.append(Correction(name, read, value, now))
    updates = {**content.updates, request_id: fingerprint} if request_id else content.updates
    if len(content.corrections) + len(made) > MAX_UPDATES or len(updates) > MAX_UPDATES:
        raise failed_precondition("the draft was corrected too often", "TOO_MANY_CORRECTIONS")
    return replace(content, corrections=(*content.corrections, *made), updates=updates)


def with_warnings(content: Content, found: Sequence[CardWarning] | None) -> Content:
    """Returns the content with the warnings that hold after a correction.

    Args:
        content: What the draft holds, corrections included.
        found: What the engine finds doubtful about the fields now; None when it did not answer.
            Then the warnings stay, and one more says that nobody looked.
    """
    own = {NOT_VALIDATED, NIK_NOT_READ}
    if found is None:
        kept = [one for one in content.warnings if one.reason not in own]
        kept.append(
            CardWarning(
                NOT_VALIDATED,
                "",
                "Perubahan belum diperiksa; mohon diteliti sekali lagi.",
                "The change has not been checked yet; please look at it once more.",
            )
        )
    else:
        # What concerns the photo as a whole is not looked at again.
        kept = [one for one in content.reading.warnings if not one.field]
        if content.reading.document_type == SIM:
            # The engine looked at the fields of a KTP only: the others are as they were read, and
            # what a SIM does not have is not missing.
            kept = [one for one in content.reading.warnings if one.field not in CORRECTABLE]
            found = [one for one in found if one.field in CORRECTABLE]
        kept += [one for one in found if one not in kept]
    if not content.reading.value("nik") and "nik" in current_fields(content):
        kept.append(
            CardWarning(
                NIK_NOT_READ,
                "nik",
                "NIK tidak terbaca pada kartu; angka yang diketik akan diperiksa petugas.",
                "The NIK was not read from the card; the staff will check the typed one.",
            )
        )
    return replace(content, warnings=tuple(kept))
