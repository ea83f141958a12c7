"""Translation between messages and the domain, for both services."""

from mediq.policy.v1.policy_pb2 import Role
from mediq.user.v1.user_pb2 import User

from mesh.contracts import role_name
from mesh.times import timestamp
from user_svc import domain


def role_message(role: domain.Role) -> Role.ValueType:
    """The role as contracts name it."""
    return Role.Value(f"ROLE_{role}")


def role_of(role: Role.ValueType) -> domain.Role:
    """The role as the domain names it."""
    return domain.Role(role_name(role))


def user_message(account: domain.Account) -> User:
    """The account as others see it: its NIK masked."""
    return User(
        id=account.id,
        nama=account.nama,
        masked_nik=domain.mask_nik(account.nik),
        email=account.email,
        role=role_message(account.role),
        institution_id=account.institution_id,
        create_time=timestamp(account.create_time),
        update_time=timestamp(account.update_time),
    )
