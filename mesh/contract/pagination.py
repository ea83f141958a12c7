"""Page tokens (AIP-158): opaque to clients, a position to us."""

import base64
import binascii

from mesh.errors import invalid

__all__ = [
    "decode_token",
    "encode_token",
    "page_size",
]

DEFAULT_SIZE = 50


def page_size(asked: int, default: int = DEFAULT_SIZE) -> int:
    """Returns the size of a page; 0 means the default."""
    return asked or default


def encode_token(*position: str) -> str:
    """Returns a token for the place after which the next page begins. Values have no newlines."""
    return base64.urlsafe_b64encode("\n".join(position).encode()).decode().rstrip("=")


def decode_token(token: str, parts: int) -> tuple[str, ...] | None:
    """Returns the place that a token names; None for the first page.

    Raises:
        MeshError: INVALID_ARGUMENT with reason PAGE_TOKEN_INVALID.
    """
    if not token:
        return None
    try:
        padded = token + "=" * (-len(token) % 4)
        position = tuple(base64.urlsafe_b64decode(padded).decode().split("\n"))
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise invalid("page_token", "not a token of ours", "PAGE_TOKEN_INVALID") from error
    if len(position) != parts:
        raise invalid("page_token", "not a token of ours", "PAGE_TOKEN_INVALID")
    return position
