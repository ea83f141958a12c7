"""The rules of a registration: what may be confirmed, and what happens next."""

import datetime
import re
from dataclasses import dataclass
from enum import StrEnum
from zoneinfo import ZoneInfo

from mesh.errors import MeshError, StatusCode, failed_precondition, reused_request_id
from ocr_svc.domain.consent import Purpose
from ocr_svc.domain.draft import Content, current_fields

MAX_NAME_CHARACTERS = 60
MAX_AGE_YEARS = 150
"""More is a year that was misread; queue_svc refuses it."""
_NIK = re.compile(r"[0-9]{16}")
_PERMANENT = frozenset(
    {
        StatusCode.INVALID_ARGUMENT,
        StatusCode.NOT_FOUND,
        StatusCode.ALREADY_EXISTS,
        StatusCode.FAILED_PRECONDITION,
    }
)


@dataclass(frozen=True)
class Identity:
    """Holds what an account is made from."""

    nik: str
    nama: str
    tempat_lahir: str
    tanggal_lahir: str
    jenis_kelamin: str
    alamat: str


class State(StrEnum):
    """Says how far a registration has come: CONFIRMED, ACCOUNT_READY, COMPLETED, or FAILED."""

    CONFIRMED = "CONFIRMED"
    ACCOUNT_READY = "ACCOUNT_READY"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


UNFINISHED = (State.CONFIRMED, State.ACCOUNT_READY)


@dataclass(frozen=True)
class Registration:
    """Holds a confirmed draft on its way to a ticket."""

    id: str
    """Also the request_id of every step: a step that is repeated has no second effect."""
    draft_id: str
    request_id: str
    institution_id: str
    service_id: str
    consent_time: datetime.datetime
    consent_version: str = ""
    """Of the text that was agreed to. Empty: agreed before texts had versions."""
    consent_purposes: tuple[Purpose, ...] = ()
    state: State = State.CONFIRMED
    user_id: str = ""
    ticket: bytes = b""
    """The ticket as it was issued, a serialized mediq.queue.v1.Ticket."""
    failure_kind: str = ""
    failure_reason: str = ""
    attempts: int = 0
    """Tries of the present step that came to nothing."""
    age_years: int = 0
    """Age of the patient on the day of the consent, so that a repeated step says the same.
    0: not known, or not needed any more."""
    lease_until: datetime.datetime | None = None

    def is_unfinished(self) -> bool:
        """Returns whether a step is still to be done."""
        return self.state in UNFINISHED

    def is_leased(self, now: datetime.datetime) -> bool:
        """Returns whether a process works on it."""
        return self.is_unfinished() and self.lease_until is not None and self.lease_until > now


def identity_of(content: Content) -> Identity:
    """Returns whom the draft names.

    Raises:
        MeshError: DRAFT_INCOMPLETE without a NIK of 16 digits or without a name.
    """
    fields = current_fields(content)
    values = {
        name: fields[name].value if name in fields else "" for name in Identity.__dataclass_fields__
    }
    missing = []
    if not _NIK.fullmatch(values["nik"]):
        missing.append("nik")
    if not 0 < len(values["nama"].strip()) <= MAX_NAME_CHARACTERS:
        missing.append("nama")
    if missing:
        names = ",".join(missing)
        raise failed_precondition(
            f"complete the draft first: {names}", "DRAFT_INCOMPLETE", fields=names
        )
    return Identity(**values)


def age_years(born: str, moment: datetime.datetime, time_zone: str) -> int:
    """Returns completed years of age; 0 when the day of birth is not known or cannot be right.

    Args:
        born: Day of birth as on a card, DD-MM-YYYY.
        moment: When.
        time_zone: IANA name: the day that it is there counts.
    """
    try:
        birthday = datetime.datetime.strptime(born, "%d-%m-%Y").date()
    except ValueError:
        return 0
    today = moment.astimezone(ZoneInfo(time_zone)).date()
    before_birthday = (today.month, today.day) < (birthday.month, birthday.day)
    years = today.year - birthday.year - before_birthday
    return years if 0 <= years <= MAX_AGE_YEARS else 0


def require_same_target(
    found: Registration, request_id: str, institution_id: str, service_id: str
) -> None:
    """Refuses to confirm a draft a second time for something else.

    Raises:
        MeshError: ALREADY_EXISTS with REQUEST_ID_REUSED or ALREADY_CONFIRMED.
    """
    if (found.institution_id, found.service_id) == (institution_id, service_id):
        return
    if found.request_id == request_id:
        raise reused_request_id()
    raise MeshError(
        "the draft is confirmed for another facility or service",
        StatusCode.ALREADY_EXISTS,
        "ALREADY_CONFIRMED",
        resource=("registration", found.id),
    )


def is_permanent(kind: StatusCode) -> bool:
    """Returns whether the refusal of a step is final; all else is tried again with the same key."""
    return kind in _PERMANENT
