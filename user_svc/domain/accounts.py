"""Accounts and sessions: who may have one, what a name and a NIK must be."""

import datetime
import unicodedata
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

from rapidfuzz import fuzz

from mesh.errors import MeshError, StatusCode, failed_precondition, forbidden, invalid
from user_svc.domain.password_policy import check_password

MIN_NAME_SCORE = 80.0
"""Lowest similarity, 0 to 100, of two readings of one person's name: of ten letters one may differ
and one be missing. Two persons of one family stay below it unless their names are nearly alike."""
FIRST_PROVINCE = 11
"""Aceh. Province codes are two digits and none is below it."""
WOMAN_DAYS = 40
"""What a woman's day of birth is raised by in the NIK."""

REGISTRATION_SESSION = datetime.timedelta(minutes=35)
"""A draft lives 30 minutes; the session outlives it, so the last error is "draft gone"."""
TICKETS_SESSION = datetime.timedelta(hours=12)
"""Longer than any facility's opening hours: a ticket taken at the door can be followed until it is
called. Not until the day's end, which is up to 24 hours: such a session cannot be ended early."""
LOGIN_SESSION = datetime.timedelta(minutes=15)
"""NIK and name are knowledge, not a secret: what they open is open for a short time."""
DATA_RIGHTS_SESSION = datetime.timedelta(minutes=15)
"""A visit to the counter: enough to ask for a copy or an erasure, and to read what is shown. It
opens all that is known of a person, so it does not outlive the visit."""


class Role(StrEnum):
    """The role of an account."""

    PASIEN = "PASIEN"
    OPERATOR = "OPERATOR"
    ADMIN_FASKES = "ADMIN_FASKES"


STAFF = (Role.OPERATOR, Role.ADMIN_FASKES)


@dataclass(frozen=True, kw_only=True)
class Person:
    """Whom an account is for. Personal data does not show in `repr`."""

    role: Role
    nama: str = field(repr=False)
    nik: str = field(default="", repr=False)
    email: str = field(default="", repr=False)
    institution_id: str = ""
    tempat_lahir: str = field(default="", repr=False)
    tanggal_lahir: str = field(default="", repr=False)
    jenis_kelamin: str = field(default="", repr=False)
    alamat: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Account(Person):
    """An open account."""

    id: str
    create_time: datetime.datetime
    update_time: datetime.datetime
    identity_time: datetime.datetime | None = None
    """When a patient's NIK or name was last corrected. Narrow sessions from before are refused."""

    @property
    def is_network_admin(self) -> bool:
        """Whether the account administers every facility."""
        return self.role is Role.ADMIN_FASKES and not self.institution_id


@dataclass(frozen=True)
class Viewer:
    """An administrator who looks at accounts."""

    account_id: str
    institution_id: str
    """Facility whose staff may be seen. Empty: every account."""

    def sees(self, account: Account) -> bool:
        """Whether the account exists for this administrator."""
        return not self.institution_id or (
            account.role in STAFF and account.institution_id == self.institution_id
        )


# Names, NIKs and e-mail addresses


def tidy(text: str) -> str:
    """The text with single blanks, in Unicode's composed form."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def fold_name(name: str) -> str:
    """The form in which names are compared: case and repeated blanks do not matter."""
    return tidy(unicodedata.normalize("NFKC", name)).casefold()


def fold_email(email: str) -> str:
    """The form in which e-mail addresses are compared."""
    return email.strip().lower()


def same_person(name: str, other: str) -> bool:
    """Whether two readings of a name may be of one person."""
    return fuzz.ratio(fold_name(name), fold_name(other)) >= MIN_NAME_SCORE


def mask_nik(nik: str) -> str:
    """The NIK with all but its first four and last four digits hidden."""
    return f"{nik[:4]}{'*' * (len(nik) - 8)}{nik[-4:]}" if nik else ""


def is_nik(nik: str, today: datetime.date) -> bool:
    """Whether a NIK can exist: 16 digits, a province, a date of birth until today, a serial number.

    Digits 7 to 12 are the date of birth as DDMMYY; women's days are raised by 40.
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


# New accounts


def required_name(nama: str, path: str) -> str:
    """A name in tidy form.

    Raises:
        MeshError: INVALID_ARGUMENT with reason NAME_INVALID for the field `path`.
    """
    found = tidy(nama)
    if not found:
        raise invalid(path, "a name has at least one letter", "NAME_INVALID")
    return found


def new_staff(
    role: Role, nama: str, email: str, password: str, nik: str, institution_id: str
) -> Person:
    """A member of a facility's or the network's staff.

    Raises:
        MeshError: INVALID_ARGUMENT with the field that is missing, wrong or too much.
    """
    if nik:
        raise invalid("nik", "staff accounts have no NIK", "NIK_NOT_ALLOWED")
    if not email:
        raise invalid("email", "staff sign in with an e-mail address", "EMAIL_REQUIRED")
    if not password:
        raise invalid("password", "staff sign in with a password", "PASSWORD_REQUIRED")
    if role is Role.OPERATOR and not institution_id:
        raise invalid("institution_id", "operators work for a facility", "INSTITUTION_REQUIRED")
    folded = fold_email(email)
    check_password(password, folded)
    return Person(
        role=role,
        nama=required_name(nama, "nama"),
        email=folded,
        institution_id=institution_id.lower(),
    )


def new_patient(nama: str, email: str, password: str, nik: str, today: datetime.date) -> Person:
    """A patient who is entered at the counter.

    Raises:
        MeshError: INVALID_ARGUMENT with the field that is missing, wrong or too much.
    """
    if email:
        raise invalid("email", "patients sign in with NIK and name", "EMAIL_NOT_ALLOWED")
    if password:
        raise invalid("password", "patients sign in with NIK and name", "PASSWORD_NOT_ALLOWED")
    if not is_nik(nik, today):
        raise invalid("nik", "this is not a NIK", "NIK_INVALID")
    return Person(role=Role.PASIEN, nama=required_name(nama, "nama"), nik=nik)


