"""Tokens of the pages of lists."""

import datetime
from uuid import UUID

from mesh.contract import pagination
from mesh.errors import MeshError, invalid
from user_svc.domain.audit_trail import MAX_POSITION


def time_position(page_token: str) -> tuple[datetime.datetime, str] | None:
    """Returns time and identifier after which a page begins; None for the first page.

    Raises:
        MeshError: INVALID_ARGUMENT with reason PAGE_TOKEN_INVALID.
    """
    found = pagination.decode_token(page_token, 2)
    if found is None:
        return None
    try:
        return datetime.datetime.fromisoformat(found[0]), found[1]
    except ValueError as error:
        raise _invalid_token() from error


def time_token(create_time: datetime.datetime, identifier: str) -> str:
    """Returns the token of the page after something with this time and identifier."""
    return pagination.encode_token(create_time.isoformat(), identifier)


def entry_position(page_token: str) -> int | None:
    """Returns the position that a page of entries stays below; None for the first page.

    Raises:
        MeshError: INVALID_ARGUMENT with reason PAGE_TOKEN_INVALID.
    """
    found = pagination.decode_token(page_token, 1)
    if found is None:
        return None
    if found[0].isascii() and found[0].isdigit() and int(found[0]) <= MAX_POSITION:
        return int(found[0])
    raise _invalid_token()


def person_position(page_token: str) -> str:
    """Returns the person after whom a page begins; empty for the first page.

    Raises:
        MeshError: INVALID_ARGUMENT with reason PAGE_TOKEN_INVALID.
    """
    found = pagination.decode_token(page_token, 1)
    if found is None:
        return ""
    try:
        return str(UUID(found[0]))
    except ValueError as error:
        raise _invalid_token() from error


def _invalid_token() -> MeshError:
    return invalid("page_token", "not a token of ours", "PAGE_TOKEN_INVALID")
