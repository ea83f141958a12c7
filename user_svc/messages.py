"""Translation between messages and the domain, for both services."""

import datetime

from mediq.policy.v1.policy_pb2 import Role
from mediq.user.v1.user_pb2 import User

from mesh.clock import timestamp
from mesh.contract import pagination
from mesh.contract.call import current_call, principal
from mesh.contract.methods import peer_name, role_name
from mesh.errors import invalid
from user_svc.domain import accounts
from user_svc.domain.patients import Reach


def role_message(role: accounts.Role) -> Role.ValueType:
    """The role as contracts name it."""
    return Role.Value(f"ROLE_{role}")


def role_of(role: Role.ValueType) -> accounts.Role:
    """The role as the domain names it."""
    return accounts.Role(role_name(role))


def user_message(account: accounts.Account) -> User:
    """The account as others see it: its NIK masked."""
    return User(
        id=account.id,
        nama=account.nama,
        masked_nik=accounts.mask_nik(account.nik),
        email=account.email,
        role=role_message(account.role),
        institution_id=account.institution_id,
        create_time=timestamp(account.create_time),
        update_time=timestamp(account.update_time),
    )


def current_viewer() -> accounts.Viewer:
    """The administrator behind the call in progress."""
    return accounts.Viewer(principal().subject, principal().institution_id)


def current_reach() -> Reach:
    """The patients whom the staff behind the call in progress may reach."""
    return Reach(principal().institution_id, everywhere=principal().is_network_admin)


def calling_service() -> str:
    """The service behind the call in progress; empty outside of one."""
    call = current_call()
    return "" if call is None else peer_name(call.peer)


def position_of(page_token: str) -> tuple[datetime.datetime, str] | None:
    """Time and identifier after which a page begins; None for the first page.

    Raises:
        MeshError: INVALID_ARGUMENT with reason PAGE_TOKEN_INVALID.
    """
    found = pagination.decode_token(page_token, 2)
    if found is None:
        return None
    try:
        return datetime.datetime.fromisoformat(found[0]), found[1]
    except ValueError as error:
        raise invalid("page_token", "not a token of ours", "PAGE_TOKEN_INVALID") from error
