"""Accounts: whom they are for, and who may have or change one."""

import datetime
from dataclasses import dataclass, field
from enum import StrEnum

from mesh.contract.access_scope import AccessScope
from mesh.errors import MeshError, StatusCode, failed_precondition, forbidden, invalid
from user_svc.domain.identity import fold_email, is_nik, required_name, same_person, tidy
from user_svc.domain.password_policy import check_password


class Role(StrEnum):
    """Says what an account may do."""

    PASIEN = "PASIEN"
    OPERATOR = "OPERATOR"
    ADMIN_FASKES = "ADMIN_FASKES"


STAFF = (Role.OPERATOR, Role.ADMIN_FASKES)


@dataclass(frozen=True, kw_only=True)
class Person:
    """Describes whom an account is for. Personal data does not show in `repr`."""

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
    """Holds an open account."""

    id: str
    create_time: datetime.datetime
    update_time: datetime.datetime
    identity_time: datetime.datetime | None = None
    """When a patient's NIK or name was last corrected. Scoped sessions from before are refused."""

    @property
    def is_network_admin(self) -> bool:
        """Returns whether the account administers every facility."""
        return self.role is Role.ADMIN_FASKES and not self.institution_id


def is_administered(account: Account, scope: AccessScope) -> bool:
    """Returns whether an account exists for an administrator with this scope.

    For the administrator of a facility that is its staff: patients belong to no facility.
    """
    return scope.is_unlimited or (
        account.role in STAFF and scope.covers(account.institution_id, account.id)
    )


def new_staff(
    role: Role, nama: str, email: str, password: str, nik: str, institution_id: str
) -> Person:
    """Returns a new member of a facility's or the network's staff.

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
        institution_id=institution_id,
    )


def new_patient(nama: str, email: str, password: str, nik: str, today: datetime.date) -> Person:
    """Returns a patient who is entered at the counter.

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
    """Returns the patient whom a card describes, in tidy form.

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


def require_other_account(caller_id: str, account_id: str) -> None:
    """Refuses administrators who would change their own account.

    Raises:
        MeshError: FAILED_PRECONDITION with reason OWN_ACCOUNT.
    """
    if caller_id == account_id:
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
    """Returns the error for closing the only account that can make administrators."""
    return failed_precondition(
        "this is the last administrator of the network", "LAST_NETWORK_ADMIN"
    )


def taken(field_name: str) -> MeshError:
    """Returns the error for a login that another account has."""
    return MeshError(
        f"an account with this {field_name} exists",
        StatusCode.ALREADY_EXISTS,
        f"{field_name.upper()}_TAKEN",
    )


def invalid_credentials() -> MeshError:
    """Returns the one error of all logins that fail: it does not say what was wrong."""
    return MeshError(
        "these credentials are not valid", StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIALS"
    )