def patient_of_card(person: Person, today: datetime.date) -> Person:
    """The patient whom a card describes, in tidy form.

    Raises:
        MeshError: INVALID_ARGUMENT with reason NIK_INVALID or NAME_INVALID.
    """
    if not is_nik(person.nik, today):
        raise invalid("identity.nik", "this is not a NIK", "NIK_INVALID")
    return Person(
        role=Role.PASIEN,
        nama=required_name(person.nama, "identity.nama"),
        nik=person.nik,
        tempat_lahir=tidy(person.tempat_lahir),
        tanggal_lahir=tidy(person.tanggal_lahir),
        jenis_kelamin=tidy(person.jenis_kelamin),
        alamat=tidy(person.alamat),
    )


def require_may_create(creator: Role, role: Role) -> None:
    """Refuses accounts that this role may not make: operators enter patients.

    Raises:
        MeshError: PERMISSION_DENIED with reason ROLE_NOT_ALLOWED.
    """
    if creator is not Role.ADMIN_FASKES and role is not Role.PASIEN:
        raise forbidden("your role creates accounts of patients only", "ROLE_NOT_ALLOWED")


def require_same_person(known: Account, nama: str) -> None:
    """Refuses a NIK that belongs to somebody else.

    Raises:
        MeshError: FAILED_PRECONDITION with reason NIK_NAME_MISMATCH.
    """
    if not same_person(known.nama, nama):
        raise failed_precondition("this NIK is registered under another name", "NIK_NAME_MISMATCH")


def require_other_account(viewer: Viewer, account_id: str) -> None:
    """Refuses administrators who would change their own account.

    Raises:
        MeshError: FAILED_PRECONDITION with reason OWN_ACCOUNT.
    """
    if viewer.account_id == account_id:
        raise failed_precondition("somebody else must change your account", "OWN_ACCOUNT")


def require_role_fits(account: Account, role: Role) -> None:
    """Refuses a role that the account cannot have.

    Raises:
        MeshError: FAILED_PRECONDITION with reason NOT_STAFF or INSTITUTION_REQUIRED.
    """
    if account.role not in STAFF:
        raise failed_precondition("only staff accounts change their role", "NOT_STAFF")
    if role is Role.OPERATOR and not account.institution_id:
        raise failed_precondition("operators work for a facility", "INSTITUTION_REQUIRED")


def require_staff(account: Account) -> None:
    """Refuses accounts that have no password.

    Raises:
        MeshError: FAILED_PRECONDITION with reason NOT_STAFF.
    """
    if account.role not in STAFF:
        raise failed_precondition("only staff accounts have a password", "NOT_STAFF")


def last_network_admin() -> MeshError:
    """The error for closing the only account that can make facilities and administrators."""
    return failed_precondition(
        "this is the last administrator of the network", "LAST_NETWORK_ADMIN"
    )


def taken(field_name: str) -> MeshError:
    """The error for a login that another account has."""
    return MeshError(
        f"an account with this {field_name} exists",
        StatusCode.ALREADY_EXISTS,
        f"{field_name.upper()}_TAKEN",
    )


def invalid_credentials() -> MeshError:
    """The one error of all logins that fail: it does not tell what was wrong."""
    return MeshError(
        "these credentials are not valid", StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIALS"
    )


def invalid_refresh_token() -> MeshError:
    """The one error of all refresh tokens that are not good: unknown, used, ended."""
    return MeshError(
        "this refresh token is not valid, sign in again",
        StatusCode.UNAUTHENTICATED,
        "REFRESH_TOKEN_INVALID",
    )


# Sessions


class End(StrEnum):
    """Why a session ended before its time."""

    LOGOUT = "LOGOUT"
    END_SESSION = "END_SESSION"
    REUSE = "REUSE"
    ROLE_CHANGED = "ROLE_CHANGED"
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    TOTP_RESET = "TOTP_RESET"
    TOTP_CONFIRMED = "TOTP_CONFIRMED"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105  # nosec B105 # a reason, no password
    PASSWORD_RESET = "PASSWORD_RESET"  # noqa: S105  # nosec B105 # a reason, no password


class Refresh(Enum):
    """What follows from a refresh token that somebody shows."""

    ROTATE = auto()
    """First use: the token ends, a successor takes its place."""
    REPEAT = auto()
    """The same use again, at the same moment: the same successor once more."""
    REUSE = auto()
    """A token that was exchanged long ago: two parties have it, so the session ends."""
    ENDED = auto()
    """The session is over."""


@dataclass(frozen=True)
class Shown:
    """A refresh token that somebody shows, and its session."""

    session_open: bool
    session_expire_time: datetime.datetime
    use_time: datetime.datetime | None
    """When it was exchanged; None when it never was."""
    successor_used: bool
    """Whether the token that it was exchanged for was itself exchanged."""


def judge(shown: Shown, now: datetime.datetime, grace: datetime.timedelta) -> Refresh:
    """Decides about a refresh token.

    Two refreshes at the same moment (two tabs, a lost answer) are one use: within the grace after
    the first exchange, and until the successor is used, the old token gives the same successor
    again. So a session is always one chain of tokens, and a copy in other hands is found.
    """
    if not shown.session_open or shown.session_expire_time <= now:
        return Refresh.ENDED
    if shown.use_time is None:
        return Refresh.ROTATE
    if now - shown.use_time <= grace and not shown.successor_used:
        return Refresh.REPEAT
    return Refresh.REUSE
