"""Accounts and roles as messages, and the other way round."""

from mediq.policy.v1.policy_pb2 import Role
from mediq.user.v1.user_pb2 import PatientIdentity, User

from mesh.clock import timestamp
from mesh.contract.methods import role_name
from user_svc.domain import accounts
from user_svc.domain.identity import mask_nik
from user_svc.domain.patients import CORRECTABLE


def role_message(role: accounts.Role) -> Role.ValueType:
    """Returns the role as contracts name it."""
    return Role.Value(f"ROLE_{role}")


def role_of(role: Role.ValueType) -> accounts.Role:
    """Returns the role as the domain names it."""
    return accounts.Role(role_name(role))


def user_message(account: accounts.Account) -> User:
    """Returns the account as others see it: its NIK masked."""
    return User(
        id=account.id,
        nama=account.nama,
        masked_nik=mask_nik(account.nik),
        email=account.email,
        role=role_message(account.role),
        institution_id=account.institution_id,
        create_time=timestamp(account.create_time),
        update_time=timestamp(account.update_time),
    )


def identity_message(account: accounts.Account) -> PatientIdentity:
    """Returns what is known of a patient, with the whole NIK."""
    return PatientIdentity(**{name: getattr(account, name) for name in CORRECTABLE})


def person_of_card(identity: PatientIdentity) -> accounts.Person:
    """Returns the patient as a card describes them, unchecked."""
    return accounts.Person(
        role=accounts.Role.PASIEN,
        **{name: getattr(identity, name) for name in CORRECTABLE},
    )
